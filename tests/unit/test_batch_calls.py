"""Batches, imports and webhooks as clients see them: the service in memory, with a worker."""

import io
import json
import zipfile
from collections.abc import Iterator
from typing import Any, BinaryIO

import pytest
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from face_common.contract import Code
from face_common.errors import TransientError
from face_common.loops import Loop
from tests.pictures import picture
from tests.unit.test_contract import ULID
from tests.unit.test_http import ADA, BOB, NOBODY, Service, assert_problem, running
from tests.unit.test_worker import eventually


@pytest.fixture
def service() -> Iterator[Service]:
    """The service, which also carries batches out and tells of their end."""
    with running(Service()) as found:
        runner = found.batching.runner
        runner._look_seconds = 0.02
        loops = [Loop("batches", runner.step), Loop("webhooks", found.webhooks.step, pause=0.02)]
        for loop in loops:
            loop.start()
        yield found
        runner.stop(5)
        for loop in loops:
            loop.stop(5)


@pytest.fixture
def client(service: Service) -> FlaskClient:
    return service.app.test_client()


def zipped(*files: tuple[str, bytes]) -> bytes:
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w") as made:
        for path, body in files:
            made.writestr(path, body)
    return target.getvalue()


PEOPLE = zipped(("Ada/1.png", ADA), ("Bob/1.png", BOB), ("Bob/2.png", NOBODY), ("Bob/notes.txt", b"?"))


def form(client: FlaskClient, path: str, *files: tuple[str, bytes], field: str = "image", **more: Any) -> TestResponse:
    sent = [(io.BytesIO(body), name) for name, body in files]
    return client.post(path, data={field: sent}, content_type="multipart/form-data", **more)


def finished(client: FlaskClient, taken: TestResponse) -> dict[str, Any]:
    """The batch that was taken in, once it has ended."""
    assert taken.status_code == 202, taken.text
    where = taken.headers["Location"]
    states: list[dict[str, Any]] = []

    def look() -> bool:
        states.append(client.get(where).get_json())
        return states[-1]["state"] not in ("queued", "running")

    eventually(look)
    return states[-1]


def lines(client: FlaskClient, path: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in client.get(path).text.splitlines()]


def test_an_import_from_a_zip(client: FlaskClient) -> None:
    taken = client.post("/v1/imports", data=PEOPLE, content_type="application/zip")
    assert taken.headers["Retry-After"] == "1"
    body = taken.get_json()
    assert taken.headers["Location"] == f"/v1/imports/{body['id']}"
    assert (body["kind"], body["total"], body["predicted_wait_s"]) == ("import", 4, None)
    state = finished(client, taken)
    assert (state["state"], state["finished"], state["error"]) == ("done", 4, None)
    assert state["outcomes"] == {"accepted": 2, "no-face": 1, "unreadable": 1}
    people = client.get("/v1/people").get_json()["people"]
    assert {entry["person"]: entry["photos"] for entry in people} == {"Ada": 1, "Bob": 1}
    found = lines(client, f"/v1/imports/{body['id']}/results")
    assert [(line["name"], line["outcome"]) for line in found] == [
        ("1.png", "accepted"),
        ("1.png", "accepted"),
        ("2.png", "no-face"),
        ("notes.txt", "unreadable"),
    ]
    (only,) = lines(client, f"/v1/imports/{body['id']}/results?outcome=no-face")
    assert only["index"] == 2


def test_a_batch_of_photos_one_by_one(client: FlaskClient) -> None:
    finished(client, client.post("/v1/imports", data=PEOPLE, content_type="application/zip"))
    taken = form(
        client, "/v1/batches?top=1", ("x/same.png", ADA), ("same.png", BOB), ("bad.png", b"no"), ("e.png", b"")
    )
    state = finished(client, taken)
    assert state["outcomes"] == {"done": 2, "type-unsupported": 1, "image-empty": 1}
    response = client.get(f"/v1/batches/{state['id']}/results?format=csv")
    assert response.mimetype == "text/csv"
    rows = [row.split(",") for row in response.text.splitlines()]
    assert [row[1:4] for row in rows[1:3]] == [["x/same.png", "done", "Ada"], ["same.png", "done", "Bob"]]
    job_id = lines(client, f"/v1/batches/{state['id']}/results")[0]["id"]
    assert client.get(f"/v1/identifications/{job_id}").get_json()["faces"][0]["person"] == "Ada"


