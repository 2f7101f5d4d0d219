"""The web tier's middle over fakes: submission, replies, dead letters, versions."""

import json
import re
import threading
import time
from collections.abc import Sequence
from dataclasses import replace
from itertools import count
from typing import cast

import pytest
from prometheus_client import generate_latest

from face_common.contract import (
    Code,
    Face,
    Job,
    Operation,
    Result,
    encode_reply,
    failed_result,
    image_key,
    other_image_key,
    photo_key,
    result_key,
)
from face_common.errors import ServiceError, TransientError
from face_web.dead_letters import DeadLetters
from face_web.metrics import WebMetrics
from face_web.photos import Photo
from face_web.replies import ReplyRouter
from face_web.submit import Order, Submission, Submitter
from face_web.traffic import Traffic
from face_web.versions import GalleryVersions
from tests.fakes.cloud import MemoryGallery, MemoryObjectStore, MemoryQueue, MemoryQueues
from tests.unit.test_contract import ULID, job
from tests.unit.test_worker import GoneQueue

PHOTO = Photo("photo.jpg", b"bytes", "image/jpeg", 640, 480)
ORDER = Order(Operation.IDENTIFY, "default")


class Door:
    """A submitter with everything around it in memory."""

    def __init__(self, waiting_limit: int = 2, response_queue_url: str = "memory://responses") -> None:
        self.store = MemoryObjectStore()
        self.requests, self.responses = MemoryQueue(), MemoryQueue()
        self.gallery = MemoryGallery()
        self.traffic = Traffic(lambda: 123.5)
        self.replies = ReplyRouter(self.responses, self.traffic)
        self.versions = GalleryVersions(self.gallery)
        self.numbers = count()
        self.submitter = Submitter(
            store=self.store,
            requests=self.requests,
            replies=self.replies,
            versions=self.versions,
            traffic=self.traffic,
            response_queue_url=response_queue_url,
            waiting_limit=waiting_limit,
            uploads_limit=1,
            now=lambda: 123.5,
        )

    def submit(self, photos: Sequence[Photo], order: Order) -> Submission:
        return self.submitter.submit(photos, order, f"{ULID[:-4]}{next(self.numbers):04d}")

    def sent(self) -> list[Job]:
        return [Job.decode(entry.body) for entry in self.requests.entries]


def soon() -> float:
    return time.monotonic() + 5


def test_a_submission_stores_the_photo_and_sends_the_job() -> None:
    door = Door()
    submission = door.submit([PHOTO], Order(Operation.ENROL, "team", person="Ada", top=5, max_faces=7))
    (sent,) = door.sent()
    assert door.store.objects == {photo_key(submission.id): b"bytes"}
    assert sent == job(
        id=submission.id,
        key=photo_key(submission.id),
        operation=Operation.ENROL,
        collection="team",
        person="Ada",
        gallery_version=0,
        reply_queue="memory://responses",
        submitted_at=123.5,
        top=5,
        max_faces=7,
    )


def test_a_pair_is_one_job_with_both_photos() -> None:
    door = Door()
    other = Photo("other.png", b"more", "image/png", 8, 8)
    submission = door.submit([PHOTO, other], Order(Operation.VERIFY, "default"))
    (sent,) = door.sent()
    assert door.store.objects == {image_key(submission.id): b"bytes", other_image_key(submission.id): b"more"}
    assert (sent.operation, sent.name, sent.other_name) == (Operation.VERIFY, "photo.jpg", "other.png")
    assert (sent.width, sent.height, door.traffic.arrived) == (640, 480, 1)
    door.submitter.discard(submission.id)
    assert door.store.objects == {}


def test_names_that_do_not_fit_into_a_job_are_refused_before_anything_is_stored() -> None:
    door = Door(response_queue_url="https://" + "q" * 300)
    long = [replace(PHOTO, name="é" * 127), replace(PHOTO, name="x" * 255)]
    with pytest.raises(ServiceError, match="file names of 509 bytes in all are longer") as caught:
        door.submit(long, Order(Operation.VERIFY, "default"))
    assert caught.value.code is Code.NAME_INVALID
    assert door.store.objects == {}
    assert (door.sent(), door.replies.waiting(), door.traffic.arrived) == ([], 0, 0)
    door.submit([PHOTO, long[0]], Order(Operation.VERIFY, "default"))


