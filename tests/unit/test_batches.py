"""Batches over fakes: each file exactly one verdict, whatever breaks on the way."""

import io
import itertools
import json
import threading
import time
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, BinaryIO

import pytest

from face_common.contract import Code, Job, Operation, Result, encode_reply, image_key, photo_key, result_key
from face_common.errors import ServiceError, TransientError
from face_common.loops import Loop
from face_common.ports import Entry
from face_common.results import settle
from face_common.templates import EnrolledPhotoRow
from face_web import batch_traces
from face_web.batches import carrier as carrier_module
from face_web.batches.archive import Limits
from face_web.batches.carrier import Carrier
from face_web.batches.intake import Intake, ended
from face_web.batches.listing import read_listing
from face_web.batches.model import OPEN, Batch, Item, Kind, Listing, Progress, SourceKind, file_id, state_key, view
from face_web.batches.pacing import Pace, Rate
from face_web.batches.results import as_csv, as_json_lines, file_results
from face_web.batches.runner import Drive, Parts, Runner
from face_web.batches.sources import Sources, named
from face_web.replies import ReplyRouter
from face_web.scaler.lease import Lease
from face_web.submit import Submitter
from face_web.traces import Alias, Names
from face_web.traffic import Traffic
from face_web.versions import GalleryVersions
from tests.fakes.cloud import MemoryGallery, MemoryObjectStore, MemoryQueue
from tests.pictures import picture
from tests.unit.test_contract import ULID
from tests.unit.test_worker import eventually

LEASE_SECONDS = 10.0
LATER = "7" + 25 * "Z"
"""An id behind all others."""
PHOTO = picture("PNG", (10, 10))
LIMITS = Limits(entries=20_000, entry_bytes=64 * 1024, bytes=2**22)
FILES = {
    "ada/1.png": PHOTO,
    "ada/2.png": picture("PNG", (11, 10)),
    "bob/1.png": picture("PNG", (12, 10)),
    "bob/notes.txt": b"not a photo",
    "bob/a:b.png": PHOTO,
    "no-folder.png": picture("PNG", (13, 10)),
    "carl/deep/er/1.png": picture("PNG", (14, 10)),
}


class CrashError(BaseException):
    """The host is gone."""


class HostStore(MemoryObjectStore):
    """A host's way to the bucket, which may break: at the call of this number, before or after it is done."""

    def __init__(self, bucket: MemoryObjectStore, broken: Callable[[int], BaseException | None], after: bool) -> None:
        super().__init__()
        self.objects = bucket.objects
        self.modified = bucket.modified
        self._lock = bucket._lock
        self._broken = broken
        self._after = after
        self.calls = 0

    def __getattribute__(self, name: str) -> Any:
        found = super().__getattribute__(name)
        if name not in {
            "put",
            "put_new",
            "put_over",
            "put_file",
            "get",
            "get_range",
            "get_tagged",
            "exists",
            "delete",
            "purge",
        }:
            return found

        def call(*arguments: Any) -> Any:
            self.calls += 1
            error = self._broken(self.calls)
            if error is not None and not self._after:
                raise error
            done = getattr(MemoryObjectStore, name)(self, *arguments)
            if error is not None:
                raise error
            return done

        return call


class Requests(MemoryQueue):
    """A queue whose jobs are answered by workers that are never busy."""

    def __init__(self, bucket: MemoryObjectStore, responses: MemoryQueue) -> None:
        super().__init__()
        self.bucket = bucket
        self.responses = responses
        self.jobs: list[Job] = []
        self.answer: Callable[[Job], Result | None] = answered
        """None: the job is lost."""

    def send(self, body: str) -> None:
        job = Job.decode(body)
        self.jobs.append(job)
        assert job.key in self.bucket.objects
        result = self.answer(job)
        if result is not None:
            self.responses.send(encode_reply(settle(self.bucket, result) or result))


def answered(job: Job) -> Result:
    result: Result = {
        "id": job.id,
        "operation": job.operation.value,
        "state": "done",
        "image": {"name": job.name, "width": job.width, "height": job.height},
        "collection": job.collection,
        "gallery_version": 7,
        "error": None,
    }
    if job.operation is Operation.ENROL:
        verdict: Any = "duplicate" if job.name == "2.png" else "accepted"
        result["person"] = job.person
        result["photo"] = {"photo": job.photo or job.id, "name": job.name, "verdict": verdict, "detail": "seen"}
    else:
        result["faces"] = []
    return result


