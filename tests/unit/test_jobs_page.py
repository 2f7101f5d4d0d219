"""Jobs: batches, imports and re-encodings, their files, and the jobs that no worker could finish."""

import datetime
import io
import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from face_common.contract import Code, failed_result, image_key
from face_common.loops import Loop
from face_common.results import settle
from face_web.access import Caller, Role
from face_web.batches.model import Batch, Kind, Listing, Progress, SourceKind, index_prefix, job_key, state_key, view
from face_web.keys import new_key_id
from face_web.pages import jobs as page
from face_web.pages.jobs import shares, shown, span, told, tone
from tests.unit.test_batch_calls import PEOPLE, finished, zipped
from tests.unit.test_contract import ULID, job
from tests.unit.test_http import ADA, BOB, Service, enrol, running
from tests.unit.test_redrives import dead, die
from tests.unit.test_worker import eventually

PART = {"HX-Request": "true"}
LATER = datetime.datetime(2026, 11, 1, 10, 1, 1, tzinfo=datetime.UTC)


@pytest.fixture
def service() -> Service:
    """A service that carries nothing out."""
    return Service()


@pytest.fixture
def client(service: Service) -> FlaskClient:
    return service.app.test_client()


@pytest.fixture
def working() -> Iterator[Service]:
    """A service that carries batches out."""
    with running(Service()) as found:
        runner = found.batching.runner
        runner._look_seconds = 0.02
        loop = Loop("batches", runner.step)
        loop.start()
        yield found
        runner.stop(5)
        loop.stop(5)


def kept(service: Service, number: int, kind: Kind = Kind.BATCH, total: int = 4, **progress: Any) -> Batch:
    """A batch that lies in the bucket as it is, whoever carries it out."""
    batch = Batch(
        id=f"{ULID[:-4]}8{number:03d}",
        kind=kind,
        collection="default",
        source=SourceKind.ARCHIVE,
        created_at=1_793_527_200.0,
        created_by="key",
        listing=Listing("nowhere", total, 9),
    )
    store = service.house.store
    store.put(job_key(batch.id), batch.encode(), "application/json")
    store.put(f"{index_prefix(kind, 'default')}{batch.id}", b"", "text/plain")
    if progress:
        published = Progress(**progress).publish()
        store.put(state_key(batch.id), json.dumps({"published": published}).encode(), "application/json")
    return batch


def test_there_is_nothing_at_first(client: FlaskClient) -> None:
    found = client.get("/jobs")
    assert found.status_code == 200
    assert "No jobs yet" in found.text
    assert 'href="/people/import"' in found.text
    assert "every 2s" not in found.text


def test_jobs_of_all_kinds_are_listed_newest_first(service: Service, client: FlaskClient) -> None:
    batch = kept(service, 1, state="done", finished=4, outcomes={"done": 3, "image-empty": 1})
    imported = kept(service, 2, Kind.IMPORT, state="done", finished=4, outcomes={"accepted": 4})
    anew = kept(service, 3, Kind.REENCODING, state="cancelled")
    found = client.get("/jobs").text
    places = [f"/jobs/reencodings/{anew.id}", f"/jobs/imports/{imported.id}", f"/jobs/batches/{batch.id}"]
    assert re.findall(r'href="(/jobs/\w+/\w{26})"', found) == places
    assert "3 done" in found
    assert "1 image-empty" in found
    assert 'aria-label="4 of 4 files, 3 done, 1 image-empty"' in found
    assert "every 2s" not in found


def test_the_list_is_looked_at_again_while_something_runs(service: Service, client: FlaskClient) -> None:
    kept(service, 1, state="running", finished=1, outcomes={"done": 1}, started_at=1_793_527_201.0, rate_per_s=1.0)
    part = client.get("/jobs", headers=PART).text
    assert 'hx-trigger="every 2s"' in part
    assert "1 of 4 files" in part
    assert "3 s to go" in part
    assert "<html" not in part


def test_there_are_pages_of_jobs(service: Service, client: FlaskClient) -> None:
    made = [kept(service, number, state="done") for number in range(25)]
    first = client.get("/jobs").text
    after = re.search(r'href="(/jobs\?after=\w+)"', first)
    assert after
    assert made[24].id in first
    rest = client.get(after[1]).text
    assert made[0].id in rest
    assert made[24].id not in rest
    assert "Newest" in rest


def begin(client: FlaskClient, *files: tuple[str, bytes], **fields: str) -> TestResponse:
    sent = [(io.BytesIO(body), name) for name, body in files]
    return client.post("/jobs/batches", data={"file": sent, **fields}, content_type="multipart/form-data")


def test_a_form_begins_a_batch_of_photos_or_of_a_zip(working: Service) -> None:
    client = working.app.test_client()
    enrol(client, "Ada", ADA)
    for files in ([("a.png", ADA), ("b.png", BOB)], [("all.zip", zipped(("a.png", ADA), ("b.png", BOB)))]):
        answer = begin(client, *files)
        assert answer.status_code == 303
        state = f"/v1/batches/{answer.location.rpartition('/')[2]}"
        eventually(lambda state=state: client.get(state).get_json()["state"] == "done")  # type: ignore[misc]
        found = client.get(answer.location).text
        assert re.search(r'href="/identifications/\w{26}">a.png</a>', found)
        assert '<span class="badge match">Ada</span>' in found
        assert '<span class="badge unknown">unknown</span>' in found
        assert "format=csv" in found
        assert "every" not in found, "it has ended"


