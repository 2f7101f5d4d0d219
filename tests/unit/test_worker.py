"""The queue loop over fakes: what becomes of a job in every case."""

import itertools
import json
import math
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace

import pytest

from face_app.enrolled import Policy, preparing
from face_app.gallery_cache import GalleryCache
from face_app.handlers import Handlers, Identity, Standards
from face_app.metrics import WorkerMetrics
from face_app.quality import EnrolmentLimits
from face_app.recognition import FaceReading, Reading
from face_app.worker import Pace, Worker
from face_common import encodings
from face_common.contract import Code, Job, Operation, Result, decode_reply, image_key, result_key, unknown_key
from face_common.errors import PermanentError, QueueMissingError, TransientError
from face_common.ports import Message
from face_common.unknown import UnknownFaces
from tests.fakes.cloud import MemoryGallery, MemoryObjectStore, MemoryQueue, MemoryQueues
from tests.fakes.inference import FakePool, Read, encoding, face, reading
from tests.fakes.population import POPULATION
from tests.unit.test_contract import ULID, job
from tests.unit.test_matching import template

REPLIES = "memory://replies"


class GoneQueue(MemoryQueue):
    """The response queue of a web host that was removed."""

    def send(self, body: str) -> None:
        raise QueueMissingError("gone")


class House:
    """A worker with everything around it in memory."""

    def __init__(
        self,
        read: Read = lambda body, most: reading(face()),
        visibility: int = 30,
        ahead_seconds: float = math.inf,
        keep_unknown: bool = False,
    ) -> None:
        self.store = MemoryObjectStore()
        self.requests = MemoryQueue()
        self.queues = MemoryQueues()
        self.gallery = MemoryGallery()
        self.metrics = WorkerMetrics()
        self.worker = Worker(
            requests=self.requests,
            queues=self.queues,
            store=self.store,
            handlers=Handlers(
                store=self.store,
                pool=FakePool(read),
                gallery=self.gallery,
                cache=GalleryCache(self.gallery, "model", self.metrics, preparing(POPULATION, Policy(0.01, 0.02, 0.6))),
                standards=Standards(POPULATION, 0.001, EnrolmentLimits()),
                identity=Identity("worker-1", "model", "profile"),
                now=time.time,
                keep_unknown=keep_unknown,
            ),
            pace=Pace(
                capacity=3 if ahead_seconds == math.inf else 30,
                visibility_seconds=visibility,
                receive_wait_seconds=0,
                ahead_seconds=ahead_seconds,
            ),
            metrics=self.metrics,
            now=time.time,
        )

    def send(self, sent: Job) -> None:
        self.store.put(sent.key, b"photo", "image/jpeg")
        self.requests.send(sent.encode())

    @contextmanager
    def working(self) -> Iterator[None]:
        thread = threading.Thread(target=self.worker.run)
        thread.start()
        try:
            yield
        finally:
            self.worker.drain()
            thread.join(10)
            assert not thread.is_alive()

    def replies(self) -> list[Result]:
        bodies = [decode_reply(entry.body)[1] for entry in self.queues(REPLIES).entries]
        return [body for body in bodies if body is not None]

    def stored(self) -> Result:
        result: Result = json.loads(self.store.objects[result_key(ULID)])
        return result


def eventually(condition: Callable[[], object], seconds: float = 5.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.005)


def probe(**fields: object) -> Job:
    return job(reply_queue=REPLIES, gallery_version=0, **fields)


def test_a_photo_is_identified_stored_answered_and_deleted() -> None:
    house = House(lambda body, most: reading(face(0.1), face(2.0, side=50)))
    house.gallery.add("default", [template("Ada", "1", encoding(0)), template("Bob", "2", encoding(1))])
    house.send(probe())
    with house.working():
        eventually(house.replies)
        eventually(lambda: not house.requests.entries)
    (reply,) = house.replies()
    assert reply == house.stored()
    assert (reply["id"], reply["state"], reply["gallery_version"], reply["error"]) == (ULID, "done", 1, None)
    first, second = reply["faces"]
    assert (first["decision"], first["person"], first["distance"]) == ("match", "Ada", 0.1)
    assert first["box"] == {"left": 10, "top": 20, "width": 100, "height": 100}
    assert [candidate["person"] for candidate in first["candidates"]] == ["Ada", "Bob"]
    assert (second["decision"], second["person"]) == ("unknown", None)
    assert set(reply["timing"]) == {
        "queued_ms", "fetch_ms", "decode_ms", "detect_ms", "encode_ms", "match_ms", "total_ms",
    }  # fmt: skip