def test_a_pair_whose_second_photo_cannot_be_stored_sends_no_job(monkeypatch: pytest.MonkeyPatch) -> None:
    door = Door()
    put = door.store.put

    def failing_other(key: str, body: bytes, content_type: str) -> None:
        if key.endswith("-other"):
            raise TransientError(Code.STORAGE_UNAVAILABLE, "away")
        put(key, body, content_type)

    monkeypatch.setattr(door.store, "put", failing_other)
    with pytest.raises(TransientError):
        door.submit([PHOTO, PHOTO], Order(Operation.VERIFY, "default"))
    assert (door.sent(), door.replies.waiting()) == ([], 0)


def test_every_operation_is_counted_and_only_identified_faces_by_decision() -> None:
    metrics = WebMetrics()
    place: Face = {
        "box": {"left": 0, "top": 0, "width": 9, "height": 9},
        "landmarks": [],
        "quality": {"size": 9, "sharpness": 1.0, "yaw": 0.0, "score": 1.0, "reasons": []},
    }
    for operation in (Operation.IDENTIFY, Operation.DETECT, Operation.VERIFY):
        done = failed_result(job(operation=operation), Code.INTERNAL, "") | {"state": "done", "faces": [place, place]}
        if operation is Operation.IDENTIFY:
            done["faces"] = [{**place, "decision": "unknown"}]
        if operation is Operation.VERIFY:
            done["verification"] = {"decision": "same"}
        metrics.observe(cast("Result", done))
    text = generate_latest(metrics.registry).decode()
    for operation in (Operation.IDENTIFY, Operation.DETECT, Operation.VERIFY):
        assert f'face_web_jobs_total{{operation="{operation.value}",state="done"}} 1.0' in text
    assert re.findall(r"face_web_faces_total{.*", text) == ['face_web_faces_total{decision="unknown"} 1.0']
    assert 'face_web_verifications_total{decision="same"} 1.0' in text


def test_each_answer_reaches_its_own_request() -> None:
    door = Door()
    submissions = [door.submit([PHOTO], ORDER) for _ in range(2)]
    for sent in reversed(door.sent()):
        door.responses.send(encode_reply(failed_result(sent, Code.IMAGE_UNREADABLE, sent.id)))
    door.responses.send("nonsense")
    door.replies.receive()
    for submission in submissions:
        result = submission.result(soon())
        assert result is not None
        assert result["id"] == submission.id
    assert not door.responses.entries


def test_an_answer_that_nobody_waits_for_is_dropped() -> None:
    door = Door()
    door.responses.send(encode_reply(failed_result(job(), Code.INTERNAL, "late")))
    door.replies.receive()
    assert not door.responses.entries


def test_a_result_too_large_for_a_reply_is_read_from_the_bucket() -> None:
    door = Door()
    submission = door.submit([PHOTO], ORDER)
    door.store.put(result_key(submission.id), b'{"id": "large"}', "application/json")
    door.responses.send(json.dumps({"id": submission.id}))
    door.replies.receive()
    assert submission.result(soon()) == {"id": "large"}


def test_when_the_wait_is_over_the_bucket_has_the_last_word() -> None:
    door = Door()
    submission = door.submit([PHOTO], ORDER)
    door.store.put(result_key(submission.id), b'{"id": "x"}', "application/json")
    assert submission.result(time.monotonic()) == {"id": "x"}


def test_no_result_in_time_is_none() -> None:
    door = Door()
    assert door.submit([PHOTO], ORDER).result(time.monotonic() + 0.01) is None


def test_a_photo_that_cannot_be_stored_sends_no_job() -> None:
    door = Door()
    door.store.fault = TransientError(Code.STORAGE_UNAVAILABLE, "away")
    with pytest.raises(TransientError):
        door.submit([PHOTO], ORDER)
    assert not door.requests.entries


def test_waiting_places_are_limited_and_given_back() -> None:
    door = Door(waiting_limit=1)
    with door.submitter.waiting_place(required=True) as first, door.submitter.waiting_place(required=False) as second:
        assert (first, second) == (True, False)
        with pytest.raises(ServiceError, match="server-busy"), door.submitter.waiting_place(required=True):
            pass
    with door.submitter.waiting_place(required=True) as again:
        assert again


def test_versions_never_go_back() -> None:
    gallery = MemoryGallery()
    versions = GalleryVersions(gallery)
    assert versions.at_least("c") == 0
    versions.saw("c", 5)
    versions.saw("c", 3)
    versions.refresh()
    assert versions.at_least("c") == 5
    gallery.kept["c"] = {9: []}
    versions.refresh()
    assert versions.at_least("c") == 9


def dead(store: MemoryObjectStore, queue: MemoryQueue, queues: MemoryQueues) -> DeadLetters:
    return DeadLetters(dead_letters=queue, queues=queues, store=store, now=lambda: 123.5, count=lambda _: None)