def test_an_archive_in_a_form(client: FlaskClient) -> None:
    state = finished(client, form(client, "/v1/batches", ("photos.zip", PEOPLE), field="archive"))
    assert state["outcomes"] == {"done": 3, "type-unsupported": 1}


def test_files_from_the_bucket(client: FlaskClient, service: Service) -> None:
    service.house.store.put("inbox/may/Ada/1.png", ADA, "image/png")
    state = finished(client, client.post("/v1/imports", json={"prefix": "inbox/may/"}))
    assert (state["total"], state["outcomes"]) == (1, {"accepted": 1})
    assert_problem(client.post("/v1/imports", json={"prefix": "results/"}), Code.PREFIX_FORBIDDEN)


@pytest.mark.parametrize(
    ("body", "kind", "code"),
    [
        (b"not a zip", "application/zip", Code.ARCHIVE_INVALID),
        (b"", "application/zip", Code.IMAGE_MISSING),
        (b"{}", "application/json", Code.REQUEST_INVALID),
        (b'{"prefix": 1}', "application/json", Code.REQUEST_INVALID),
        (b"a photo", "image/jpeg", Code.REQUEST_INVALID),
        (b"--x\r\n", "multipart/form-data; boundary=x", Code.REQUEST_INVALID),
        (b"", "multipart/form-data", Code.IMAGE_MISSING),
        (b"--x--\r\n", "multipart/form-data; boundary=x", Code.IMAGE_MISSING),
        (zipped(*((f"{number}.png", b"") for number in range(51))), "application/zip", Code.ARCHIVE_TOO_LARGE),
        (bytes(2**20 + 1), "application/zip", Code.BODY_TOO_LARGE),
    ],
)
@pytest.mark.parametrize("path", ["/v1/batches", "/v1/imports"])
def test_what_is_no_batch_is_refused_and_leaves_nothing(
    client: FlaskClient, service: Service, path: str, body: bytes, kind: str, code: Code
) -> None:
    assert_problem(client.post(path, data=body, content_type=kind), code)
    assert not [key for key in service.house.store.objects if key.startswith(("batches/", "results/", "photos/"))]


def test_a_file_of_another_name_is_refused(client: FlaskClient) -> None:
    assert_problem(form(client, "/v1/batches", ("a.png", ADA), field="photo"), Code.REQUEST_INVALID)


def test_a_file_that_is_too_large_has_its_verdict(client: FlaskClient) -> None:
    state = finished(client, form(client, "/v1/batches", ("large.png", bytes(70_000)), ("a.png", NOBODY)))
    assert state["outcomes"] == {"body-too-large": 1, "done": 1}


def test_only_batches_may_be_larger_than_a_photo(client: FlaskClient) -> None:
    noise = zipped(*((f"{number}.png", picture("PNG", (10, 10)) + bytes(50_000)) for number in range(4)))
    assert len(noise) > 64 * 1024
    assert client.post("/v1/batches", data=noise, content_type="application/zip").status_code == 202
    assert_problem(client.post("/v1/identifications", data=noise), Code.BODY_TOO_LARGE)


def test_a_batch_is_cancelled(client: FlaskClient, service: Service) -> None:
    service.batching.runner.stop(5)  # it lies open
    taken = form(client, "/v1/imports", ("Ada/1.png", ADA))
    where = taken.headers["Location"]
    assert client.delete(where).status_code == 202
    service.batching.runner._stopped = False
    assert finished(client, taken)["outcomes"] == {"batch-cancelled": 1}
    assert_problem(client.delete(where), Code.BATCH_FINISHED)
    (line,) = lines(client, f"{where}/results")
    assert (line["outcome"], line["result"]["error"]["code"]) == ("batch-cancelled", "batch-cancelled")