class Consents:
    """Where consent is noted."""

    def __init__(self) -> None:
        self.required = False
        self.recorded: dict[str, str] = {}

    def require_consent(self, collection: str, person: str) -> None:
        if self.required and person not in self.recorded:
            raise ServiceError(Code.CONSENT_MISSING, f"{person} has not agreed")

    def record_consent(self, collection: str, person: str, reference: str, *, by: str, batch: str) -> None:
        self.recorded[person] = f"{reference} by {by}"
        assert batch == ULID


class Told:
    """Whoever is told of things."""

    def __init__(self) -> None:
        self.files: Counter[tuple[str, str]] = Counter()
        self.open = -1
        self.ended: list[str] = []

    def batch_file(self, kind: str, outcome: str) -> None:
        self.files[kind, outcome] += 1

    def batches_open(self, count: int) -> None:
        self.open = count

    def batch_ended(self, batch: Batch) -> None:
        self.ended.append(batch.id)


class Host:
    """A web host over a bucket that may have others."""

    def __init__(
        self,
        bucket: MemoryObjectStore,
        name: str,
        *,
        broken: Callable[[int], BaseException | None] = lambda call: None,
        after: bool = False,
        ahead: int = 4,
    ) -> None:
        self.store = HostStore(bucket, broken, after)
        self.name = name
        self.skipped = 0.0
        """Seconds by which this host's clock has been put forward."""
        responses = MemoryQueue()
        responses.receive = lambda limit, wait, hide=30, receive=responses.receive: receive(limit, 0.05)  # type: ignore[method-assign, misc, assignment]
        self.requests = Requests(bucket, responses)
        traffic = Traffic(time.time)
        replies = ReplyRouter(responses, traffic)
        gallery = MemoryGallery()
        self.rows: list[EnrolledPhotoRow] = []
        gallery.photos = lambda collection, person=None: self.rows  # type: ignore[method-assign]
        versions = GalleryVersions(gallery)
        submitter = Submitter(
            store=self.store,
            requests=self.requests,
            replies=replies,
            versions=versions,
            traffic=traffic,
            response_queue_url="memory://replies",
            waiting_limit=1,
            uploads_limit=1,
            now=time.time,
        )
        self.consents = Consents()
        self.told = Told()
        self.prompts = 0
        sources = Sources(self.store, gallery, LIMITS, import_prefix="inbox/")
        self.intake = Intake(self.store, LIMITS, import_prefix="inbox/", prompt=self._prompt)
        self.parts = Parts(
            store=self.store,
            sources=sources,
            carrier=Carrier(
                store=self.store,
                submitter=submitter,
                sources=sources,
                consents=self.consents,
                versions=versions,
                observe=lambda result: None,
                max_pixels=10**6,
            ),
            pace=Pace(ahead, 3.0),
            announcer=self.told,
            audience=self.told,
            predicted_wait=lambda: None,
            now=time.time,
            clock=self.clock,
        )
        self.replying = Loop("replies", replies.receive)

    def clock(self) -> float:
        return time.monotonic() + self.skipped

    def _prompt(self) -> None:
        self.prompts += 1

    def lease(self, batch_id: str) -> Lease:
        """The batch's lease, taken over from whoever had it."""
        lease = Lease(self.store, self.name, LEASE_SECONDS, self.clock, state_key(batch_id))
        lease.look()
        if not lease.leading:
            self.skipped += LEASE_SECONDS + 1
            lease.look()
        assert lease.leading
        return lease

    def carry_out(self, batch_id: str) -> None:
        """Go on with a batch to its end, or to one's own."""
        batch = self.intake.find(list(Kind), batch_id)[0]
        Drive(batch, self.lease(batch_id), self.parts, lambda: 1).run()


@contextmanager
def hosted(bucket: MemoryObjectStore, name: str, **options: Any) -> Iterator[Host]:
    host = Host(bucket, name, **options)
    host.replying.start()
    try:
        yield host
    finally:
        host.replying.stop(5)


@pytest.fixture
def bucket() -> MemoryObjectStore:
    return MemoryObjectStore()


@pytest.fixture
def host(bucket: MemoryObjectStore) -> Iterator[Host]:
    with hosted(bucket, "one") as running:
        yield running


@pytest.fixture(autouse=True)
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody waits long for what has failed."""
    monkeypatch.setattr(carrier_module, "_FIRST_PAUSE", 0.001)
    monkeypatch.setattr(carrier_module, "_TURN_SECONDS", 0.05)


def archived(files: dict[str, bytes]) -> BinaryIO:
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as made:
        for path, body in files.items():
            made.writestr(path, body)
    return target


def batch(kind: Kind = Kind.IMPORT, source: SourceKind = SourceKind.ARCHIVE, **fields: Any) -> Batch:
    return Batch(ULID, kind, "default", source, 1000.0, "key-1", **fields)


VERDICTS = {"accepted": 3, "duplicate": 1, "unreadable": 1, "failed": 2}


def verdicts(bucket: MemoryObjectStore, count: int) -> list[Result]:
    """The results of a batch, each file's one."""
    results = [json.loads(body) for key, body in bucket.objects.items() if key.startswith("results/")]
    by_id = {result["id"]: result for result in results}
    assert len(results) == count
    return [by_id[file_id(ULID, index)] for index in range(count)]


