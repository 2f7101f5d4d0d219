"""Requests that are tried again: what is sent, how long is waited, what is given up."""

import io
import json
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path

import httpx
import pytest

from face_client import FaceClient, FaceServiceError, archives, uploads

Answer = httpx.Response | Exception


class Line:
    """A service that answers as it is told, the last answer for ever."""

    def __init__(self, answers: Sequence[Answer | Callable[[httpx.Request], httpx.Response]]) -> None:
        self.answers = list(answers)
        self.requests: list[httpx.Request] = []
        self.bodies: list[bytes] = []
        self.pauses: list[float] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.bodies.append(request.read())
        self.requests.append(request)
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer if isinstance(answer, httpx.Response) else answer(request)

    def client(self, **options: object) -> FaceClient:
        return FaceClient(
            "http://service",
            transport=httpx.MockTransport(self),
            pause=self.pauses.append,
            **options,  # type: ignore[arg-type]
        )


def problem(status: int, code: str, **headers: str) -> httpx.Response:
    return httpx.Response(status, json={"code": code, "detail": "not now", "id": "J"}, headers=headers)


def ok(body: object) -> httpx.Response:
    return httpx.Response(200, json=body)


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    path = tmp_path / "ada.jpg"
    path.write_bytes(b"a photo")
    return path


FAULTS: list[Answer] = [
    httpx.ConnectError("refused"),
    httpx.ReadError("reset"),
    httpx.RemoteProtocolError("gone"),
    problem(429, "overloaded"),
    httpx.Response(502, text="bad gateway"),
    problem(503, "storage-unavailable"),
    problem(504, "wait-timeout"),
]


@pytest.mark.parametrize("fault", FAULTS, ids=str)
def test_a_post_is_sent_again_the_same_to_the_byte_and_under_the_same_key(fault: Answer, photo: Path) -> None:
    line = Line([fault, fault, ok({"state": "done"})])
    with line.client() as face:
        assert face.identify(photo) == {"state": "done"}
    assert len(line.requests) == 3
    assert len({request.headers["Idempotency-Key"] for request in line.requests}) == 1
    assert len(set(line.bodies)) == 1
    assert b"a photo" in line.bodies[0]
    assert 0.125 <= line.pauses[0] <= 0.25 <= line.pauses[1] <= 0.5


def test_each_call_has_a_key_of_its_own_and_what_only_reads_has_none(photo: Path) -> None:
    line = Line([ok({"state": "done", "people": [], "next": None})])
    with line.client() as face:
        face.identify(photo)
        face.identify(photo)
        face.classic(photo)
        list(face.people())
    keys = [request.headers.get("Idempotency-Key") for request in line.requests]
    assert keys[3] is None
    assert len(set(keys[:3])) == 3


@pytest.mark.parametrize("code", [400, 401, 403, 404, 409, 413, 415, 422, 500])
def test_a_refusal_is_not_tried_again(code: int) -> None:
    line = Line([problem(code, "some-code")])
    with line.client() as face, pytest.raises(FaceServiceError) as caught:
        face.person("Ada")
    assert (caught.value.status, caught.value.code, caught.value.detail) == (code, "some-code", "not now")
    assert (caught.value.job, len(line.requests), line.pauses) == ("J", 1, [])


def test_a_job_that_failed_for_good_is_not_tried_again(photo: Path) -> None:
    line = Line([problem(503, "not-processed")])
    with line.client() as face, pytest.raises(FaceServiceError, match="not-processed"):
        face.identify(photo)
    assert len(line.requests) == 1


def test_the_service_says_how_long_to_wait_and_when_it_is_too_long() -> None:
    line = Line([problem(429, "rate-limited", **{"Retry-After": "7"}), ok([])])
    with line.client() as face:
        face.fleet()
    assert line.pauses == [7.0]
    line = Line([problem(429, "overloaded", **{"Retry-After": "900"})])
    with line.client() as face, pytest.raises(FaceServiceError) as caught:
        face.fleet()
    assert (caught.value.retry_after, line.pauses) == (900.0, [])


def test_a_date_says_when_to_try_again_too() -> None:
    line = Line([problem(503, "server-busy", **{"Retry-After": "Wed, 21 Oct 2015 07:28:00 GMT"})])
    with line.client(retries=0) as face, pytest.raises(FaceServiceError) as caught:
        face.fleet()
    assert caught.value.retry_after == 0


def test_it_gives_up_in_the_end() -> None:
    line = Line([httpx.ConnectError("refused")])
    with line.client(retries=3) as face, pytest.raises(httpx.ConnectError):
        face.fleet()
    assert len(line.requests) == 4
    assert len(line.pauses) == 3


def test_who_has_waited_for_minutes_in_vain_does_not_wait_again() -> None:
    line = Line([httpx.ReadTimeout("nothing")])
    with line.client() as face, pytest.raises(httpx.ReadTimeout):
        face.fleet()
    assert (len(line.requests), line.pauses) == (1, [])


def test_an_answer_that_is_not_the_services_own_is_a_refusal_all_the_same() -> None:
    line = Line([httpx.Response(502, text="<html>nginx")])
    with line.client(retries=0) as face, pytest.raises(FaceServiceError, match="no-problem") as caught:
        face.fleet()
    assert "nginx" in caught.value.detail


def test_key_and_collection_go_with_every_call() -> None:
    line = Line([ok({"people": [], "next": None})])
    with line.client(key="face_a_b", collection="staff") as face:
        list(face.people("ad"))
    (request,) = line.requests
    assert request.headers["Authorization"] == "Bearer face_a_b"
    assert dict(request.url.params) == {"collection": "staff", "search": "ad"}


