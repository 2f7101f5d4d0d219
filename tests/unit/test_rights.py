"""Records, listings, exports and retention over fakes."""

import io
import json
import zipfile
from dataclasses import replace
from typing import Any

import pytest

from face_common.contract import Code, image_key, photo_key, result_key, unknown_key
from face_common.errors import ServiceError, TransientError
from face_common.templates import Template
from face_web.answered import settled_prefix
from face_web.rights import Rights
from tests.fakes.inference import encoding
from tests.fakes.rights import Hosts

ADA, BOB = encoding(0), encoding(1.5)
DAY = 86_400.0


def test_whoever_has_not_agreed_is_not_enrolled_where_that_is_required() -> None:
    hosts = Hosts(settings={"consent_required": True})
    records = hosts.host().records
    with pytest.raises(ServiceError) as caught:
        records.require_consent("default", "Ada")
    assert caught.value.code is Code.CONSENT_MISSING
    records.expire("default", "Ada", hosts.at + 1)
    with pytest.raises(ServiceError):
        records.require_consent("default", "Ada")
    records.record_consent("default", "Ada", "form 12", by="key-1", given_at=hosts.at - DAY)
    records.require_consent("default", "Ada")
    with pytest.raises(ServiceError):
        records.require_consent("other", "Ada")
    Hosts().host().records.require_consent("default", "Ada")


def test_consent_and_end_are_kept_side_by_side_and_move_with_the_name() -> None:
    hosts = Hosts()
    rights = hosts.host()
    hosts.enrol("Ada", b"1", ADA)
    rights.records.record_consent("default", "Ada", "form 12", by="key-1")
    rights.records.expire("default", "Ada", hosts.at + DAY)
    rights.people.rename("default", "Ada", "Ada Lovelace")
    details = rights.people.find("default", "Ada Lovelace")
    assert [row.person for row in details.photos] == ["Ada Lovelace"]
    assert details.record.consent is not None
    assert (details.record.consent["reference"], details.record.expires_at) == ("form 12", hosts.at + DAY)
    assert [alias.name for alias in details.record.former_names] == ["Ada"]
    with pytest.raises(ServiceError, match="nobody called Ada is"):
        rights.people.find("default", "Ada")


@pytest.mark.parametrize("agreed", [True, False])
@pytest.mark.parametrize("at", ["rename", "remove"])
def test_a_renaming_that_broke_off_is_completed_by_doing_it_again(at: str, agreed: bool) -> None:
    hosts = Hosts()
    rights = hosts.host()
    hosts.enrol("Ada", b"1", ADA)
    if agreed:
        rights.records.record_consent("default", "Ada", "form 12", by="key-1")

    def away(*_: object) -> int:
        raise TransientError(Code.STORAGE_UNAVAILABLE, "away")

    broken: Any = hosts.gallery if at == "rename" else rights.records
    whole = getattr(broken, at)
    setattr(broken, at, away)
    with pytest.raises(TransientError):
        rights.people.rename("default", "Ada", "Ada Lovelace")
    setattr(broken, at, whole)
    for _ in range(2):
        rights.people.rename("default", "Ada", "Ada Lovelace")
    assert [row.person for row in rights.people.find("default", "Ada Lovelace").photos] == ["Ada Lovelace"]
    with pytest.raises(ServiceError, match="nobody called Ada is"):
        rights.people.find("default", "Ada")


def test_whoever_has_a_former_name_by_now_does_not_become_its_last_owner() -> None:
    hosts = Hosts()
    rights = hosts.host()
    hosts.enrol("Ada", b"1", ADA)
    rights.records.record_consent("default", "Ada", "form 12", by="key-1")
    rights.people.rename("default", "Ada", "Ada Lovelace")
    hosts.at += 1
    hosts.enrol("Ada", b"2", BOB)
    for _ in range(2):
        with pytest.raises(ServiceError) as caught:
            rights.people.rename("default", "Ada", "Ada Lovelace")
        assert caught.value.code is Code.PERSON_EXISTS
        hosts.gallery.remove("default", "Ada Lovelace")


def test_of_two_ends_that_are_merged_the_earlier_one_counts() -> None:
    hosts = Hosts()
    rights = hosts.host()
    for person, days in (("Ada", 1), ("Bob", 2), ("Eve", 3)):
        hosts.enrol(person, person.encode(), ADA)
        rights.records.expire("default", person, hosts.at + days * DAY)
    hosts.enrol("Zoë", b"4", ADA)
    for person in ("Ada", "Eve"):
        rights.people.merge("default", person, "Bob")
    assert rights.people.find("default", "Bob").record.expires_at == hosts.at + DAY
    rights.people.merge("default", "Zoë", "Bob")
    assert rights.people.find("default", "Bob").record.expires_at == hosts.at + DAY