def assert_complete(bucket: MemoryObjectStore, host: Host) -> None:
    """The import of FILES has ended, each file has one verdict, and nothing is left that is not needed."""
    _, progress = host.intake.find([Kind.IMPORT], ULID)
    assert (progress.state, progress.finished, dict(progress.outcomes)) == ("done", len(FILES), VERDICTS)
    results = verdicts(bucket, len(FILES))
    assert [result["image"]["name"] for result in results] == [path.rsplit("/")[-1] for path in FILES]
    left = {key.split("/")[0] + "/" for key in bucket.objects}
    assert left == {"batches/", "photos/", "results/"}
    kept = {key for key in bucket.objects if key.startswith("photos/")}
    accepted = {result["id"] for result in results if result["photo"]["verdict"] == "accepted"}
    assert kept == {photo_key(job_id) for job_id in accepted}
    batches = {key for key in bucket.objects if key.startswith("batches/")}
    assert batches == {f"batches/{ULID}/job.json", state_key(ULID), f"batches/of/import/default/{ULID}"}


def test_an_import_gives_every_file_its_verdict(bucket: MemoryObjectStore, host: Host) -> None:
    host.intake.take_archive(batch(), archived(FILES))
    assert host.prompts == 1
    assert view(*host.intake.find([Kind.IMPORT], ULID))["state"] == "queued"
    assert f"{OPEN}{ULID}" in bucket.objects
    host.carry_out(ULID)
    assert_complete(bucket, host)
    people = {result["image"]["name"]: result["person"] for result in verdicts(bucket, len(FILES))}
    assert people["1.png"] == "er"
    assert host.told.files == {("import", outcome): count for outcome, count in VERDICTS.items()}
    details = [result["photo"]["detail"] for result in verdicts(bucket, len(FILES))]
    assert "JPEG" in details[3]
    assert "file name" in details[4]
    assert "<person>/<photo>" in details[5]


def test_what_an_erasure_blanks_is_passed_over_although_its_line_was_read_before(
    bucket: MemoryObjectStore,
) -> None:
    with hosted(bucket, "one", ahead=1) as host:

        def erased_meanwhile(job: Job) -> Result:
            batch_traces.forget(bucket, "default", Names([Alias("bob"), Alias("er")]), LATER)
            return answered(job)

        host.requests.answer = erased_meanwhile
        host.intake.take_archive(batch(consent="form 1"), archived(FILES))
        host.carry_out(ULID)
        assert {job.person for job in host.requests.jobs} == {"ada"}
        assert set(host.consents.recorded) == {"ada"}
    left = {result["person"] for result in verdicts(bucket, len(FILES)) if "person" in result}
    assert left == {"ada", ""}, "not even a refusal names them"


def test_a_log_does_not_say_whose_file_waits(
    bucket: MemoryObjectStore, host: Host, caplog: pytest.LogCaptureFixture
) -> None:
    read, calls = host.parts.sources.read, itertools.count()

    def away(of: Batch, item: Item) -> bytes:
        if next(calls) == 0:
            raise TransientError(Code.STORAGE_UNAVAILABLE, f"S3 answered SlowDown for {item.path}")
        if next(calls) == 2:
            raise RuntimeError(item.path)
        return read(of, item)

    host.parts.sources.read = away  # type: ignore[method-assign]
    host.intake.take_archive(batch(), archived({"Zoë Q/1.png": PHOTO, "Zoë Q/2.png": PHOTO}))
    host.carry_out(ULID)
    reasons = {getattr(record, "reason", "") for record in caplog.records}
    assert {"storage-unavailable", "RuntimeError"} <= reasons
    assert not [record for record in caplog.records if "Zoë Q" in str(vars(record))]