def test_a_list_is_fetched_page_by_page_and_only_as_far_as_it_is_read() -> None:
    def page(request: httpx.Request) -> httpx.Response:
        start = int(request.url.params.get("after", "0"))
        names = [{"person": str(number), "photos": 1} for number in range(start + 1, start + 4)]
        return ok({"people": names, "next": str(start + 3) if start < 6 else None})

    line = Line([page])
    with line.client() as face:
        assert [entry["person"] for entry in face.people()] == [str(number) for number in range(1, 10)]
        assert len(line.requests) == 3
        assert next(face.people())["person"] == "1"
        assert len(line.requests) == 4


def test_an_erasure_is_waited_for() -> None:
    running, done = {"id": "E", "state": "running"}, {"id": "E", "state": "done", "templates": 2}
    line = Line([httpx.Response(202, json=running), ok(running), ok(done)])
    with line.client() as face:
        assert face.erase("Ada & Bob")["state"] == "done"
    assert [request.url.raw_path.split(b"?")[0] for request in line.requests] == [
        b"/v1/people/Ada%20%26%20Bob",
        b"/v1/erasures/E",
        b"/v1/erasures/E",
    ]


@pytest.mark.parametrize("person", ["..", "a/b", "unknown"])
def test_nobody_is_looked_for_where_a_name_would_lead_elsewhere(person: str) -> None:
    line = Line([])
    with line.client() as face, pytest.raises(FaceServiceError, match="person-invalid"):
        face.erase(person)
    assert not line.requests


def test_a_batch_is_followed_to_its_end() -> None:
    states = [{"id": "B", "state": state} for state in ("queued", "running", "done")]
    line = Line([ok(state) for state in states])
    with line.client() as face:
        assert [state["state"] for state in face.batches.follow("B")] == ["queued", "running", "done"]


def test_results_are_read_line_by_line() -> None:
    lines = [{"index": number, "outcome": "done"} for number in range(3)]
    line = Line([httpx.Response(200, text="".join(json.dumps(one) + "\n" for one in lines))])
    with line.client() as face:
        assert list(face.imports.results("I", outcome="done")) == lines
    assert dict(line.requests[0].url.params) == {"collection": "default", "format": "jsonl", "outcome": "done"}


def test_an_archive_is_sent_from_its_beginning_in_every_try(photo: Path) -> None:
    line = Line([httpx.ReadError("reset"), ok({"id": "B"})])
    with archives.archive([("Ada/1.jpg", photo)]) as packed, line.client() as face:
        face.imports.submit_archive(packed, insist=True, consent="form 7")
    assert line.bodies[0] == line.bodies[1]
    assert zipfile.ZipFile(io.BytesIO(line.bodies[1])).read("Ada/1.jpg") == b"a photo"
    request = line.requests[1]
    assert request.headers["Content-Type"] == "application/zip"
    assert int(request.headers["Content-Length"]) == len(line.bodies[1])
    assert dict(request.url.params) == {"collection": "default", "insist": "true", "consent": "form 7"}


class Unread(httpx.BaseTransport):
    """A service that reads a body bit by bit, as a network does."""

    def __init__(self) -> None:
        self.largest = 0
        self.total = 0

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        assert isinstance(request.stream, httpx.SyncByteStream)
        for chunk in request.stream:
            self.largest = max(self.largest, len(chunk))
            self.total += len(chunk)
        return ok({"id": "B"})


def test_a_large_archive_is_packed_and_sent_in_bits(tmp_path: Path) -> None:
    large = tmp_path / "large.jpg"
    with large.open("wb") as file:
        file.truncate(64 << 20)
    service = Unread()
    with archives.archive([("a", large), ("b", large)]) as packed:
        assert packed.seek(0, io.SEEK_END) > 128 << 20
        with FaceClient("http://service", transport=service) as face:
            face.batches.submit_archive(packed)
    assert service.total > 128 << 20
    assert service.largest <= 1 << 20


def test_thousands_of_photos_are_sent_without_as_many_open_files(photo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[Path] = []
    files: list[io.IOBase] = []
    plain = Path.open

    def counted(self: Path, mode: str) -> io.IOBase:
        opened.append(self)
        assert sum(not file.closed for file in files) <= 1
        files.append(plain(self, mode))  # type: ignore[arg-type]
        return files[-1]

    monkeypatch.setattr(Path, "open", counted)
    line = Line([httpx.ReadError("reset"), ok({"id": "B"})])
    with line.client() as face:
        face.batches.submit_photos([(f"{number}.jpg", photo) for number in range(50)])
    assert len(opened) == 100
    assert line.bodies[0].count(b"a photo") == line.bodies[1].count(b"a photo") == 50
    assert int(line.requests[0].headers["Content-Length"]) == len(line.bodies[0])


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    for name in ("Bob/2.jpg", "Bob/1.PNG", "Ada/1.jpg", "Ada/notes.txt", ".git/x.jpg", "Ada/.hidden.jpg", "loose.jpg"):
        (tmp_path / "t" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "t" / name).write_bytes(b"x")
    return tmp_path / "t"


def test_photos_of_folders_and_people_of_a_folder(tree: Path) -> None:
    assert [name for name, _ in uploads.people_in(tree)] == ["Ada/1.jpg", "Bob/1.PNG", "Bob/2.jpg"]
    given = uploads.photos_under([tree / "Ada" / "notes.txt", tree / "Bob"])
    assert [path.name for path in given] == ["notes.txt", "1.PNG", "2.jpg"]