def test_batches_are_listed(client: FlaskClient) -> None:
    taken = [form(client, "/v1/batches", (f"{number}.png", NOBODY)).get_json()["id"] for number in range(3)]
    page = client.get("/v1/batches?limit=2").get_json()
    assert [entry["id"] for entry in page["batches"]] == taken[:0:-1]
    assert (page["total"], page["next"]) == (3, taken[1])
    rest = client.get(f"/v1/batches?limit=2&after={page['next']}").get_json()
    assert ([entry["id"] for entry in rest["batches"]], rest["next"]) == (taken[:1], None)
    assert client.get("/v1/imports").get_json() == {"imports": [], "total": 0, "next": None}


@pytest.mark.parametrize("path", [f"/v1/batches/{ULID}", f"/v1/imports/{ULID}", f"/v1/batches/{ULID}/results"])
def test_what_there_is_not_is_not_found(client: FlaskClient, path: str) -> None:
    assert_problem(client.get(path), Code.NOT_FOUND)


def test_an_import_is_no_batch(client: FlaskClient) -> None:
    taken = form(client, "/v1/imports", ("Ada/1.png", ADA)).get_json()["id"]
    assert_problem(client.get(f"/v1/batches/{taken}"), Code.NOT_FOUND)


def test_a_request_that_is_sent_again_makes_no_second_batch(client: FlaskClient) -> None:
    headers = {"Idempotency-Key": "monday"}
    first = form(client, "/v1/imports", ("Ada/1.png", ADA), headers=headers)
    finished(client, first)
    again = form(client, "/v1/imports", ("Ada/1.png", ADA), headers=headers)
    assert again.get_json()["id"] == first.get_json()["id"]
    assert finished(client, again)["outcomes"] == {"accepted": 1}
    other = form(client, "/v1/imports", ("Ada/1.png", BOB), headers=headers)
    assert_problem(other, Code.IDEMPOTENCY_KEY_REUSED)


def test_a_batch_that_has_ended_stays_as_it_is_when_it_is_sent_again(client: FlaskClient, service: Service) -> None:
    store = service.house.store

    def send_it() -> TestResponse:
        return form(client, "/v1/batches?webhook=till", ("Ada.png", NOBODY), headers={"Idempotency-Key": "monday"})

    first = finished(client, send_it())
    eventually(lambda: len(service.deliveries) == 1 and not [key for key in store.objects if "batches/open/" in key])
    listing = f"batches/{first['id']}/entries.jsonl"
    store.objects[listing] = store.objects[listing].replace(b"Ada.png", b"       ")  # as an erasure does
    before = {key: body for key, body in store.objects.items() if key.startswith("batches/")}
    assert finished(client, send_it())["id"] == first["id"]
    assert {key: body for key, body in store.objects.items() if key.startswith("batches/")} == before
    assert len(service.deliveries) == 1


def test_a_batch_that_comes_again_while_it_is_sent_overwrites_nothing(client: FlaskClient, service: Service) -> None:
    store, put_file = service.house.store, service.house.store.put_file
    headers = {"Idempotency-Key": "monday"}
    blanked: dict[str, bytes] = {}

    def put_while_the_first_is_carried_out(key: str, file: BinaryIO, content_type: str) -> None:
        store.put_file = put_file  # type: ignore[method-assign]
        first = finished(client, form(client, "/v1/batches", ("Ada.png", NOBODY), headers=headers))
        listing = f"batches/{first['id']}/entries.jsonl"
        store.objects[listing] = store.objects[listing].replace(b"Ada.png", b"       ")
        blanked[listing] = store.objects[listing]
        put_file(key, file, content_type)

    store.put_file = put_while_the_first_is_carried_out  # type: ignore[method-assign]
    assert form(client, "/v1/batches", ("Ada.png", NOBODY), headers=headers).status_code == 202
    ((listing, body),) = blanked.items()
    assert store.objects[listing] == body
    assert listing.replace("entries.jsonl", "archive.zip") not in store.objects


def test_a_batch_whose_request_was_broken_off_is_opened_by_the_next_one(client: FlaskClient, service: Service) -> None:
    store, put = service.house.store, service.house.store.put
    headers = {"Idempotency-Key": "monday"}

    def fail(key: str, body: bytes, content_type: str) -> None:
        if key.startswith("batches/of/"):
            raise TransientError(Code.STORAGE_UNAVAILABLE, "storage")
        put(key, body, content_type)

    store.put = fail  # type: ignore[method-assign]
    broken_off = form(client, "/v1/imports", ("Ada/1.png", ADA), headers=headers)
    assert_problem(broken_off, Code.STORAGE_UNAVAILABLE)
    store.put = put  # type: ignore[method-assign]
    again = form(client, "/v1/imports", ("Ada/1.png", ADA), headers=headers)
    assert finished(client, again)["outcomes"] == {"accepted": 1}


