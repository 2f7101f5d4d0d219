import time

import pytest

from face_common.errors import QueueMissingError
from face_common.ports import Queue
from face_common.sqs import SqsQueue
from tests.contract.conftest import QueueMaker, client


def bodies(queue: Queue, limit: int = 10, wait: int = 1) -> list[str]:
    return [message.body for message in queue.receive(limit, wait)]


def test_a_message_is_received_with_its_delivery_count(make_queue: QueueMaker) -> None:
    queue = make_queue()
    queue.send('{"ü": 1}')
    (message,) = queue.receive(10, 1)
    assert (message.body, message.deliveries) == ('{"ü": 1}', 1)


def test_an_empty_queue_gives_nothing_after_the_wait(make_queue: QueueMaker) -> None:
    began = time.monotonic()
    assert make_queue().receive(10, 1) == []
    assert 0.9 < time.monotonic() - began < 3


def test_no_more_than_the_limit_is_received(make_queue: QueueMaker) -> None:
    queue = make_queue()
    for number in range(3):
        queue.send(str(number))
    first = bodies(queue, limit=2)
    assert len(first) == 2
    assert sorted(first + bodies(queue)) == ["0", "1", "2"]


def test_a_received_message_is_hidden_until_its_visibility_ends(make_queue: QueueMaker) -> None:
    queue = make_queue()
    queue.send("a")
    assert len(queue.receive(10, 1, hide_seconds=2)) == 1
    assert queue.receive(10, 0) == []
    (again,) = queue.receive(10, 4)
    assert again.deliveries == 2


def test_holding_hides_for_longer(make_queue: QueueMaker) -> None:
    queue = make_queue()
    queue.send("a")
    (message,) = queue.receive(10, 1, hide_seconds=1)
    assert queue.hold([message.receipt], 30) == []
    assert queue.receive(10, 2) == []


def test_holding_for_no_time_gives_back_at_once(make_queue: QueueMaker) -> None:
    queue = make_queue()
    queue.send("a")
    (message,) = queue.receive(10, 1)
    queue.hold([message.receipt], 0)
    assert bodies(queue) == ["a"]


def test_a_deleted_message_never_comes_back(make_queue: QueueMaker) -> None:
    queue = make_queue()
    queue.send("a")
    (message,) = queue.receive(10, 1, hide_seconds=1)
    queue.delete([message.receipt])
    assert queue.receive(10, 2) == []


def test_more_receipts_than_one_call_takes(make_queue: QueueMaker) -> None:
    queue = make_queue()
    for number in range(12):
        queue.send(str(number))
    receipts: list[str] = []
    while len(receipts) < 12:
        receipts += [message.receipt for message in queue.receive(10, 1)]
    assert queue.hold(receipts, 20) == []
    queue.delete(receipts)
    queue.delete([])
    assert queue.hold([], 5) == []
    assert queue.receive(10, 0) == []


def test_a_queue_that_does_not_exist_is_told_apart(localstack: str) -> None:
    missing = SqsQueue(client(localstack, "sqs"), f"{localstack}/000000000000/missing")
    with pytest.raises(QueueMissingError):
        missing.send("a")
    with pytest.raises(QueueMissingError):
        missing.receive(1, 0)


def test_counts_tell_waiting_from_held(make_queue: QueueMaker) -> None:
    queue = make_queue()
    assert (queue.counts().visible, queue.counts().in_flight) == (0, 0)
    for number in range(3):
        queue.send(str(number))
    (held,) = queue.receive(1, 1)
    assert (queue.counts().visible, queue.counts().in_flight) == (2, 1)
    queue.delete([held.receipt])
    assert (queue.counts().visible, queue.counts().in_flight) == (2, 0)
