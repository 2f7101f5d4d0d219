"""Jobs that no worker could finish: noted, shown, sent anew, discarded, and forgotten with their people."""

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from flask.testing import FlaskClient

from face_common.contract import (
    Code,
    Job,
    Operation,
    failed_result,
    image_key,
    other_image_key,
    photo_key,
    result_key,
)
from face_common.errors import ServiceError, TransientError
from face_common.results import settle
from face_web.batches.intake import batch_of
from face_web.batches.model import Batch, Kind, Listing, SourceKind, job_key
from face_web.dead_letters import DeadLetter, DeadLetters, letter_key
from face_web.metrics import WebMetrics
from tests.fakes.cloud import MemoryObjectStore, MemoryQueue, MemoryQueues
from tests.fakes.inference import encoding
from tests.fakes.rights import Hosts
from tests.unit.test_contract import ULID, job
from tests.unit.test_http import ADA, Service, assert_problem, running
from tests.unit.test_worker import REPLIES, eventually

DAY = 86_400.0


def die(store: MemoryObjectStore, *jobs: Job, now: float = 123.5) -> None:
    """Have the jobs die: they lie among the dead letters, and a host answers them."""
    queue = MemoryQueue()
    for dead in jobs:
        queue.send(dead.encode())
    DeadLetters(dead_letters=queue, queues=MemoryQueues(), store=store, now=lambda: now, count=lambda _: None).receive()
    assert not queue.entries


@pytest.fixture
def service() -> Service:
    """A service without a worker: nothing is answered before a test lets it."""
    return Service()


@pytest.fixture
def client(service: Service) -> FlaskClient:
    return service.app.test_client()


def dead(service: Service, number: int = 0, **fields: Any) -> str:
    """A job that died with its photo in the bucket; its id."""
    job_id = f"{ULID[:-4]}9{number:03d}"
    sent = replace(job(reply_queue=REPLIES, gallery_version=0, id=job_id, key=image_key(job_id)), **fields)
    service.house.store.put(sent.key, ADA, "image/png")
    die(service.house.store, sent)
    return job_id


def letters(client: FlaskClient, **query: Any) -> dict[str, Any]:
    found: dict[str, Any] = client.get("/v1/dead-letters", query_string=query).get_json()
    return found


def redrive(client: FlaskClient, job_id: str, **headers: str) -> Any:
    return client.post(f"/v1/dead-letters/{job_id}/redrive", headers=headers)


def sent(service: Service) -> list[Job]:
    return [Job.decode(entry.body) for entry in service.house.requests.entries]


def audited(service: Service) -> list[str]:
    return [entry["action"] for entry in service.services.audit.entries()]


def test_a_note_is_read_as_it_was_written() -> None:
    whole = job(operation=Operation.ENROL, person="Ada", insist=True, other_name="b.jpg")
    letter = DeadLetter(whole, 12.5, "not-processed", "why", batch=ULID, redriven_at=13.5)
    assert DeadLetter.decode(letter.encode()) == letter
    noted = json.loads(letter.encode())
    assert (noted["id"], noted["operation"], noted["collection"]) == (ULID, "enrol", whole.collection)


def test_jobs_that_died_are_listed_newest_first_page_by_page(service: Service, client: FlaskClient) -> None:
    ids = [dead(service, number, name=f"{number}.jpg") for number in range(3)]
    first = letters(client, limit=2)
    assert [letter["id"] for letter in first["dead_letters"]] == [ids[2], ids[1]]
    assert (first["total"], first["next"]) == (3, ids[1])
    rest = letters(client, limit=2, after=first["next"])
    (letter,) = rest["dead_letters"]
    assert rest["next"] is None
    assert letter == {
        "id": ids[0],
        "operation": "identify",
        "collection": "default",
        "name": "0.jpg",
        "at": "1970-01-01T00:02:03.500+00:00",
        "code": "not-processed",
        "detail": "no worker could finish this photo after several tries",
        "state": "dead",
    }


