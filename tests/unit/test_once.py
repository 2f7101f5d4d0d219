"""Requests that change what lies there already, sent again with their Idempotency-Key."""

import threading
from collections.abc import Callable
from typing import Any

import pytest
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from face_common.contract import Code, photo_key
from face_common.errors import ServiceError, TransientError
from face_web.idempotency import Idempotency, Outcome
from tests.fakes.cloud import MemoryObjectStore
from tests.unit.test_contract import ULID
from tests.unit.test_gallery_http import STRANGER, STRANGER_AGAIN, asked, audited, exported, see_strangers
from tests.unit.test_http import ADA, ADA_AGAIN, BOB, Service, assert_problem, client, enrol, running, send, service

__all__ = ["client", "service"]
AGAIN = {"Idempotency-Key": "again"}


class Changes:
    """A change that counts how often it is made, and what follows from it."""

    def __init__(self) -> None:
        self.store = MemoryObjectStore()
        self.now = 1000.0
        self.idempotency = Idempotency(self.store, lambda: ULID, lambda: self.now)
        self.made: list[int] = []
        self.concluded: list[Outcome] = []

    def change(self) -> Outcome:
        self.made.append(len(self.made))
        return {"version": len(self.made)}

    def once(self, change: Callable[[], Outcome] | None = None) -> Outcome:
        return self.idempotency.once(ULID, change or self.change, self.concluded.append)


def test_a_change_is_made_once_and_told_once() -> None:
    changes = Changes()
    assert [changes.once() for _ in range(3)] == [{"version": 1}] * 3
    assert (changes.made, changes.concluded) == ([0], [{"version": 1}])


def test_a_change_that_failed_is_made_by_the_next_request() -> None:
    changes = Changes()

    def fail() -> Outcome:
        raise TransientError(Code.STORAGE_UNAVAILABLE, "storage")

    with pytest.raises(TransientError):
        changes.once(fail)
    assert changes.once() == {"version": 1}


def test_what_follows_is_done_until_it_is_done_whole() -> None:
    changes = Changes()

    def fail(_: Outcome) -> None:
        raise TransientError(Code.STORAGE_UNAVAILABLE, "storage")

    with pytest.raises(TransientError):
        changes.idempotency.once(ULID, changes.change, fail)
    assert changes.once() == {"version": 1}
    assert (changes.made, changes.concluded) == ([0], [{"version": 1}])


def test_two_at_a_time_do_not_both_make_it() -> None:
    changes = Changes()

    def change_meanwhile() -> Outcome:
        with pytest.raises(ServiceError, match="server-busy"):
            changes.once()
        return changes.change()

    assert changes.once(change_meanwhile) == changes.once() == {"version": 1}
    assert changes.made == [0]


def test_the_change_of_a_host_that_has_died_is_made_by_another_one() -> None:
    changes = Changes()

    def late() -> Outcome:
        changes.now += 599
        with pytest.raises(ServiceError, match="server-busy"):
            changes.once()
        changes.now += 2
        return changes.once()

    assert changes.once(late) == {"version": 1}
    assert changes.made == [0]


def twice(first: TestResponse, again: TestResponse, status: int = 200) -> Any:
    """The answer that both requests got."""
    answer = asked(first, status)
    assert asked(again, status) == answer
    return answer


def test_a_restoration_sent_again_leaves_what_was_enrolled_since(service: Service, client: FlaskClient) -> None:
    enrol(client, "Ada", ADA)
    asked(client.post("/v1/gallery/restorations", json={"version": 1}, headers=AGAIN))
    (since,) = asked(enrol(client, "Bob", BOB), 201)["photos"]
    asked(client.post("/v1/gallery/restorations", json={"version": 1}, headers=AGAIN))
    assert [row["person"] for row in asked(client.get("/v1/people"))["people"]] == ["Ada", "Bob"]
    assert photo_key(since["photo"]) in service.house.store.objects
    assert [entry["action"] for entry in audited(service)].count("restore-gallery") == 1