def test_a_form_without_a_file_is_refused(client: FlaskClient) -> None:
    answer = client.post("/jobs/batches", data={})
    assert answer.status_code == 400
    assert "image-missing" in answer.text


def test_sent_twice_a_form_begins_one_batch(client: FlaskClient) -> None:
    first, second = (begin(client, ("a.png", ADA), once="abc") for _ in range(2))
    assert first.location == second.location


def test_the_files_of_an_import_by_their_outcome(working: Service) -> None:
    client = working.app.test_client()
    state = finished(client, client.post("/v1/imports", data=PEOPLE, content_type="application/zip"))
    found = client.get(f"/jobs/imports/{state['id']}").text
    assert len(re.findall(r'<th scope="row">', found)) == 4
    assert f"/v1/imports/{state['id']}/results" in found
    assert re.search(r'href="/people/Ada">Ada</a>', found)
    only = client.get(f"/jobs/imports/{state['id']}?outcome=no-face").text
    assert re.findall(r'<th scope="row">(.*?)</th>', only) == ["2.png"]
    assert 'aria-current="true"' in only


def test_a_running_job_tells_how_far_it_is_and_can_be_cancelled(service: Service, client: FlaskClient) -> None:
    batch = kept(service, 1, state="running", finished=2, outcomes={"done": 2}, started_at=1_793_527_201.0)
    where = f"/jobs/batches/{batch.id}"
    whole = client.get(where).text
    assert 'hx-trigger="every 2s"' in whole
    assert "ended from:body" in whole
    part = client.get(where, headers=PART)
    assert "<html" not in part.text
    assert "HX-Trigger" not in part.headers
    assert client.post(f"{where}/cancel").status_code == 303
    assert service.house.store.exists(batch.key("cancelled"))
    kept(service, 1, state="cancelled", finished=4, outcomes={"done": 2, "batch-cancelled": 2})
    over = client.get(where, headers=PART)
    assert over.headers["HX-Trigger"] == "ended"
    assert "The batch is cancelled." in over.text
    assert "batch-finished" in client.post(f"{where}/cancel").text


def test_what_is_no_job_is_not_found(service: Service, client: FlaskClient) -> None:
    batch = kept(service, 1)
    assert client.get(f"/jobs/imports/{batch.id}").status_code == 404
    assert client.get(f"/jobs/batches/{ULID}").status_code == 404
    assert client.get(f"/jobs/others/{batch.id}").status_code == 404
    assert "id-invalid" in client.get("/jobs/batches/x").text


def ended_with(service: Service, outcomes: dict[int, Code], total: int) -> Batch:
    """A batch whose files have no result any more, except for those that failed like this."""
    batch = kept(service, 1, total=total, state="done", finished=total, outcomes={"not-found": total})
    for index, code in outcomes.items():
        settle(service.house.store, failed_result(job(id=batch.job_id(index), name=f"{index}.jpg"), code, "why"))
    return batch


def rows(page_: TestResponse) -> list[int]:
    return [int(number) - 1 for number in re.findall(r'<td class="num muted">(\d+)</td>', page_.text)]


def test_files_come_in_pages(service: Service, client: FlaskClient) -> None:
    batch = ended_with(service, {}, 120)
    address: str | None = f"/jobs/batches/{batch.id}"
    seen: list[int] = []
    while address:
        found = client.get(address)
        seen += rows(found)
        following = re.search(r'id="next-files" href="([^"]+)"', found.text)
        address = following[1] if following else None
    assert seen == list(range(120))