def test_nobody_is_renamed_into_somebody_else() -> None:
    hosts = Hosts()
    rights = hosts.host()
    hosts.enrol("Ada", b"1", ADA)
    hosts.enrol("Bob", b"2", BOB)
    with pytest.raises(ServiceError) as caught:
        rights.people.rename("default", "Ada", "Bob")
    assert caught.value.code is Code.PERSON_EXISTS


def test_people_are_listed_by_pages_and_searched() -> None:
    hosts = Hosts()
    people = hosts.host().people
    for name in ("Émile", "ada", "Bob", "Adele", "Zoë"):
        hosts.enrol(name, name.encode(), ADA)
    names, after = [], ""
    while True:
        page = people.page("default", limit=2, after=after)
        assert page.total == 5
        names += [person["person"] for person in page.people]
        if page.next is None:
            break
        after = page.next
    assert names == sorted(["Émile", "ada", "Bob", "Adele", "Zoë"])
    found = people.page("default", limit=10, search="AD")
    assert ([person["person"] for person in found.people], found.total, found.next) == (["Adele", "ada"], 2, None)
    assert people.page("default", limit=10, after="zzz", search="AD").people == []
    hosts.enrol("Adam", b"x", ADA)
    assert people.page("default", limit=10, search="ad").total == 3, "a new version is a new listing"


def test_an_export_has_all_that_is_kept() -> None:
    hosts = Hosts()
    rights = hosts.host()
    photo = hosts.enrol("Ada", b"photo", ADA)
    named, other = hosts.identify(b"probe", "Ada", "Bob"), hosts.identify(b"else", "Bob")
    rights.records.record_consent("default", "Ada", "form 12", by="key-1")
    file = io.BytesIO()
    rights.exports.write("default", "Ada", file)
    with zipfile.ZipFile(file) as archive:
        names = set(archive.namelist())
        person: dict[str, Any] = json.loads(archive.read("person.json"))
        assert archive.read(f"probes/{named}.octet-stream") == b"probe"
    assert names == {
        "person.json",
        f"photos/{photo}.octet-stream",
        f"results/{photo}.json",
        f"results/{named}.json",
        f"probes/{named}.octet-stream",
    }
    assert not any(other in name for name in names)
    assert person["consent"]["reference"] == "form 12"
    assert person["templates"][0]["encoding"] == pytest.approx(list(ADA))
    with pytest.raises(ServiceError):
        rights.exports.write("default", "nobody", io.BytesIO())


def test_what_is_too_old_goes_and_the_rest_stays() -> None:
    hosts = Hosts(settings={"keep_probes_days": 2, "keep_results_days": 5})
    old = hosts.identify(b"old", None)
    photo = hosts.enrol("Ada", b"1", ADA)
    hosts.at += 3 * DAY
    new = hosts.identify(b"new", None)
    hosts.host().retention.step()
    left = set(hosts.store.objects)
    assert image_key(old) not in left
    assert {result_key(old), image_key(new), result_key(new), photo_key(photo)} <= left
    hosts.at += 3 * DAY
    hosts.host().retention.step()  # a new run of the host waits for the lease of the one before
    assert result_key(old) in hosts.store.objects


def test_whoever_has_come_to_their_end_is_erased_and_the_log_says_so() -> None:
    hosts = Hosts()
    rights = hosts.host()
    hosts.enrol("Ada", b"1", ADA)
    hosts.enrol("Bob", b"2", BOB)
    rights.records.expire("default", "Ada", hosts.at + 100)
    rights.records.expire("default", "Bob", hosts.at + DAY)
    rights.retention.step()
    assert len(hosts.gallery.photos("default")) == 2
    hosts.at += 100
    rights.retention.step()
    hosts.finish(rights)
    assert [row.person for row in hosts.gallery.photos("default")] == ["Bob"]
    assert next((entry["who"], entry["action"]) for entry in hosts.audit().entries()) == ("service", "expired")
    assert rights.records.find("default", "Ada") is None