def test_a_dead_job_is_answered_with_a_failed_result() -> None:
    store, queue, queues = MemoryObjectStore(), MemoryQueue(), MemoryQueues()
    queue.send(job(reply_queue="memory://r").encode())
    dead(store, queue, queues).receive()
    stored = json.loads(store.objects[result_key(ULID)])
    assert (stored["state"], stored["error"]["code"]) == ("failed", "not-processed")
    assert json.loads(queues("memory://r").entries[0].body)["result"] == stored
    assert not queue.entries


def test_a_dead_job_with_a_result_is_answered_with_that() -> None:
    store, queue, queues = MemoryObjectStore(), MemoryQueue(), MemoryQueues()
    done = {"id": "done", "error": None}
    store.put(result_key(ULID), json.dumps(done).encode(), "application/json")
    queue.send(job(reply_queue="memory://r").encode())
    dead(store, queue, queues).receive()
    assert json.loads(queues("memory://r").entries[0].body) == {"id": "done", "result": done}
    assert set(store.objects) == {result_key(ULID)}, "it is not noted"


def test_a_dead_letter_that_is_no_job_stays_for_an_operator() -> None:
    store, queue, queues = MemoryObjectStore(), MemoryQueue(), MemoryQueues()
    queue.send("nonsense")
    dead(store, queue, queues).receive()
    assert len(queue.entries) == 1
    assert queue.holds == [("receipt-0", 43200)]


def test_waiting_threads_are_woken_by_the_answer() -> None:
    door = Door()
    submission = door.submit([PHOTO], ORDER)
    got: list[object] = []
    thread = threading.Thread(target=lambda: got.append(submission.result(soon())))
    thread.start()
    door.responses.send(encode_reply(failed_result(door.sent()[0], Code.IMAGE_UNREADABLE, "x")))
    door.replies.receive()
    thread.join(5)
    assert len(got) == 1


def test_a_result_that_cannot_be_looked_up_is_no_fault_of_the_request() -> None:
    door = Door()
    submission = door.submit([PHOTO], ORDER)
    door.store.fault = TransientError(Code.STORAGE_UNAVAILABLE, "away")
    assert submission.result(time.monotonic()) is None


def test_uploads_are_limited_and_the_impatient_are_told_soon() -> None:
    door = Door()
    with door.submitter.uploading(patient=True):
        began = time.monotonic()
        with pytest.raises(ServiceError, match="server-busy"), door.submitter.uploading(patient=False):
            pass
        assert time.monotonic() - began < 3
    with door.submitter.uploading(patient=False):
        pass


def test_only_so_many_collections_are_remembered() -> None:
    gallery = MemoryGallery()
    versions = GalleryVersions(gallery)
    for number in range(500):
        versions.saw(f"c-{number}", number)
    looked_up: list[str] = []
    gallery.version = lambda collection: looked_up.append(collection) or 7  # type: ignore[method-assign, func-returns-value]
    versions.refresh()
    assert len(looked_up) == 64
    assert versions.at_least("c-499") == 499
    assert versions.at_least("c-0") == 7, "what was forgotten is looked up"


def test_a_dead_job_of_a_web_host_that_is_gone_is_settled_all_the_same() -> None:
    store, queue, queues = MemoryObjectStore(), MemoryQueue(), MemoryQueues()
    queues.by_url["memory://gone"] = GoneQueue()
    queue.send(job(reply_queue="memory://gone").encode())
    dead(store, queue, queues).receive()
    assert result_key(ULID) in store.objects
    assert not queue.entries


def test_when_the_host_ends_whoever_waits_and_comes_to_wait_looks_for_the_result_once() -> None:
    door = Door()
    submission = door.submit([PHOTO], ORDER)
    answered = door.submit([PHOTO], ORDER)
    door.store.put(result_key(answered.id), b'{"id": "stored"}', "application/json")
    door.replies.dismiss()
    later = door.submit([PHOTO], ORDER)
    began = time.monotonic()
    assert (submission.result(soon()), later.result(soon())) == (None, None)
    assert answered.result(soon()) == {"id": "stored"}
    assert time.monotonic() - began < 1
    assert len(door.sent()) == 3, "what is not waited for is done all the same"


def test_a_word_to_itself_ends_the_long_poll_and_is_no_answer() -> None:
    door = Door()
    submission = door.submit([PHOTO], ORDER)
    polling = threading.Thread(target=door.replies.receive)
    polling.start()
    door.replies.wake()
    polling.join(5)
    assert not polling.is_alive()
    assert (door.responses.entries, door.replies.waiting()) == ([], 1)
    assert submission.result(time.monotonic()) is None