def test_a_photo_that_cannot_be_read_is_answered_at_once() -> None:
    def unreadable(body: bytes, most: int) -> Reading:
        raise PermanentError(Code.IMAGE_UNREADABLE, "damaged")

    house = House(unreadable)
    house.send(probe())
    with house.working():
        eventually(house.replies)
        eventually(lambda: not house.requests.entries)
    assert house.stored()["state"] == "failed"
    assert house.replies()[0]["error"] == {"code": "image-unreadable", "detail": "damaged"}


def test_a_photo_that_is_gone_is_answered_at_once() -> None:
    house = House()
    house.requests.send(probe().encode())
    with house.working():
        eventually(house.replies)
    assert house.replies()[0]["error"] == {
        "code": "image-missing",
        "detail": "the photo was removed before it was read",
    }


@pytest.mark.parametrize("fault", [TransientError(Code.STORAGE_UNAVAILABLE, "away"), RuntimeError("a bug")])
def test_a_job_that_may_succeed_later_goes_back_for_a_while(fault: Exception) -> None:
    def failing(body: bytes, most: int) -> Reading:
        raise fault

    house = House(failing)
    house.send(probe())
    with house.working():
        eventually(lambda: house.requests.holds)
    assert house.requests.holds == [("receipt-0", 2)]
    assert not house.replies()
    assert len(house.requests.entries) == 1


def test_a_job_delivered_again_changes_nothing_but_is_answered() -> None:
    house = House()
    house.send(probe())
    house.requests.send(probe().encode())
    with house.working():
        eventually(lambda: len(house.replies()) == 2)
        eventually(lambda: not house.requests.entries)
    first, second = house.replies()
    assert first == second == house.stored()


def test_a_second_delivery_is_answered_from_the_bucket_without_inference() -> None:
    reads = 0

    def counting(body: bytes, most: int) -> Reading:
        nonlocal reads
        reads += 1
        return reading()

    house = House(counting)
    house.send(probe())
    house.requests.entries[0].deliveries = 1
    house.store.put(result_key(ULID), b'{"id": "earlier"}', "application/json")
    with house.working():
        eventually(lambda: house.queues(REPLIES).entries)
    assert reads == 0
    assert house.stored()["id"] == "earlier"


def test_a_message_that_is_no_job_is_left_to_the_dead_letters() -> None:
    house = House()
    house.requests.send("nonsense")
    with house.working():
        eventually(lambda: house.requests.holds)
    assert [entry.body for entry in house.requests.entries] == ["nonsense"]


def test_draining_finishes_what_is_begun_and_releases_the_rest() -> None:
    begun, go_on = threading.Event(), threading.Event()

    def slow(body: bytes, most: int) -> Reading:
        begun.set()
        assert go_on.wait(10)
        return reading()

    house = House(slow)
    ids = [f"{ULID[:-1]}{letter}" for letter in "ABC"]
    for one in ids:
        house.send(probe(id=one, key=image_key(one)))
    with house.working():
        assert begun.wait(5)
        eventually(lambda: all(entry.deliveries for entry in house.requests.entries))
        house.worker.drain()
        go_on.set()
    assert len(house.replies()) == 1
    assert len(house.requests.entries) == 2
    assert [seconds for _, seconds in house.requests.holds] == [0, 0]
    assert all(entry.visible_at <= time.monotonic() for entry in house.requests.entries)