def test_of_many_files_few_are_looked_through_at_once(
    service: Service, client: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(page, "_WINDOW", 10)
    monkeypatch.setattr(page, "_LOOKED_THROUGH", 40)
    batch = ended_with(service, {95: Code.IMAGE_EMPTY}, 100)
    first = client.get(f"/jobs/batches/{batch.id}?outcome=image-empty")
    assert rows(first) == []
    assert "None among the 40 files" in first.text
    address = re.search(r'id="next-files" href="([^"]+)">Look further', first.text)
    assert address
    assert "after=39" in address[1]
    last = client.get(f"/jobs/batches/{batch.id}?outcome=image-empty&after=79")
    assert rows(last) == [95]
    assert "next-files" not in last.text
    monkeypatch.setattr(page, "_ROWS", 3)
    assert "after=2" in client.get(f"/jobs/batches/{batch.id}?outcome=not-found").text


def test_a_reencoding_is_begun_by_admins(working: Service) -> None:
    client = working.app.test_client()
    enrol(client, "Ada", ADA)
    answer = client.post("/jobs/reencodings")
    assert re.fullmatch(r"/jobs/reencodings/\w{26}", answer.location)
    found = client.get(answer.location)
    assert found.status_code == 200
    assert "Re-encoding" in found.text


def test_dead_letters_are_redriven_and_discarded(service: Service, client: FlaskClient) -> None:
    assert "No dead letters" in client.get("/jobs/dead-letters").text
    ids = [dead(service, number, name=f"{number}.jpg") for number in range(3)]
    found = client.get("/jobs/dead-letters").text
    assert "Redrive all 3 shown" in found
    assert re.findall(r'<th scope="row">(\d.jpg)<br>', found) == ["2.jpg", "1.jpg", "0.jpg"]
    service.house.store.delete([image_key(ids[0])])
    answer = client.post("/jobs/dead-letters/redrive", data={"letter": ids, "once": "abc"})
    assert answer.location == "/jobs/dead-letters"
    said = client.get(answer.location).text
    assert "2 sent anew. 1 refused: what " in said
    assert len(service.house.requests.entries) == 2
    assert 'hx-trigger="every 2s"' in said
    assert "<html" not in client.get("/jobs/dead-letters", headers=PART).text
    client.post("/jobs/dead-letters/discard", data={"letter": ids[0]})
    assert "0.jpg" not in client.get("/jobs/dead-letters").text


def test_answered_letters_can_be_discarded_together_and_files_of_batches_not_redriven(
    service: Service, client: FlaskClient
) -> None:
    answered = dead(service)
    client.post("/jobs/dead-letters/redrive", data={"letter": answered})
    settle(service.house.store, {**failed_result(job(id=answered), Code.INTERNAL, ""), "state": "done", "error": None})
    batch = kept(service, 1, state="done")
    die(service.house.store, job(id=batch.job_id(0), name="of a batch.jpg"))
    found = client.get("/jobs/dead-letters").text
    assert "Discard 1 answered" in found
    assert f'href="/identifications/{answered}?collection=default"' in found
    assert f'href="/jobs/batches/{batch.id}?collection=default"' in found
    assert "Redrive" not in re.sub(r"redrive them", "", found)


def test_who_sees_what() -> None:
    with running(Service("keys")) as guarded:
        for role, collections, status, letters in (
            (Role.SUBMIT, (), 403, False),
            (Role.ENROL, (), 200, False),
            (Role.ADMIN, (), 200, True),
            (Role.ADMIN, ("default",), 200, False),
        ):
            caller = Caller("", "k", role, frozenset(collections) or None)
            key = guarded.keys.create(new_key_id(), caller, created_by="test")[1]
            browser = guarded.app.test_client()
            browser.post("/sign-in", data={"key": key, "next": "/jobs"})
            found = browser.get("/jobs")
            assert found.status_code == status, role
            assert ('href="/jobs/dead-letters"' in found.text) == letters
            assert (browser.get("/jobs/dead-letters").status_code == 200) == letters


def state(**changes: Any) -> dict[str, Any]:
    batch = Batch(ULID, Kind.BATCH, "default", SourceKind.ARCHIVE, 1_793_527_200.0, "key", listing=Listing("k", 10, 9))
    return {**view(batch, Progress()), **changes}


def test_a_job_in_words() -> None:
    assert told(state(), LATER)["took"] == ""
    running_ = told(state(state="running", started_at="2026-11-01T10:00:00+00:00", eta_s=90), LATER)
    assert (running_["took"], running_["eta"], running_["is_open"]) == ("1 min 01 s", "1 min 30 s", True)
    done = state(state="done", started_at="2026-11-01T10:00:00+00:00", finished_at="2026-11-01T10:00:02.500+00:00")
    assert (told(done, LATER)["took"], told(done, LATER)["is_open"]) == ("2.5 s", False)
    assert told(done, LATER)["started"] == "1 Nov 2026, 10:00:00 UTC"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.25, "0.2 s"), (3, "3 s"), (42, "42 s"), (61, "1 min 01 s"), (3720, "1 h 02 min"), (90_000, "25 h 00 min")],
)
def test_lengths_of_time(seconds: float, text: str) -> None:
    assert span(seconds) == text


def test_a_bar_has_what_went_well_first_and_leaves_the_rest_open() -> None:
    found = list(shares({"image-empty": 1, "done": 4, "no-face": 1}, 10))
    assert [(share.outcome, share.left, share.width) for share in found] == [
        ("done", 0, 40),
        ("no-face", 40, 10),
        ("image-empty", 50, 10),
    ]
    assert [tone(outcome) for outcome in ("accepted", "blurred", "batch-cancelled", "internal-error")] == [
        "good",
        "warn",
        "plain",
        "bad",
    ]
    assert list(shares({}, 0)) == []


def test_of_several_faces_the_one_that_says_most() -> None:
    faces = [{"decision": "unknown", "person": None}, {"decision": "match", "person": "Ada"}]
    result = {"operation": "identify", "state": "done", "faces": faces}
    line = {"index": 0, "id": ULID, "name": "a.jpg", "outcome": "done", "detail": "", "result": result}
    assert (shown(line)["person"], shown(line)["decision"], shown(line)["faces"]) == ("Ada", "match", 2)
    nothing = shown({**line, "result": None})
    assert (nothing["person"], nothing["faces"], nothing["is_identified"]) == ("", None, False)
