"""What is kept on people when a collection goes back to an earlier version."""

from typing import Any

import pytest
from flask.testing import FlaskClient

from face_common.contract import Code
from face_common.errors import TransientError
from tests.unit.test_gallery_http import asked
from tests.unit.test_http import ADA, BOB, Service, assert_problem, client, enrol, service

__all__ = ["client", "service"]
END = "2100-01-01T00:00:00.000+00:00"


def agree(client: FlaskClient, person: str) -> None:
    asked(client.put(f"/v1/people/{person}", json={"consent": {"reference": person}, "expires_at": END}))


def undo(client: FlaskClient, version: int, **headers: str) -> Any:
    return asked(client.post("/v1/gallery/restorations", json={"version": version}, headers=headers))


def test_when_a_renaming_is_undone_the_record_has_the_old_name_again(service: Service, client: FlaskClient) -> None:
    enrol(client, "Ada", ADA)
    agree(client, "Ada")
    asked(client.put("/v1/people/Ada", json={"name": "Zoe"}))
    assert set(undo(client, 1)) == {"collection", "restored", "gallery_version", "removed", "added"}
    found = asked(client.get("/v1/people/Ada"))
    assert (found["consent"]["reference"], found["expires_at"], len(found["photos"])) == ("Ada", END, 1)
    assert_problem(client.get("/v1/people/Zoe"), Code.NOT_FOUND)
    record = service.services.records.find("default", "Ada")
    assert record is not None
    assert "Zoe" in {alias.name for alias in record.former_names}, "an erasure finds what was answered under it"


def test_when_a_merge_is_undone_both_have_a_record(client: FlaskClient) -> None:
    enrol(client, "Ada", ADA)
    enrol(client, "Bob", BOB)
    agree(client, "Bob")
    asked(client.post("/v1/people/Bob/merge", json={"into": "Ada"}))
    undo(client, 2)
    for person in ("Ada", "Bob"):
        found = asked(client.get(f"/v1/people/{person}"))
        assert (found["consent"]["reference"], found["expires_at"], len(found["photos"])) == ("Bob", END, 1)


def test_the_record_of_whose_photos_were_not_given_away_stays(client: FlaskClient) -> None:
    enrol(client, "Ada", ADA)
    agree(client, "Ada")
    before = asked(client.get("/v1/people/Ada"))
    enrol(client, "Bob", BOB)
    undo(client, 1)
    assert asked(client.get("/v1/people/Ada")) == before


def test_a_restoration_that_broke_off_behind_the_gallery_carries_the_record_when_it_is_sent_again(
    service: Service, client: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    enrol(client, "Ada", ADA)
    agree(client, "Ada")
    asked(client.put("/v1/people/Ada", json={"name": "Zoe"}))
    headers = {"Idempotency-Key": "again"}

    def fail(*_: object) -> None:
        raise TransientError(Code.STORAGE_UNAVAILABLE, "storage")

    with monkeypatch.context() as patch:
        patch.setattr(type(service.services.records), "carry_over", fail)
        broken_off = client.post("/v1/gallery/restorations", json={"version": 1}, headers=headers)
        assert_problem(broken_off, Code.STORAGE_UNAVAILABLE)
    outcomes = [body for key, body in service.house.store.objects.items() if key.startswith("idempotency/outcomes/")]
    assert not [body for body in outcomes if b"Ada" in body or b"Zoe" in body]
    undo(client, 1, **headers)
    assert asked(client.get("/v1/people/Ada"))["consent"]["reference"] == "Ada"
    assert_problem(client.get("/v1/people/Zoe"), Code.NOT_FOUND)