def test_the_heartbeat_holds_a_job_for_as_long_as_it_takes() -> None:
    reads = 0

    def slow(body: bytes, most: int) -> Reading:
        nonlocal reads
        reads += 1
        time.sleep(2.5)
        return reading()

    house = House(slow, visibility=1)
    house.send(probe())
    with house.working():
        eventually(house.replies)
    assert reads == 1
    assert {seconds for _, seconds in house.requests.holds} == {1}


def test_enrolment_stores_a_template_and_tells_its_version() -> None:
    house = House()
    house.send(probe(operation=Operation.ENROL, person="Ada"))
    with house.working():
        eventually(house.replies)
    (reply,) = house.replies()
    assert reply["photo"] == {"photo": ULID, "name": "photo.jpg", "verdict": "accepted", "detail": "enrolled"}
    assert reply["gallery_version"] == 1
    (stored,) = house.gallery.templates("default")
    assert (stored.person, stored.photo, stored.model, stored.encoding) == ("Ada", ULID, "model", encoding(0))


@pytest.mark.parametrize(
    ("faces", "verdict"),
    [([], "no-face"), ([face(), face(1, side=60)], "several-faces"), ([face(), face(1, side=40)], "accepted")],
)
def test_enrolment_wants_one_person_but_forgives_a_background(faces: list, verdict: str) -> None:
    house = House(lambda body, most: reading(*faces))
    house.send(probe(operation=Operation.ENROL, person="Ada"))
    with house.working():
        eventually(house.replies)
    assert house.replies()[0]["photo"]["verdict"] == verdict
    assert bool(house.gallery.kept) == (verdict == "accepted")


def test_the_same_file_is_enrolled_once() -> None:
    house = House()
    with house.working():
        house.send(probe(operation=Operation.ENROL, person="Ada"))
        eventually(lambda: len(house.replies()) == 1)
        again = f"{ULID[:-1]}A"
        house.send(
            job(
                id=again,
                key=image_key(again),
                reply_queue=REPLIES,
                gallery_version=1,
                operation=Operation.ENROL,
                person="Ada",
            )
        )
        eventually(lambda: len(house.replies()) == 2)
    assert house.replies()[1]["photo"]["verdict"] == "duplicate"
    assert ULID in house.replies()[1]["photo"]["detail"]


def test_an_enrolment_that_died_after_storing_its_template_is_accepted_all_the_same() -> None:
    house = House()
    with house.working():
        house.send(probe(operation=Operation.ENROL, person="Ada"))
        eventually(lambda: len(house.replies()) == 1)
        del house.store.objects[result_key(ULID)]
        house.send(job(reply_queue=REPLIES, gallery_version=1, operation=Operation.ENROL, person="Ada"))
        eventually(lambda: len(house.replies()) == 2)
    assert house.replies()[1]["photo"]["verdict"] == "accepted"
    assert len(list(house.gallery.templates("default"))) == 1, "the template must not be written twice"


def test_a_photo_is_encoded_again_under_its_own_id_and_only_once_by_each_model() -> None:
    house = House()
    house.gallery.add("default", [replace(template("Ada", "P1", encoding(1)), model="older", enrolled_at=1.0)])
    with house.working():
        for number, letter in enumerate("AB"):
            again = f"{ULID[:-1]}{letter}"
            version = house.gallery.version("default")
            fields = {"operation": Operation.ENROL, "person": "Ada", "photo": "P1", "key": "photos/P1"}
            house.send(job(id=again, reply_queue=REPLIES, gallery_version=version, **fields))
            eventually(lambda: len(house.replies()) == number + 1)  # noqa: B023
    assert [reply["photo"]["verdict"] for reply in house.replies()] == ["accepted", "accepted"]
    assert {reply["photo"]["photo"] for reply in house.replies()} == {"P1"}
    rows = [(row.photo, row.model, row.encoding) for row in house.gallery.templates("default", "Ada")]
    assert rows == [("P1", "older", encoding(1)), ("P1", "model", encoding(0))]
    assert [row.enrolled_at for row in house.gallery.photos("default")] == [1.0]


def search(**fields: object) -> Job:
    return probe(operation=Operation.SEARCH, model="model", name="encoding", width=0, height=0, **fields)