def test_a_batch_looks_through_every_file(bucket: MemoryObjectStore, host: Host) -> None:
    host.intake.take_archive(batch(Kind.BATCH, top=5, max_faces=2, webhook="till"), archived(FILES))
    host.carry_out(ULID)
    _, progress = host.intake.find([Kind.BATCH], ULID)
    assert progress.outcomes == {"done": 5, "type-unsupported": 1, "name-invalid": 1}
    assert {(job.operation, job.top, job.max_faces, job.person) for job in host.requests.jobs} == {
        (Operation.IDENTIFY, 5, 2, "")
    }
    assert host.told.ended == [ULID]
    lines = list(file_results(bucket, *host.intake.find([Kind.BATCH], ULID)))
    assert [line["name"] for line in lines] == list(FILES), "the path of each is kept to the end"


def failing_at(call: int, error: type[BaseException]) -> Callable[[int], BaseException | None]:
    """Storage fails at this call alone, or for a host that dies at it and every later one."""

    def broken(now: int) -> BaseException | None:
        if error is CrashError:
            return CrashError() if now >= call else None
        return TransientError(Code.STORAGE_UNAVAILABLE, "away") if now == call else None

    return broken


def carried_out_by(bucket: MemoryObjectStore, **options: Any) -> bool:
    """Whether a host, breaking as it may, came to the end by itself; a call that fails is made again by and by."""
    with hosted(bucket, "two", **options) as host:
        for _ in range(5):
            try:
                host.carry_out(ULID)
            except TransientError:  # the runner's next look goes on
                continue
            except CrashError:
                return False
            return True
    raise AssertionError("it never ended")


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("error", [TransientError, CrashError])
def test_storage_may_fail_and_a_host_may_die_at_every_step(
    bucket: MemoryObjectStore, error: type[BaseException], after: bool
) -> None:
    with hosted(bucket, "one") as taking:
        taking.intake.take_archive(batch(), archived(FILES))
        begun = dict(bucket.objects)
        with hosted(bucket, "zero") as whole:
            whole.carry_out(ULID)
            calls = whole.store.calls
        assert calls > 30
        for call in range(1, calls + 1):
            bucket.objects.clear()
            bucket.objects.update(begun)
            ended_by_itself = carried_out_by(bucket, broken=failing_at(call, error), after=after)
            assert ended_by_itself or error is CrashError
            if f"{OPEN}{ULID}" in bucket.objects:
                with hosted(bucket, "three") as host:
                    host.carry_out(ULID)
            assert_complete(bucket, taking)


def test_whoever_goes_on_asks_for_nothing_that_has_its_verdict(bucket: MemoryObjectStore) -> None:
    with hosted(bucket, "one") as first:
        first.intake.take_archive(batch(), archived(FILES))
        first.requests.answer = lambda job: answered(job) if job.name != "1.png" else None
        going = threading.Thread(target=lambda: first.carry_out(ULID))
        drives: list[Drive] = []
        lease = first.lease(ULID)
        drive = Drive(first.intake.find(list(Kind), ULID)[0], lease, first.parts, lambda: 1)
        drives.append(drive)
        going = threading.Thread(target=drive.run)
        going.start()
        eventually(lambda: len(first.requests.jobs) >= 3)
        eventually(lambda: result_key(file_id(ULID, 1)) in bucket.objects)
        drive.stop()
        going.join(10)
        assert not going.is_alive()
    with hosted(bucket, "two") as second:
        second.carry_out(ULID)
        assert file_id(ULID, 1) not in {job.id for job in second.requests.jobs}
        assert_complete(bucket, second)