def test_enrolled_photos_are_encoded_again(client: FlaskClient, service: Service) -> None:
    finished(client, client.post("/v1/imports", data=PEOPLE, content_type="application/zip"))
    state = finished(client, client.post("/v1/gallery/reencodings"))
    assert (state["kind"], state["state"], state["total"], state["finished"]) == ("reencoding", "done", 2, 2)
    people = client.get("/v1/people").get_json()["people"]
    assert {entry["person"]: entry["photos"] for entry in people} == {"Ada": 1, "Bob": 1}
    assert len([key for key in service.house.store.objects if key.startswith("photos/")]) == 2
    batch = form(client, "/v1/batches", ("a.png", NOBODY)).get_json()["id"]
    page = client.get("/v1/batches").get_json()
    assert [(entry["id"], entry["kind"]) for entry in page["batches"]] == [
        (batch, "batch"),
        (state["id"], "reencoding"),
    ]
    assert page["total"] == 2
    rest = client.get(f"/v1/batches?after={batch}").get_json()
    assert [entry["id"] for entry in rest["batches"]] == [state["id"]]


def test_the_operator_s_webhook_is_told(client: FlaskClient, service: Service) -> None:
    state = finished(client, form(client, "/v1/batches?webhook=till", ("a.png", NOBODY)))
    response = client.post("/v1/identifications?webhook=till&name=a.png", data=ADA)
    eventually(lambda: len(service.deliveries) == 2)
    told = [json.loads(body) for _, body, _ in service.deliveries]
    assert {event["type"] for event in told} == {"batch.done", "identification.done"}
    by_type = {event["type"]: event["data"] for event in told}
    assert by_type["batch.done"] == state
    assert by_type["identification.done"] == response.get_json()
    eventually(lambda: not [key for key in service.house.store.objects if key.startswith("webhooks/")])
    assert client.get("/v1/webhooks").get_json() == {
        "webhooks": [{"webhook": "till", "url": "https://till.example", "pending": 0, "dead": 0}]
    }


@pytest.mark.parametrize("path", ["/v1/identifications", "/v1/detections", "/v1/batches", "/v1/gallery/reencodings"])
def test_nobody_chooses_where_the_service_calls(client: FlaskClient, service: Service, path: str) -> None:
    url = f"{path}?webhook=https://elsewhere.example"
    assert_problem(form(client, url, ("a.png", ADA)), Code.WEBHOOK_UNKNOWN)
    assert not [key for key in service.house.store.objects if key.startswith(("batches/", "images/", "webhooks/"))]


def test_metrics_tell_how_batches_go(client: FlaskClient) -> None:
    finished(client, client.post("/v1/imports", data=PEOPLE, content_type="application/zip"))
    text = client.get("/metrics").text
    assert 'face_web_batch_files_total{kind="import",outcome="accepted"} 2.0' in text
    eventually(lambda: "face_web_open_batches 0.0" in client.get("/metrics").text)


def test_a_part_of_the_results_is_looked_at_alone(service: Service, client: FlaskClient) -> None:
    files = [(f"{number}.png", (ADA, b"no")[number % 2]) for number in range(5)]
    state = finished(client, form(client, "/v1/batches", *files))
    where = f"/v1/batches/{state['id']}/results"
    read: list[str] = []
    get = service.house.store.get
    service.house.store.get = lambda key: (read.append(key), get(key))[1]  # type: ignore[method-assign,assignment]
    assert [line["index"] for line in lines(client, f"{where}?after=0&limit=2")] == [1, 2]
    assert len([key for key in read if key.startswith("results/")]) == 2
    assert [line["index"] for line in lines(client, f"{where}?after=2&limit=9&outcome=done")] == [4]
    assert [line["name"] for line in lines(client, f"{where}?after=3")] == ["4.png"]
    assert lines(client, f"{where}?after=4&limit=3") == []
    assert_problem(client.get(f"{where}?limit=0"), Code.PARAMETER_INVALID)