def answer_to(house: House, sent: Job, body: bytes) -> Result:
    house.store.put(sent.key, body, "application/octet-stream")
    house.requests.send(sent.encode())
    with house.working():
        eventually(house.replies)
    (reply,) = house.replies()
    assert reply == house.stored()
    return reply


def test_an_encoding_is_searched_for_without_inference() -> None:
    def never(body: bytes, most: int) -> Reading:
        raise AssertionError("there is no photo to read")

    house = House(never)
    house.gallery.add("default", [template("Ada", "1", encoding(0)), template("Bob", "2", encoding(1))])
    reply = answer_to(house, search(top=1), encodings.to_bytes(encoding(0.1)))
    assert (reply["operation"], reply["state"], reply["gallery_version"], reply["error"]) == ("search", "done", 1, None)
    assert "faces" not in reply
    found = reply["match"]
    assert (found["decision"], found["person"], found["distance"]) == ("match", "Ada", 0.1)
    assert [near["person"] for near in found["candidates"]] == ["Ada"]


@pytest.mark.parametrize(
    ("sent", "body", "code"),
    [
        (search(), b"too short", "encoding-invalid"),
        (search(), bytes(512), "encoding-invalid"),
        (search(), encodings.to_bytes([math.nan] * 128), "encoding-invalid"),
        (replace(search(), model="another"), encodings.to_bytes(encoding(0)), "model-mismatch"),
    ],
)
def test_what_cannot_be_searched_for_is_answered_at_once(sent: Job, body: bytes, code: str) -> None:
    reply = answer_to(House(), sent, body)
    assert reply["error"] is not None
    assert (reply["state"], reply["error"]["code"]) == ("failed", code)


STRANGER, BLURRED = face(1.5, side=50), replace(face(1.4), sharpness=0.5)


def test_unknown_faces_are_kept_where_the_operator_wants_it() -> None:
    house = House(lambda body, most: reading(face(0.1), STRANGER, BLURRED), keep_unknown=True)
    house.gallery.add("default", [template("Ada", "1", encoding(0))])
    house.send(probe())
    with house.working():
        eventually(house.replies)
    assert [found["decision"] for found in house.replies()[0]["faces"]] == ["match", "unknown", "unknown"]
    kept = UnknownFaces.from_json(house.store.objects[unknown_key("default", ULID)])
    assert (kept.id, kept.model, kept.name) == (ULID, "model", "photo.jpg")
    (one,) = kept.faces
    assert (one.index, one.box) == (1, {"left": 10, "top": 20, "width": 50, "height": 50})
    assert one.encoding == pytest.approx(encoding(1.5))


@pytest.mark.parametrize(("faces", "keep"), [((STRANGER,), False), ((face(0.1), BLURRED), True), ((), True)])
def test_no_other_faces_are_kept(faces: tuple[FaceReading, ...], keep: bool) -> None:
    house = House(lambda body, most: reading(*faces), keep_unknown=keep)
    house.gallery.add("default", [template("Ada", "1", encoding(0))])
    house.send(probe())
    with house.working():
        eventually(house.replies)
    assert not [key for key in house.store.objects if key.startswith("unknown/")]


def test_a_job_whose_unknown_faces_cannot_be_kept_is_not_answered_yet() -> None:
    house = House(lambda body, most: reading(STRANGER), keep_unknown=True)
    put = house.store.put

    def refusing(key: str, body: bytes, content_type: str) -> None:
        if key.startswith("unknown/"):
            raise TransientError(Code.STORAGE_UNAVAILABLE, "away")
        put(key, body, content_type)

    house.store.put = refusing  # type: ignore[method-assign]
    house.send(probe())
    with house.working():
        eventually(lambda: house.requests.holds)
    assert not house.replies()
    assert result_key(ULID) not in house.store.objects