def test_a_redriven_job_is_answered_as_any_other(service: Service, client: FlaskClient) -> None:
    job_id = dead(service)
    assert client.get(f"/v1/identifications/{job_id}").get_json()["state"] == "failed"
    service.services.versions.saw("default", 7)
    answer = redrive(client, job_id)
    assert (answer.status_code, answer.get_json()) == (202, {"id": job_id, "state": "queued"})
    (again,) = sent(service)
    assert (again.id, again.gallery_version, again.reply_queue) == (job_id, 7, REPLIES)
    assert again.submitted_at > 1e9
    assert client.get(f"/v1/identifications/{job_id}").get_json()["state"] == "queued"
    assert letters(client)["dead_letters"][0]["state"] == "redriven"
    assert audited(service) == ["redrive-dead-letter"]
    metrics = client.get("/metrics").get_data(as_text=True)
    assert 'face_web_dead_letters_total{event="redriven"} 1.0' in metrics


def test_what_was_redriven_and_answered_is_shown_so_and_not_sent_again(service: Service, client: FlaskClient) -> None:
    job_id = dead(service)
    redrive(client, job_id)
    (again,) = sent(service)
    service.house.requests.entries.clear()
    service.house.requests.send(replace(again, gallery_version=0).encode())
    with running(service):
        eventually(lambda: client.get(f"/v1/identifications/{job_id}").get_json()["state"] == "done")
    assert letters(client)["dead_letters"][0]["state"] == "answered"
    assert redrive(client, job_id).status_code == 202, "within ten minutes it is the same redrive"
    _forget_the_mark(service, job_id)
    assert_problem(redrive(client, job_id), Code.REDRIVE_REFUSED)
    assert client.get(f"/v1/identifications/{job_id}").get_json()["state"] == "done"


def _forget_the_mark(service: Service, job_id: str) -> None:
    """As if it had been sent anew long ago."""
    key = letter_key(job_id)
    letter = replace(DeadLetter.decode(service.house.store.objects[key]), redriven_at=1.0)
    service.house.store.put(key, letter.encode(), "application/json")


def test_redriven_twice_it_is_sent_once(service: Service, client: FlaskClient) -> None:
    job_id = dead(service)
    assert [redrive(client, job_id).status_code for _ in range(2)] == [202, 202]
    assert len(sent(service)) == 1


def test_a_redrive_that_is_sent_again_is_done_and_told_once(service: Service, client: FlaskClient) -> None:
    job_id = dead(service)
    for _ in range(2):
        assert redrive(client, job_id, **{"Idempotency-Key": "k"}).status_code == 202
    assert (len(sent(service)), audited(service)) == (1, ["redrive-dead-letter"])