def test_a_restoration_whose_entry_in_the_log_failed_is_completed(
    service: Service, client: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    enrol(client, "Ada", ADA)
    (gone,) = asked(enrol(client, "Bob", BOB), 201)["photos"]

    def fail(*_: object, **__: object) -> None:
        raise TransientError(Code.STORAGE_UNAVAILABLE, "storage")

    with monkeypatch.context() as patch:
        patch.setattr(service.services.audit, "record", fail)
        first = client.post("/v1/gallery/restorations", json={"version": 1}, headers=AGAIN)
        assert_problem(first, Code.STORAGE_UNAVAILABLE)
    enrol(client, "Bob", BOB)
    again = asked(client.post("/v1/gallery/restorations", json={"version": 1}, headers=AGAIN))
    assert again["removed"] == [gone["photo"]]
    assert [row["person"] for row in asked(client.get("/v1/people"))["people"]] == ["Ada", "Bob"]
    assert audited(service)[-1]["action"] == "restore-gallery"


def test_a_gallery_imported_again_is_answered_as_it_was(service: Service, client: FlaskClient) -> None:
    enrol(client, "Ada", ADA)
    file = exported(client)

    def send_it() -> TestResponse:
        path = "/v1/gallery/imports?collection=other"
        return client.post(path, data=file, content_type="application/jsonl", headers=AGAIN)

    answer = twice(send_it(), send_it())
    assert (answer["templates"], answer["present"]) == (1, 0)
    assert [entry["action"] for entry in audited(service)].count("import-gallery") == 1


def test_a_gallery_imported_while_it_is_imported_is_imported_once(service: Service, client: FlaskClient) -> None:
    enrol(client, "Ada", ADA)
    file = exported(client)
    gallery, add = service.house.gallery, service.house.gallery.add
    answers: list[TestResponse] = []

    def send_it() -> TestResponse:
        path = "/v1/gallery/imports?collection=other"
        return service.app.test_client().post(path, data=file, content_type="application/jsonl", headers=AGAIN)

    def add_while_it_comes_again(collection: str, templates: Any) -> int:
        second = threading.Thread(target=lambda: answers.append(send_it()))
        second.start()
        second.join(5)
        return add(collection, templates)

    gallery.add = add_while_it_comes_again  # type: ignore[method-assign]
    assert asked(send_it())["templates"] == 1
    assert_problem(answers[0], Code.SERVER_BUSY)
    assert answers[0].headers["Retry-After"]
    assert asked(send_it())["templates"] == 1
    assert len(list(gallery.templates("other"))) == 1


def test_a_merge_sent_again_is_answered_as_it_was(service: Service, client: FlaskClient) -> None:
    enrol(client, "Ada", ADA)
    enrol(client, "Bob", BOB)

    def merge() -> TestResponse:
        return client.post("/v1/people/Bob/merge", json={"into": "Ada"}, headers=AGAIN)

    first = merge()
    service.services.records.remove("default", "Ada")
    assert len(twice(first, merge())["photos"]) == 2
    assert [entry["action"] for entry in audited(service)].count("merge-people") == 1


def test_a_merge_sent_again_leaves_who_has_that_name_since(service: Service, client: FlaskClient) -> None:
    enrol(client, "Ada", ADA)
    enrol(client, "Bob", BOB)
    client.post("/v1/people/Bob/merge", json={"into": "Ada"}, headers=AGAIN)
    asked(send(client, "/v1/people/Bob/photos?insist=true", ADA_AGAIN), 201)
    asked(client.post("/v1/people/Bob/merge", json={"into": "Ada"}, headers=AGAIN))
    assert len(asked(client.get("/v1/people/Bob"))["photos"]) == 1


def test_a_group_named_again_is_answered_as_it_was() -> None:
    with running(Service(keep_unknown=True)) as service:
        service.read = see_strangers
        client = service.app.test_client()
        for photo in (STRANGER, STRANGER_AGAIN):
            send(client, "/v1/identifications", photo, name="Ada.png")
        (group,) = asked(client.get("/v1/clusters"))["clusters"]

        def name() -> TestResponse:
            return client.post(f"/v1/clusters/{group['cluster']}", json={"person": "Ada"}, headers=AGAIN)

        answer = twice(name(), name(), 201)
        assert [(photo["name"], photo["verdict"]) for photo in answer["photos"]] == [("Ada.png", "accepted")] * 2
        assert [entry["action"] for entry in audited(service)].count("name-cluster") == 1
        outcomes = [
            body for key, body in service.house.store.objects.items() if key.startswith("idempotency/outcomes/")
        ]
        assert outcomes
        assert not [body for body in outcomes if b"Ada" in body], "an erasure need not look there"