def test_every_thread_is_free_again_after_faults() -> None:
    def failing(body: bytes, most: int) -> Reading:
        if body == b"bad":
            raise RuntimeError("a bug")
        return reading()

    house = House(failing)
    for letter in "ABCDEFG":
        one = f"{ULID[:-1]}{letter}"
        house.send(probe(id=one, key=image_key(one)))
        house.store.put(image_key(one), b"bad", "image/jpeg")
    with house.working():
        eventually(lambda: len(house.requests.holds) >= 7)
        house.send(probe())
        eventually(house.replies)


def test_a_job_of_a_web_host_that_is_gone_is_settled_all_the_same() -> None:
    house = House()
    house.queues.by_url[REPLIES] = GoneQueue()
    house.send(probe())
    with house.working():
        eventually(lambda: not house.requests.entries)
    assert house.stored()["state"] == "done"


def test_templates_of_another_model_are_not_compared() -> None:
    house = House()
    house.gallery.add("default", [replace(template("Ada", "1", encoding(0)), model="other")])
    house.send(probe())
    with house.working():
        eventually(house.replies)
    assert house.replies()[0]["faces"][0]["decision"] == "unknown"


def test_a_request_queue_that_is_missing_for_a_while_does_not_end_the_worker() -> None:
    house = House()
    receive, calls = house.requests.receive, itertools.count()

    def missing_at_first(limit: int, wait_seconds: int, hide_seconds: int = 30) -> list[Message]:
        if next(calls) == 0:
            raise QueueMissingError("not yet")
        return receive(limit, wait_seconds, hide_seconds)

    house.requests.receive = missing_at_first  # type: ignore[method-assign]
    house.send(probe())
    with house.working():
        eventually(house.replies)


def test_a_worker_lives_while_its_loops_turn_whatever_its_children_and_the_cloud_do(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    begun, go_on = threading.Event(), threading.Event()

    def hanging(body: bytes, most: int) -> Reading:
        begun.set()
        assert go_on.wait(10)
        return reading()

    def away(limit: int, wait_seconds: int, hide_seconds: int = 30) -> list[Message]:
        raise TransientError(Code.STORAGE_UNAVAILABLE, "away")

    monkeypatch.setattr("face_app.worker._LONGEST_TURN", 1.5)
    house = House(hanging, visibility=3)
    house.send(probe())
    with house.working():
        assert begun.wait(5)
        house.requests.receive = away  # type: ignore[method-assign]
        time.sleep(2)
        assert house.worker.is_alive
        go_on.set()


def test_a_worker_whose_queue_loop_is_stuck_is_not_alive(monkeypatch: pytest.MonkeyPatch) -> None:
    go_on = threading.Event()

    def stuck(limit: int, wait_seconds: int, hide_seconds: int = 30) -> list[Message]:
        assert go_on.wait(10)
        return []

    monkeypatch.setattr("face_app.worker._LONGEST_TURN", 0.3)
    house = House()
    house.requests.receive = stuck  # type: ignore[method-assign]
    with house.working():
        assert house.worker.is_alive
        eventually(lambda: not house.worker.is_alive)
        go_on.set()


@pytest.mark.parametrize(
    ("photo_seconds", "jobs"),
    [(0.01, 2 * (1 + 30)), (0.001, 66), (0.1, 2 * (1 + 3)), (1.0, 2 * (1 + 2)), (0.0, 66)],
)
def test_slow_photos_are_not_hoarded(photo_seconds: float, jobs: int) -> None:
    assert Pace(66, 30, 0, slots=2, ahead_seconds=0.3).room(photo_seconds) == jobs


def test_a_worker_that_reads_slow_photos_leaves_the_others_to_its_fellows() -> None:
    begun, gate = threading.Semaphore(0), threading.Event()

    def slow(body: bytes, most: int) -> Reading:
        begun.release()
        gate.wait(5)
        return replace(reading(face()), detect_ms=2000.0)

    house = House(slow, ahead_seconds=0.3)
    for number in range(20):
        house.send(probe(id=f"{ULID[:-2]}{number:02d}", key=image_key(ULID)))
    with house.working():
        eventually(lambda: house.worker.held == 7)  # one in hand and six ahead, by what is assumed at first
        gate.set()
        eventually(lambda: house.worker.finished >= 14)
        assert house.worker.held <= 3