def test_of_two_at_the_same_moment_one_sends_it(
    service: Service, client: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    job_id = dead(service)
    store, redrives = service.house.store, service.services.redrives
    put_over = store.put_over

    def slow(*wanted: Any) -> str | None:
        monkeypatch.setattr(store, "put_over", put_over)
        redrives.redrive(job_id)  # another host is faster, and its worker too
        settle(store, {**failed_result(job(id=job_id), Code.INTERNAL, ""), "state": "done", "error": None})
        return put_over(*wanted)

    monkeypatch.setattr(store, "put_over", slow)
    assert redrive(client, job_id).status_code == 202
    assert len(sent(service)) == 1
    assert json.loads(store.objects[result_key(job_id)])["state"] == "done", "the answer is not taken away"


def test_a_redrive_that_a_fault_broke_off_can_be_done_again(
    service: Service, client: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    job_id = dead(service)
    send = service.house.requests.send

    def away(_: str) -> None:
        raise TransientError(Code.STORAGE_UNAVAILABLE, "away")

    monkeypatch.setattr(service.house.requests, "send", away)
    assert_problem(redrive(client, job_id), Code.STORAGE_UNAVAILABLE)
    assert letters(client)["dead_letters"][0]["state"] == "dead"
    monkeypatch.setattr(service.house.requests, "send", send)
    assert redrive(client, job_id).status_code == 202
    assert len(sent(service)) == 1


def test_a_job_that_dies_again_is_a_dead_letter_again(service: Service, client: FlaskClient) -> None:
    job_id = dead(service)
    redrive(client, job_id)
    die(service.house.store, *sent(service), now=200.0)
    (letter,) = letters(client)["dead_letters"]
    assert (letter["state"], letter["at"], "redriven" in letter) == ("dead", "1970-01-01T00:03:20.000+00:00", False)
    redrive(client, job_id)
    assert len(sent(service)) == 2


def test_without_its_photo_a_job_is_not_sent(service: Service, client: FlaskClient) -> None:
    single, pair = dead(service), dead(service, 1, operation=Operation.VERIFY)
    service.house.store.delete([image_key(single)])
    for job_id in (single, pair):
        problem = assert_problem(redrive(client, job_id), Code.REDRIVE_REFUSED)
        assert "not kept any more" in problem["detail"]
        assert result_key(job_id) in service.house.store.objects, "the failed result stays"
    service.house.store.put(other_image_key(pair), ADA, "image/png")
    assert redrive(client, pair).status_code == 202


def test_a_file_of_a_batch_is_not_sent(service: Service, client: FlaskClient) -> None:
    batch = Batch(f"{ULID[:-4]}9900", Kind.BATCH, "default", SourceKind.ARCHIVE, 1.0, "key", listing=Listing("k", 3, 9))
    service.house.store.put(job_key(batch.id), batch.encode(), "application/json")
    job_id = batch.job_id(2)
    die(service.house.store, job(id=job_id))
    (letter,) = letters(client)["dead_letters"]
    assert letter["batch"] == batch.id
    assert batch.id in assert_problem(redrive(client, job_id), Code.REDRIVE_REFUSED)["detail"]
    assert not sent(service)
    assert batch_of(service.house.store, dead(service)) == "", "the same millisecond makes no file of a batch"


def test_what_is_not_there_is_neither_redriven_nor_discarded(client: FlaskClient) -> None:
    assert_problem(redrive(client, ULID), Code.NOT_FOUND)
    assert_problem(client.delete(f"/v1/dead-letters/{ULID}"), Code.NOT_FOUND)
    assert_problem(redrive(client, "x"), Code.ID_INVALID)


def test_a_discarded_letter_leaves_the_failed_result(service: Service, client: FlaskClient) -> None:
    job_id = dead(service)
    assert client.delete(f"/v1/dead-letters/{job_id}").get_json() == {"id": job_id}
    assert letters(client) == {"dead_letters": [], "total": 0, "next": None}
    assert client.get(f"/v1/identifications/{job_id}").get_json()["error"]["code"] == "not-processed"
    assert audited(service) == ["discard-dead-letter"]


def enrolment(service: Service, **fields: Any) -> str:
    job_id = f"{ULID[:-4]}9000"
    return dead(service, operation=Operation.ENROL, person="Ada", key=photo_key(job_id), **fields)


def test_whoever_was_erased_since_is_not_enrolled_by_an_old_job(service: Service, client: FlaskClient) -> None:
    job_id = enrolment(service)
    subject = service.services.audit.subject("default", "Ada")
    receipt = {"id": f"{ULID[:-4]}9999", "scope": "person", "collection": "default", "subject": subject}
    service.house.store.put(f"erasures/{receipt['id']}.json", json.dumps(receipt).encode(), "application/json")
    assert "erased since" in assert_problem(redrive(client, job_id), Code.REDRIVE_REFUSED)["detail"]
    receipt |= {"subject": service.services.audit.subject("default", "Bob")}
    service.house.store.put(f"erasures/{receipt['id']}.json", json.dumps(receipt).encode(), "application/json")
    assert redrive(client, job_id).status_code == 202


def test_consent_is_asked_for_anew(service: Service, client: FlaskClient, monkeypatch: pytest.MonkeyPatch) -> None:
    job_id = enrolment(service)
    monkeypatch.setattr(service.rights.records, "_consent_required", True)
    assert_problem(redrive(client, job_id), Code.CONSENT_MISSING)
    service.rights.records.record_consent("default", "Ada", "form 1", by="key")
    assert redrive(client, job_id).status_code == 202
    entry = next(entry for entry in service.services.audit.entries(action="redrive-dead-letter"))
    assert entry["subject"] == service.services.audit.subject("default", "Ada")


def test_deaths_are_counted() -> None:
    metrics, queue = WebMetrics(), MemoryQueue()
    queue.send(job().encode())
    DeadLetters(
        dead_letters=queue,
        queues=MemoryQueues(),
        store=MemoryObjectStore(),
        now=lambda: 1.0,
        count=metrics.dead_letter,
    ).receive()
    assert metrics.dead_letters.labels("died")._value.get() == 1


@pytest.fixture
def hosts() -> Hosts:
    return Hosts(settings={"keep_results_days": 5})


def died_in(hosts: Hosts, key: Callable[[str], str] = image_key, **fields: Any) -> str:
    """A job that died in a deployment; its id."""
    job_id = hosts.new_id()
    hosts.put(key(job_id), b"photo of a dead job")
    die(hosts.store, replace(job(id=job_id, key=key(job_id)), **fields), now=hosts.at)
    hosts.store.modified |= {letter_key(job_id): hosts.at, result_key(job_id): hosts.at}
    return job_id


def test_an_erasure_removes_the_letters_that_name_the_person_and_their_photos(hosts: Hosts) -> None:
    rights = hosts.host()
    photo = hosts.enrol("Ada", b"1", encoding(0))
    named = died_in(hosts, name="Ada_02.jpg")
    queued = died_in(hosts, key=photo_key, operation=Operation.ENROL, person="Ada")
    again = died_in(hosts, operation=Operation.ENROL, person="Bob", photo=photo)
    hosts.store.purge([result_key(queued)])  # it was redriven: its result does not lead to the photo any more
    stays = [died_in(hosts, name="b.jpg"), died_in(hosts, name="Ada.jpg", collection="other")]
    rights.erasures.begin("default", "Ada", who="key")
    hosts.finish(rights)
    left = set(hosts.store.objects)
    assert not left & {letter_key(job_id) for job_id in (named, queued, again)}
    assert not left & {image_key(named), photo_key(queued)}
    assert {key(job_id) for job_id in stays for key in (letter_key, image_key)} <= left


def test_erasing_a_photo_removes_the_letters_about_it_alone(hosts: Hosts) -> None:
    rights = hosts.host()
    first, _ = (hosts.enrol("Ada", body, encoding(0)) for body in (b"1", b"2"))
    about = died_in(hosts, operation=Operation.ENROL, person="Ada", photo=first)
    other = died_in(hosts, name="Ada.jpg")
    rights.erasures.begin("default", "Ada", first, who="key")
    hosts.finish(rights)
    assert letter_key(about) not in hosts.store.objects
    assert letter_key(other) in hosts.store.objects


def test_erasing_a_collection_removes_its_letters(hosts: Hosts) -> None:
    rights = hosts.host()
    mine, other = died_in(hosts), died_in(hosts, collection="other")
    rights.erasures.begin("default", who="key")
    hosts.finish(rights)
    assert letter_key(mine) not in hosts.store.objects
    assert letter_key(other) in hosts.store.objects


def test_letters_go_with_the_answers(hosts: Hosts) -> None:
    old = died_in(hosts)
    hosts.at += 6 * DAY
    new = died_in(hosts)
    hosts.host().retention.step()
    assert letter_key(old) not in hosts.store.objects
    assert letter_key(new) in hosts.store.objects


def test_a_letter_that_goes_meanwhile_is_left_out(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    job_id, other = dead(service), dead(service, 1)
    get_tagged = service.house.store.get_tagged

    def going(key: str) -> tuple[bytes, str]:
        service.house.store.delete([letter_key(job_id)])
        return get_tagged(key)

    monkeypatch.setattr(service.house.store, "get_tagged", going)
    page = service.services.redrives.page(10, "")
    assert [letter["id"] for letter in page.letters] == [other]
    with pytest.raises(ServiceError, match="not-found"):
        service.services.redrives.redrive(job_id)