def test_a_lost_job_is_sent_again(bucket: MemoryObjectStore, host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(carrier_module, "_LOOK_SECONDS", 0.0)
    monkeypatch.setattr(carrier_module, "_LOST_SECONDS", 0.05)
    lost: set[str] = set()

    def lose_once(job: Job) -> Result | None:
        if job.id in lost:
            return answered(job)
        lost.add(job.id)
        return None

    host.requests.answer = lose_once
    host.intake.take_archive(batch(), archived(FILES))
    host.carry_out(ULID)
    assert_complete(bucket, host)


def test_a_lost_reply_is_found_in_the_bucket(
    bucket: MemoryObjectStore, host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(carrier_module, "_LOOK_SECONDS", 0.0)

    def answer_in_the_bucket_alone(job: Job) -> None:
        settle(bucket, answered(job))

    host.requests.answer = answer_in_the_bucket_alone
    host.intake.take_archive(batch(), archived(FILES))
    host.carry_out(ULID)
    assert_complete(bucket, host)


def test_a_cancelled_batch_begins_nothing_more(bucket: MemoryObjectStore, host: Host) -> None:
    host.intake.take_archive(batch(), archived(FILES))
    host.intake.cancel(batch())
    host.carry_out(ULID)
    _, progress = host.intake.find([Kind.IMPORT], ULID)
    assert (progress.state, progress.outcomes) == ("cancelled", {"batch-cancelled": len(FILES)})
    assert not host.requests.jobs
    assert {result["error"]["code"] for result in verdicts(bucket, len(FILES)) if result["error"]} == {
        "batch-cancelled"
    }
    with pytest.raises(ServiceError) as caught:
        host.intake.cancel(batch())
    assert caught.value.code is Code.BATCH_FINISHED


def test_a_batch_without_its_archive_fails(bucket: MemoryObjectStore, host: Host) -> None:
    host.intake.take_archive(batch(), archived(FILES))
    del bucket.objects[f"batches/{ULID}/archive.zip"]
    host.carry_out(ULID)
    state = view(*host.intake.find([Kind.IMPORT], ULID))
    assert (state["state"], (state["error"] or {})["code"]) == ("failed", "not-found")
    assert f"{OPEN}{ULID}" not in bucket.objects


def test_a_file_that_meets_a_fault_holds_nobody_up(
    bucket: MemoryObjectStore, host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    def see(name: str, body: bytes, most: int) -> Any:
        if name == "1.png":
            raise RuntimeError("a mistake of ours")
        return check(name, body, most)

    check = carrier_module.check_photo
    monkeypatch.setattr(carrier_module, "check_photo", see)
    host.intake.take_archive(batch(Kind.BATCH), archived(FILES))
    host.carry_out(ULID)
    _, progress = host.intake.find([Kind.BATCH], ULID)
    assert progress.outcomes["internal-error"] == 3
    assert progress.state == "done"


def test_a_damaged_file_has_its_verdict(bucket: MemoryObjectStore, host: Host) -> None:
    file = archived({"ada/1.png": PHOTO, "ada/3.png": PHOTO})
    body = bytearray(file.read() or file.getvalue())  # type: ignore[attr-defined]
    body[45] ^= 0xFF
    host.intake.take_archive(batch(), io.BytesIO(bytes(body)))
    host.carry_out(ULID)
    first, second = verdicts(bucket, 2)
    assert (first["photo"]["verdict"], second["photo"]["verdict"]) == ("unreadable", "accepted")
    assert "damaged" in first["photo"]["detail"]


def test_files_under_a_prefix_are_listed_once(bucket: MemoryObjectStore, host: Host) -> None:
    for path, body in FILES.items():
        bucket.put(f"inbox/{path}", body, "image/png")
    bucket.put("inbox/ada/", b"", "text/plain")
    bucket.put("inbox/big/1.png", bytes(LIMITS.entry_bytes + 1), "image/png")
    bucket.put("elsewhere/ada/1.png", PHOTO, "image/png")
    host.intake.take(batch(source=SourceKind.PREFIX, prefix="inbox/"))
    assert view(*host.intake.find([Kind.IMPORT], ULID))["total"] is None
    host.carry_out(ULID)
    _, progress = host.intake.find([Kind.IMPORT], ULID)
    assert progress.outcomes == {"accepted": 3, "duplicate": 1, "unreadable": 1, "failed": 3}
    assert view(batch(), progress)["total"] == 8
    assert f"batches/{ULID}/entries-1.jsonl" not in bucket.objects, "it has people's names in it"
    no_folder = next(result for result in verdicts(bucket, 8) if result["image"]["name"] == "no-folder.png")
    assert (no_folder["person"], no_folder["photo"]["verdict"]) == ("", "failed")
    assert set(FILES) == {key.removeprefix("inbox/") for key in bucket.objects if key.startswith("inbox/")} - {
        "ada/",
        "big/1.png",
    }


def test_only_what_the_operator_allows_is_taken_by_prefix(bucket: MemoryObjectStore, host: Host) -> None:
    host.intake.check_prefix("inbox/ada/")
    for intake in (host.intake, Intake(bucket, LIMITS, import_prefix="", prompt=lambda: None)):
        for prefix in ("", "inbox", "results/", "other/inbox/"):
            with pytest.raises(ServiceError) as caught:
                intake.check_prefix(prefix)
            assert caught.value.code is Code.PREFIX_FORBIDDEN


def test_a_prefix_with_more_files_than_a_batch_may_have_fails(bucket: MemoryObjectStore, host: Host) -> None:
    class Endless(MemoryObjectStore):
        def entries(self, prefix: str, after: str = "") -> Iterator[Entry]:
            return (Entry(f"inbox/a/{number}", 1, "", 0.0) for number in itertools.count())

    host.parts.sources._store = Endless()
    host.intake.take(batch(source=SourceKind.PREFIX, prefix="inbox/"))
    host.carry_out(ULID)
    state = view(*host.intake.find([Kind.IMPORT], ULID))
    assert (state["state"], (state["error"] or {})["code"]) == ("failed", "archive-too-large")


def test_enrolled_photos_are_encoded_again_where_they_lie(bucket: MemoryObjectStore, host: Host) -> None:
    photos = [file_id(ULID, 1000 + number) for number in range(3)]
    host.rows = [EnrolledPhotoRow("ada", photo, f"{photo}.png", 1.0) for photo in photos]
    for photo in photos:
        bucket.put(photo_key(photo), PHOTO, "image/png")
    host.intake.take(batch(Kind.REENCODING, SourceKind.ENROLLED))
    host.carry_out(ULID)
    assert host.intake.find([Kind.REENCODING], ULID)[1].outcomes == {"accepted": 3}
    assert [(job.photo, job.key, job.person, job.insist) for job in host.requests.jobs] == [
        (photo, photo_key(photo), "ada", True) for photo in photos
    ]
    assert all(photo_key(photo) in bucket.objects for photo in photos)


def test_consent_is_recorded_for_each_person_once(bucket: MemoryObjectStore, host: Host) -> None:
    host.intake.take_archive(batch(consent="form 7"), archived(FILES))
    host.carry_out(ULID)
    assert host.consents.recorded == dict.fromkeys(("ada", "bob", "er"), "form 7 by key-1")


def test_without_consent_nobody_is_enrolled_where_it_is_required(bucket: MemoryObjectStore, host: Host) -> None:
    host.consents.required = True
    host.intake.take_archive(batch(), archived(FILES))
    host.carry_out(ULID)
    assert host.intake.find([Kind.IMPORT], ULID)[1].outcomes == {"failed": len(FILES)}
    assert not host.requests.jobs
    codes = Counter(result["error"]["code"] for result in verdicts(bucket, len(FILES)) if result["error"])
    assert codes["consent-missing"] == 5


def test_a_request_that_is_sent_again_changes_nothing(bucket: MemoryObjectStore, host: Host) -> None:
    first = host.intake.take_archive(batch(), archived(FILES))
    host.carry_out(ULID)
    again = host.intake.take_archive(batch(), archived(FILES))
    assert again == first
    host.carry_out(ULID)
    assert_complete(bucket, host)
    assert len(host.requests.jobs) == 4


def test_batches_are_found_newest_first_and_in_pages(bucket: MemoryObjectStore, host: Host) -> None:
    ids = [file_id(f"01J{number}{ULID[4:]}", 0) for number in range(5)]
    for batch_id in ids:
        host.intake.take(Batch(batch_id, Kind.BATCH, "default", SourceKind.PREFIX, 1.0, "k", prefix="inbox/"))
    host.intake.take(Batch(ULID, Kind.BATCH, "other", SourceKind.PREFIX, 1.0, "k", prefix="inbox/"))
    seen, after = [], ""
    for _ in range(3):
        page = host.intake.page(Kind.BATCH, "default", 2, after)
        seen += [found.id for found, _ in page.batches]
        assert page.total == 5
        after = page.next or ""
    assert seen == ids[::-1]
    assert after == ""
    assert host.intake.page(Kind.IMPORT, "default", 2, "").total == 0
    with pytest.raises(ServiceError) as caught:
        host.intake.find([Kind.IMPORT], ids[0])
    assert caught.value.code is Code.NOT_FOUND


class CountingStore(MemoryObjectStore):
    """A bucket with ten thousand photos in its inbox, which counts those that a host has in its hands."""

    def __init__(self, count: int) -> None:
        super().__init__()
        self.count = count
        self.in_hand: set[int] = set()
        self.most = 0
        self._counting = threading.Lock()

    def entries(self, prefix: str, after: str = "") -> Iterator[Entry]:
        if prefix != "inbox/":
            yield from super().entries(prefix, after)
            return
        for number in range(self.count):
            yield Entry(f"inbox/{number:05d}.png", len(PHOTO), "", 0.0)

    def get(self, key: str) -> bytes:
        if not key.startswith("inbox/"):
            return super().get(key)
        body = bytes(bytearray(PHOTO))  # a copy, known by its address
        with self._counting:
            self.in_hand.add(threading.get_ident())
            self.most = max(self.most, len(self.in_hand))
        return body

    def put(self, key: str, body: bytes, content_type: str) -> None:
        super().put(key, body if not key.startswith("images/") else b"", content_type)
        with self._counting:
            self.in_hand.discard(threading.get_ident())


def test_ten_thousand_photos_are_never_in_memory_at_once() -> None:
    store = CountingStore(10_000)
    with hosted(store, "one", ahead=32) as host:
        for part in (host.parts.sources, host.parts.carrier._submitter):
            part._store = store
        on_their_way: list[int] = []
        send = host.requests.send

        def count_and_send(body: str) -> None:
            on_their_way.append(len(host.parts.carrier._submitter._replies._waiting))
            send(body)

        host.requests.send = count_and_send  # type: ignore[method-assign]
        host.store.objects = store.objects
        host.intake.take(batch(Kind.BATCH, SourceKind.PREFIX, prefix="inbox/"))
        host.carry_out(ULID)
        _, progress = host.intake.find([Kind.BATCH], ULID)
        assert (progress.state, progress.outcomes) == ("done", {"done": 10_000})
        assert 1 <= store.most <= 8
        assert max(on_their_way) <= 32
        assert len({job.id for job in host.requests.jobs}) == len(host.requests.jobs) == 10_000


def test_a_runner_carries_out_what_is_open_and_gives_it_up_when_it_stops(bucket: MemoryObjectStore) -> None:
    with hosted(bucket, "one") as first, hosted(bucket, "two") as second:
        runners = [
            Runner(host.parts, host.name, lease_seconds=0.5, at_once=2, look_seconds=0.02) for host in (first, second)
        ]
        let_go = threading.Event()
        first.requests.answer = second.requests.answer = lambda job: answered(job) if let_go.is_set() else None
        loops = [Loop("batches", runner.step) for runner in runners]
        first.intake.take_archive(batch(), archived(FILES))
        loops[0].start()
        eventually(lambda: len(first.requests.jobs) > 0)
        assert first.told.open == 1
        loops[1].start()
        time.sleep(0.7)
        assert not second.requests.jobs, "one host carries it out, and renews its lease"
        let_go.set()
        runners[0].stop(10)
        eventually(lambda: f"{OPEN}{ULID}" not in bucket.objects)
        assert second.requests.jobs
        assert_complete(bucket, second)
        for loop, runner in zip(loops, runners, strict=True):
            runner.stop(5)
            loop.stop(5)


def test_a_marker_without_a_batch_is_removed(bucket: MemoryObjectStore, host: Host) -> None:
    bucket.put(f"{OPEN}{ULID}", b"", "text/plain")
    runner = Runner(host.parts, "one", lease_seconds=1, at_once=1, look_seconds=0.0)
    runner.step()
    assert bucket.objects == {}


def test_ids_are_ulids_of_the_batch_s_own_time() -> None:
    ids = [file_id(ULID, index) for index in range(1000)]
    assert len(set(ids)) == 1000
    assert {job_id[:10] for job_id in ids} == {ULID[:10]}
    assert file_id(ULID, 3) == ids[3]


@pytest.mark.parametrize(
    ("path", "person", "name", "code"),
    [
        ("ada/1.jpg", "ada", "1.jpg", ""),
        ("x/y/ada/1.jpg", "ada", "1.jpg", ""),
        ("1.jpg", "", "1.jpg", "person-invalid"),
        ("../1.jpg", "..", "1.jpg", "person-invalid"),
        ("/etc/passwd", "etc", "passwd", ""),
        ("unknown/1.jpg", "unknown", "1.jpg", "person-invalid"),
        ("ada/a\nb.jpg", "ada", "a\nb.jpg", "name-invalid"),
        ("ada/", "ada", "", "name-invalid"),
    ],
)
def test_a_person_is_the_folder_right_above_a_file(path: str, person: str, name: str, code: str) -> None:
    item = named(Kind.IMPORT, Item(path, ""), path)
    assert (item.person, item.name, item.code) == (person, name, code)
    assert not named(Kind.BATCH, Item(path, ""), path).person


def test_a_listing_is_read_from_any_place_on(bucket: MemoryObjectStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("face_web.batches.listing._CHUNK", 7)
    items = [Item(path=f"ü/{number}.jpg", name=f"{number}.jpg", person="ü", at=number) for number in range(5)]
    body = b"".join(item.encode() for item in items)
    bucket.put("l", body, "")
    listing = Listing("l", 5, len(body))
    read = list(read_listing(bucket, listing))
    assert [item for item, _ in read] == items
    for number, (_, offset) in enumerate(read):
        assert [item for item, _ in read_listing(bucket, listing, offset)] == items[number + 1 :]


def test_the_window_follows_the_rate_and_gives_way() -> None:
    pace = Pace(ahead=64, wait_seconds=3.0)
    assert pace.room(None, 1, None) == 8, "until it is measured"
    assert pace.room(10.0, 1, None) == 30
    assert pace.room(10.0, 2, None) == 15
    assert pace.room(100.0, 1, 1.0) == 64
    assert pace.room(100.0, 1, 5.0) == 8, "others wait"
    assert pace.room(0.1, 3, None) == 8, "some are always on their way"
    assert Pace(ahead=2, wait_seconds=3.0).room(100.0, 1, None) == 2


def test_the_rate_is_that_of_late() -> None:
    rate = Rate()
    assert rate.per_second() is None
    for second in range(100):
        rate.note(second, 0 if second < 50 else (second - 50) * 4)
    assert rate.per_second() == pytest.approx(4)


def test_an_eta_follows_from_the_rate() -> None:
    running = Progress(state="running", finished=10, rate_per_s=4.0, listing=Listing("k", 100, 1))
    assert view(batch(), running)["eta_s"] == 23
    assert view(batch(), Progress())["eta_s"] is None
    assert Progress.of(json.loads(json.dumps(running.publish()))) == running


def results_of(host: Host) -> tuple[Batch, Progress]:
    host.intake.take_archive(batch(), archived(FILES))
    host.carry_out(ULID)
    return host.intake.find([Kind.IMPORT], ULID)


def test_results_are_told_in_order_as_lines_and_as_csv(bucket: MemoryObjectStore, host: Host) -> None:
    found = results_of(host)
    lines = [json.loads(line) for line in as_json_lines(file_results(bucket, *found))]
    assert [line["index"] for line in lines] == list(range(len(FILES)))
    assert [line["outcome"] for line in lines[:4]] == ["accepted", "duplicate", "accepted", "unreadable"]
    assert set(lines[0]) == {"index", "name", "outcome", "detail", "id", "result"}
    rows = b"".join(as_csv(file_results(bucket, *found))).decode().splitlines()
    assert rows[0] == "index,name,outcome,person,distance,decision,faces,detail,id"
    assert rows[1] == f"0,1.png,accepted,ada,,,,seen,{file_id(ULID, 0)}"
    assert [line["index"] for line in file_results(bucket, *found, outcome="failed")] == [4, 5]


def test_a_result_that_is_gone_is_said_to_be(bucket: MemoryObjectStore, host: Host) -> None:
    found = results_of(host)
    del bucket.objects[result_key(file_id(ULID, 2))]
    line = list(file_results(bucket, *found))[2]
    assert (line["outcome"], line["result"], line["id"]) == ("not-found", None, file_id(ULID, 2))


def test_of_several_faces_the_one_that_says_most_is_shown(bucket: MemoryObjectStore) -> None:
    def face(decision: str, person: str | None, distance: float | None) -> Any:
        return {"decision": decision, "person": person, "distance": distance}

    faces = [face("unknown", None, 0.9), face("match", "=ada()", 0.25), face("ambiguous", None, 0.4)]
    result = answered(Job(ULID, Operation.IDENTIFY, "", "-x.png", "default", 0, "", 0.0, 1, 1)) | {"faces": faces}
    line: Any = {"index": 0, "name": "-x.png", "outcome": "done", "detail": "", "id": ULID, "result": result}
    row = b"".join(as_csv(iter([line]))).decode().splitlines()[1]
    assert row == f"0,'-x.png,done,'=ada(),0.2500,match,3,,{ULID}"


def test_results_are_read_ahead_but_not_all_at_once(bucket: MemoryObjectStore) -> None:
    reads: list[str] = []
    get = bucket.get

    def count_and_get(key: str) -> bytes:
        reads.append(key)
        return get(key)

    bucket.get = count_and_get  # type: ignore[method-assign]
    found = file_results(bucket, batch(), Progress(state="done", finished=5000))
    assert next(found)["index"] == 0
    assert len(reads) <= 100
    assert sum(1 for _ in found) == 4999


def test_what_there_is_to_tell_of_an_end(bucket: MemoryObjectStore, host: Host) -> None:
    host.intake.take_archive(batch(), archived(FILES))
    assert ended(bucket, "import", ULID) is None
    host.carry_out(ULID)
    state, what = ended(bucket, "import", ULID) or ("", {})
    assert (state, what["id"], what["outcomes"]) == ("done", ULID, VERDICTS)
    job_id = file_id(ULID, 0)
    assert (ended(bucket, "identification", job_id) or ("",))[0] == "done"
    assert ended(bucket, "identification", file_id(ULID, 99)) is None


def test_the_probes_of_a_batch_lie_where_those_of_a_request_do(bucket: MemoryObjectStore, host: Host) -> None:
    host.intake.take_archive(batch(Kind.BATCH), archived({"1.png": PHOTO}))
    host.carry_out(ULID)
    assert bucket.objects[image_key(file_id(ULID, 0))] == PHOTO