def test_unknown_faces_go_in_time_where_nobody_was_ever_enrolled_too() -> None:
    hosts = Hosts(settings={"keep_unknown_days": 2})
    collections = ("default", "default-2", "default2", "z")
    old = [unknown_key(name, hosts.see_unknown(ADA, name)) for name in collections]
    hosts.at += 3 * DAY
    new = [unknown_key(name, hosts.see_unknown(ADA, name)) for name in collections]
    hosts.host().retention.step()
    assert {key for key in hosts.store.objects if key.startswith("unknown/")} == set(new)
    assert len({*old, *new}) == 8


def test_which_faces_were_looked_at_is_kept_as_long_as_the_answers() -> None:
    hosts = Hosts(settings={"keep_unknown_days": 1, "keep_results_days": 3})
    retention = hosts.host().retention
    looked_at = [f"{settled_prefix('default')}{hosts.new_id()}-0"]
    hosts.at += 2 * DAY
    looked_at.append(f"{settled_prefix('default')}{hosts.new_id()}-1")
    for key in looked_at:
        hosts.store.put(key, b"", "text/plain")
    retention.step()
    assert {key for key in hosts.store.objects if key.startswith("unknown/")} == set(looked_at)
    hosts.at += 2 * DAY
    retention.step()
    assert {key for key in hosts.store.objects if key.startswith("unknown/")} == {looked_at[1]}


def test_photos_that_were_never_enrolled_go_when_no_job_can_come_for_them() -> None:
    hosts = Hosts()
    long_running = photo_key(hosts.new_id())
    refused, photo = photo_key(hosts.new_id()), hosts.enrol("Ada", b"1", ADA, collection="other")
    hosts.put(refused, b"2")
    hosts.at += 13 * DAY
    young = photo_key(hosts.new_id())
    hosts.put(young, b"3")
    hosts.put(long_running, b"4")  # of a batch: ids are of its own time
    hosts.at += 2 * DAY
    hosts.host().retention.step()
    assert {key for key in hosts.store.objects if key.startswith("photos/")} == {photo_key(photo), young, long_running}
    assert [entry["action"] for entry in hosts.audit().entries()] == ["never-enrolled"]


def erased_with_a_job_under_way(hosts: Hosts, rights: Rights) -> Template:
    """Ada is erased; the template that a job makes of her which had been sent before."""
    hosts.enrol("Ada", b"1", ADA)
    queued = hosts.new_id()
    (template,) = hosts.gallery.templates("default")
    rights.erasures.begin("default", "Ada", who="key-1")
    hosts.finish(rights)
    return replace(template, photo=queued, enrolled_at=hosts.at)


@pytest.mark.parametrize("imported", [True, False])
def test_what_was_answered_about_somebody_who_was_enrolled_late_goes_with_them(imported: bool) -> None:
    hosts = Hosts()
    rights = hosts.host()
    late = erased_with_a_job_under_way(hosts, rights)
    hosts.gallery.add("default", [late])  # type: ignore[attr-defined]
    named = hosts.identify(b"probe", "Ada")
    if imported:
        rights.records.record_consent("default", "Ada", "form 1", by="key-1", batch=late.photo)
    rights.retention.step()
    hosts.finish(rights)
    assert hosts.gallery.photos("default") == []
    assert {result_key(named), image_key(named)}.isdisjoint(hosts.store.objects)
    assert rights.records.find("default", "Ada") is None


def test_of_somebody_who_has_agreed_anew_only_what_was_late_goes() -> None:
    hosts = Hosts()
    rights = hosts.host()
    late = erased_with_a_job_under_way(hosts, rights)
    rights.records.record_consent("default", "Ada", "form 13", by="key-1")
    hosts.gallery.add("default", [late])  # type: ignore[attr-defined]
    rights.retention.step()
    hosts.finish(rights)
    assert hosts.gallery.photos("default") == []
    assert rights.records.find("default", "Ada") is not None


def test_what_was_queued_before_an_erasure_and_enrolled_after_it_goes() -> None:
    hosts = Hosts()
    rights = hosts.host()
    hosts.enrol("Ada", b"1", ADA)
    queued = hosts.new_id()
    rights.erasures.begin("default", "Ada", who="key-1")
    hosts.finish(rights)
    before = hosts.enrol("Bob", b"2", BOB)
    (template,) = hosts.gallery.templates("default")
    hosts.gallery.add("default", [replace(template, person="Ada", photo=queued, enrolled_at=hosts.at)])  # type: ignore[attr-defined]
    again = hosts.enrol("Ada", b"3", ADA)
    rights.retention.step()
    hosts.finish(rights)
    assert sorted(row.photo for row in hosts.gallery.photos("default")) == sorted([before, again])
