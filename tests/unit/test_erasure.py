"""Erasures over fakes: what goes, what stays, and what a crash changes of it, which is nothing."""

import io
import json
import zipfile
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict
from typing import Any

import pytest

from face_common.contract import Code, Operation, image_key, photo_key, result_key, unknown_key
from face_common.errors import ObjectMissingError, ServiceError, TransientError
from face_common.templates import EnrolledPhotoRow, Template
from face_web.batches.listing import read_listing
from face_web.batches.model import OPEN, Batch, Item, Kind, Listing, SourceKind, index_prefix, job_key
from face_web.rights import Rights
from tests.fakes.cloud import MemoryObjectStore
from tests.fakes.inference import encoding
from tests.fakes.rights import Crash, CrashingStore, Hosts

ADA, BOB = encoding(0), encoding(1.5)
NAME = "Zoë 'Ada' Lovelace"
"""A name that JSON and URLs escape."""


def traces(hosts: Hosts, *needles: str) -> list[str]:
    """Keys of objects that have one of these in them, or in their key."""
    found = []
    for key, body in hosts.store.objects.items():
        text = body.decode("utf-8", "replace")
        forms = [form for needle in needles for form in (needle, json.dumps(needle)[1:-1])]
        if any(form in text or form in key for form in forms):
            found.append(key)
    return found


def furnished(hosts: Hosts) -> tuple[list[str], list[str]]:
    """Somebody who is to go, and somebody who stays; keys of what is to go, and of what is to stay."""
    first = hosts.enrol(NAME, b"photo 1", ADA)
    second = hosts.enrol(NAME, b"photo 2", ADA)
    other = hosts.enrol("Bob", b"bob", BOB)
    named, both = hosts.identify(b"p1", NAME), hosts.identify(b"p2", "Bob", NAME)
    same = hosts.identify(b"photo 1", None)
    sentence, detail = hosts.new_id(), f"looks like {NAME} at 0.1"
    verdict = {"photo": sentence, "name": "b.jpg", "verdict": "looks-like-another", "detail": detail}
    hosts.answer(sentence, Operation.ENROL, "default", person="Bob", photo=verdict)
    file_name = hosts.identify(b"p3", None, name=f"{NAME}_02.jpg")
    searched, unseen = hosts.search(ADA), hosts.see_unknown(encoding(0.1))
    hosts.put(f"inbox/staff/{NAME}/1.jpg", b"in the inbox")
    hosts.put("inbox/staff/x/1.jpg", b"photo 2")
    going = [
        *(key(photo) for photo in (first, second) for key in (photo_key, result_key)),
        *(key(job) for job in (named, both, same, file_name, searched) for key in (image_key, result_key)),
        result_key(sentence),
        unknown_key("default", unseen),
        f"inbox/staff/{NAME}/1.jpg",
        "inbox/staff/x/1.jpg",
    ]
    strangers = [hosts.identify(b"p4", "Bob"), hosts.identify(b"p5", f"{NAME}s"), hosts.search(BOB)]
    elsewhere = hosts.identify(b"p6", NAME, collection="other")
    far = hosts.see_unknown(BOB)
    hosts.put("inbox/staff/Bob/1.jpg", b"bob's")
    staying = [
        photo_key(other),
        result_key(other),
        *(key(job) for job in (*strangers, elsewhere) for key in (image_key, result_key)),
        unknown_key("default", far),
        "inbox/staff/Bob/1.jpg",
    ]
    return going, staying


def erased(hosts: Hosts, rights: Rights, person: str = NAME, photo: str = "", *, insist: bool = False) -> str:
    erasure = rights.erasures.begin("default", person, photo, who="key-1", insist=insist)
    hosts.finish(rights)
    assert rights.erasures.find(erasure)["state"] == "done"
    return erasure


def test_everything_of_a_person_goes_and_nothing_of_others() -> None:
    hosts = Hosts()
    rights = hosts.host()
    rights.records.record_consent("default", NAME, "form 12", by="key-1")
    rights.records.record_consent("default", "Bob", "form 13", by="key-1")
    going, staying = furnished(hosts)
    assert set(going) <= set(hosts.store.objects), "the test is about something"
    erasure = erased(hosts, rights)
    left = set(hosts.store.objects)
    assert left.intersection(going) == set()
    assert set(staying) <= left
    assert [row.person for row in hosts.gallery.photos("default")] == ["Bob"]
    assert rights.records.find("default", NAME) is None
    assert rights.records.find("default", "Bob") is not None
    receipt = rights.erasures.find(erasure)
    assert "person" not in receipt
    assert (receipt["templates"], len(receipt["photos"]), receipt["results"], receipt["probes"]) == (2, 2, 8, 5)
    assert receipt["subject"] == hosts.audit().subject("default", NAME)
    whole_names = [key for key in traces(hosts, NAME) if key not in staying]
    assert whole_names == []


def test_what_was_done_is_in_the_audit_log_without_a_name() -> None:
    hosts = Hosts()
    rights = hosts.host()
    furnished(hosts)
    erased(hosts, rights)
    entries = list(hosts.audit().entries())
    assert [(entry["who"], entry["action"]) for entry in entries] == [("key-1", "erase-person"), ("key-1", "erased")]
    assert {entry["subject"] for entry in entries} == {hosts.audit().subject("default", NAME)}
    assert NAME not in json.dumps(entries, ensure_ascii=False)


def test_the_templates_are_gone_when_the_erasure_has_begun() -> None:
    hosts = Hosts()
    rights = hosts.host()
    furnished(hosts)
    erasure = rights.erasures.begin("default", NAME, who="key-1")
    assert [row.person for row in hosts.gallery.photos("default")] == ["Bob"]
    receipt = rights.erasures.find(erasure)
    assert (receipt["state"], receipt["finished_at"]) == ("running", None)
    assert receipt["gallery_version"] == hosts.gallery.version("default")
    assert rights.erasures.begin("default", NAME, who="key-2") == erasure, "it is not begun a second time"


def test_the_gallery_keeps_no_version_with_the_person() -> None:
    hosts = Hosts()
    rights = hosts.host()
    furnished(hosts)
    erased(hosts, rights)
    assert hosts.gallery.purge_history("default").versions == 0


def test_what_was_answered_meanwhile_goes_at_the_second_look() -> None:
    hosts = Hosts()
    rights = hosts.host()
    furnished(hosts)
    erasure = rights.erasures.begin("default", NAME, who="key-1")
    rights.erasures.go_on()
    late = hosts.identify(b"late", NAME)  # by a worker that has not read the new gallery yet
    rights.erasures.go_on()
    assert rights.erasures.find(erasure)["state"] == "running", "it waits for the galleries to settle"
    assert result_key(late) in hosts.store.objects
    hosts.at += 5
    rights.erasures.go_on()
    assert rights.erasures.find(erasure)["state"] == "done"
    assert {result_key(late), image_key(late)}.isdisjoint(hosts.store.objects)


def test_an_enrolment_that_was_under_way_goes_and_a_new_one_stays() -> None:
    hosts = Hosts()
    rights = hosts.host()
    under_way = hosts.id_at(hosts.at - 1)
    hosts.enrol(NAME, b"1", ADA)
    rights.erasures.begin("default", NAME, who="key-1")
    rights.erasures.go_on()
    hosts.at += 1
    hosts.gallery.add("default", [enrolled(NAME, under_way, hosts.at)])  # type: ignore[attr-defined]
    new = hosts.enrol(NAME, b"2", ADA)
    hosts.finish(rights)
    assert [row.photo for row in hosts.gallery.photos("default")] == [new]
    assert {photo_key(new), result_key(new)} <= set(hosts.store.objects)


def enrolled(person: str, photo: str, at: float) -> Template:
    return Template(person, photo, "a.jpg", "0" * 64, "model", ADA, at)


def test_somebody_of_whom_only_consent_is_known_can_be_erased_and_nobody_else() -> None:
    hosts = Hosts()
    rights = hosts.host()
    with pytest.raises(ServiceError) as caught:
        rights.erasures.begin("default", NAME, who="key-1")
    assert caught.value.code is Code.NOT_FOUND
    rights.records.record_consent("default", NAME, "form 12", by="key-1")
    erased(hosts, rights)
    assert rights.records.find("default", NAME) is None


def test_somebody_whom_only_answers_name_can_be_erased_and_exported() -> None:
    hosts = Hosts()
    rights = hosts.host()
    hosts.enrol("Bob", b"1", BOB)
    named = hosts.identify(b"probe", NAME)
    elsewhere = hosts.identify(b"probe", NAME, collection="other")
    file = io.BytesIO()
    rights.exports.write("default", NAME, file)
    with zipfile.ZipFile(file) as archive:
        assert set(archive.namelist()) == {
            "person.json",
            f"results/{named}.json",
            f"probes/{named}.octet-stream",
        }
    hosts.gallery.add("default", [enrolled(NAME, hosts.new_id(), hosts.at)])  # type: ignore[attr-defined]
    hosts.gallery.remove("default", NAME)  # as undoing does
    with pytest.raises(ServiceError, match="insist"):
        rights.erasures.begin("default", NAME, who="key-1")
    receipt = rights.erasures.find(erased(hosts, rights, insist=True))
    assert (receipt["templates"], receipt["results"]) == (0, 1)
    assert {result_key(named), image_key(named)}.isdisjoint(hosts.store.objects)
    assert result_key(elsewhere) in hosts.store.objects
    assert hosts.gallery.purge_history("default").versions == 0, "the history may have them, too"


@pytest.mark.parametrize("name", ["identify", "done", "image", "default", "match", "accepted", "person"])
def test_nobodys_name_is_a_word_of_the_answers_own(name: str) -> None:
    hosts = Hosts()
    rights = hosts.host()
    hosts.enrol("Bob", b"1", BOB)
    hosts.identify(b"2", "Bob")
    a_batch(hosts, Item("Bob/1.jpg", "1.jpg", "Bob", code="not-found"))
    hosts.enrol(name, b"3", ADA)
    hosts.at += 1
    assert rights.erasures.find(erased(hosts, rights, name))["results"] == 1, "the one about their own enrolment"


def test_a_photo_goes_with_its_twins_and_the_person_stays() -> None:
    hosts = Hosts()
    rights = hosts.host()
    first, second = hosts.enrol(NAME, b"photo 1", ADA), hosts.enrol(NAME, b"photo 2", ADA)
    named, same = hosts.identify(b"other", NAME), hosts.identify(b"photo 1", None)
    erasure = rights.erasures.begin("default", NAME, first, who="key-1")
    rights.erasures.go_on()
    receipt = rights.erasures.find(erasure)
    assert (receipt["state"], receipt["scope"], receipt["photos"]) == ("done", "photo", [first])
    assert {photo_key(first), result_key(first), image_key(same)}.isdisjoint(hosts.store.objects)
    assert {photo_key(second), result_key(named), image_key(named)} <= set(hosts.store.objects)
    assert [row.photo for row in hosts.gallery.photos("default")] == [second]
    with pytest.raises(ServiceError, match="has no photo"):
        rights.erasures.begin("default", NAME, first, who="key-1")


def test_what_was_asked_of_another_collection_stays_although_it_is_the_same_file() -> None:
    hosts = Hosts()
    rights = hosts.host()
    hosts.enrol(NAME, b"1", ADA)
    theirs = [hosts.identify(b"1", "Bob", collection="other"), hosts.identify(hosts.encoded(ADA), collection="other")]
    ours, unanswered = hosts.identify(b"1", None), hosts.new_id()
    hosts.put(image_key(unanswered), b"1")
    erased(hosts, rights)
    kept = {key(job) for job in theirs for key in (image_key, result_key)}
    assert kept <= set(hosts.store.objects)
    assert {image_key(ours), result_key(ours), image_key(unanswered)}.isdisjoint(hosts.store.objects)


def test_a_photo_that_another_gallery_has_stays_with_the_answer_about_it() -> None:
    hosts = Hosts()
    rights = hosts.host()
    photo, own = hosts.enrol("Bob", b"1", BOB, collection="other"), hosts.enrol(NAME, b"2", ADA)
    hosts.gallery.add("default", [enrolled(NAME, photo, hosts.at)])  # type: ignore[attr-defined]
    receipt = rights.erasures.find(erased(hosts, rights))
    assert receipt["photos"] == [photo, own]
    assert hosts.gallery.photos("default") == []
    assert {photo_key(photo), result_key(photo)} <= set(hosts.store.objects)
    assert {photo_key(own), result_key(own)}.isdisjoint(hosts.store.objects)
    whole = rights.erasures.begin("default", who="key-1")
    hosts.finish(rights)
    assert rights.erasures.find(whole)["state"] == "done"
    assert {photo_key(photo), result_key(photo)} <= set(hosts.store.objects)


def test_somebody_elses_photo_stays_when_the_answer_about_it_names_the_person() -> None:
    hosts = Hosts()
    rights = hosts.host()
    hosts.enrol(NAME, b"1", ADA)
    other = hosts.enrol("Bob", b"2", BOB)
    verdict = {"photo": other, "name": "b.jpg", "verdict": "accepted", "detail": f"looks like {NAME} at 0.1"}
    hosts.answer(other, Operation.ENROL, "default", person="Bob", photo=verdict)
    erased(hosts, rights)
    assert result_key(other) not in hosts.store.objects
    assert photo_key(other) in hosts.store.objects


@pytest.mark.parametrize("bound", [True, False])
def test_of_the_inbox_goes_what_would_be_imported_for_the_person(bound: bool) -> None:
    hosts = Hosts()
    rights = hosts.host()
    hosts.enrol(NAME, b"1", ADA)
    always = {f"inbox/default/{NAME}/1.jpg", "inbox/default/copies/1.jpg"}
    elsewhere = {f"inbox/{NAME}/1.jpg", f"inbox/other/{NAME}/1.jpg", "inbox/copies/1.jpg"}
    never = {f"inbox/{NAME}/Bob/1.jpg", f"inbox/default/{NAME}/Bob/1.jpg", "inbox/default/x.jpg"}
    for key in always | elsewhere | never:
        hosts.put(key, b"1" if "copies" in key else b"2")
    rights.erasures.begin("default", NAME, who="key-1", bound=bound)
    hosts.finish(rights)
    left = {key for key in hosts.store.objects if key.startswith("inbox/")}
    assert left == never | (elsewhere if bound else set())


def test_whoever_is_given_the_name_meanwhile_is_somebody_else() -> None:
    hosts = Hosts()
    rights = hosts.host()
    old = hosts.enrol("Eve", b"1", BOB)
    hosts.at += 1000
    new = hosts.enrol("Eve", b"2", BOB)  # so recently that clocks alone could not tell
    hosts.enrol(NAME, b"3", ADA)
    rights.records.record_consent("default", "Eve", "form 12", by="key-1")
    hosts.at += 1
    erasure = rights.erasures.begin("default", NAME, who="key-1")
    rights.people.rename("default", "Eve", NAME)
    hosts.finish(rights)
    assert rights.erasures.find(erasure)["state"] == "done"
    assert [row.photo for row in hosts.gallery.photos("default")] == [old, new]
    assert {photo_key(old), photo_key(new)} <= set(hosts.store.objects)
    record = rights.records.find("default", NAME)
    assert record is not None
    assert record.consent is not None


def test_when_an_erasure_has_begun_the_record_is_gone_and_another_may_be_begun() -> None:
    hosts = Hosts()
    rights = hosts.host()
    hosts.enrol(NAME, b"1", ADA)
    rights.records.record_consent("default", NAME, "form 12", by="key-1")
    rights.erasures.begin("default", NAME, who="key-1")
    with pytest.raises(ServiceError) as caught:
        rights.people.rename("default", NAME, "somebody else")
    assert caught.value.code is Code.NOT_FOUND
    rights.records.record_consent("default", NAME, "form 13", by="key-1")
    hosts.finish(rights)
    record = rights.records.find("default", NAME)
    assert record is not None
    assert record.consent is not None
    assert record.consent["reference"] == "form 13"


def test_what_is_imported_meanwhile_and_was_enrolled_long_ago_stays() -> None:
    hosts = Hosts()
    rights = hosts.host()
    hosts.enrol(NAME, b"1", ADA)
    long_ago = hosts.id_at(hosts.at - 10_000)
    rights.erasures.begin("default", who="key-1")
    hosts.gallery.add("default", [enrolled("Bob", long_ago, hosts.at - 10_000)])  # type: ignore[attr-defined]
    hosts.finish(rights)
    assert [row.photo for row in hosts.gallery.photos("default")] == [long_ago]


@pytest.mark.parametrize("others", [0, 1])
def test_a_renaming_between_the_look_and_the_removal_saves_nobody(others: int) -> None:
    hosts = Hosts()
    rights = hosts.host()
    photo = hosts.enrol(NAME, b"1", ADA)
    bobs = [hosts.enrol("Bob", b"2", BOB) for _ in range(others)]
    named = hosts.identify(b"probe", "Bob")
    photos = hosts.gallery.photos

    def renaming(collection: str, person: str | None = None) -> list[EnrolledPhotoRow]:
        hosts.gallery.photos = photos  # type: ignore[method-assign]
        rights.records.carry_over("default", NAME, "Bob")
        hosts.gallery.rename("default", NAME, "Bob")
        return photos(collection, person)

    hosts.gallery.photos = renaming  # type: ignore[method-assign]
    erased(hosts, rights)
    assert [row.photo for row in hosts.gallery.photos("default")] == bobs
    assert photo_key(photo) not in hosts.store.objects
    assert (result_key(named) in hosts.store.objects) is bool(others), "of two that were merged one stays"
    assert (rights.records.find("default", "Bob") is not None) is bool(others)


def test_a_whole_collection_goes_and_no_other() -> None:
    hosts = Hosts()
    rights = hosts.host()
    furnished(hosts)
    kept = hosts.enrol("Eve", b"eve", ADA, collection="other")
    elsewhere = hosts.identify(b"e", "Eve", collection="other")
    rights.records.record_consent("default", "Bob", "form 13", by="key-1")
    hosts.at += 1
    version = hosts.gallery.version("default")
    erasure = rights.erasures.begin("default", who="key-1")
    hosts.finish(rights)
    receipt = rights.erasures.find(erasure)
    assert (receipt["state"], receipt["scope"], receipt["subject"], receipt["templates"]) == (
        "done",
        "collection",
        "",
        3,
    )
    assert hosts.gallery.photos("default") == []
    assert hosts.gallery.version("default") > version, "workers that wait for a version must not wait for ever"
    left = {key for key in hosts.store.objects if key.startswith(("photos/", "results/", "unknown/", "people/"))}
    others = {key for key in left if b'"other"' not in hosts.store.objects[key]}
    assert others == {photo_key(kept)}
    assert result_key(elsewhere) in left


def test_answers_under_a_former_name_go_too_and_those_of_the_next_to_have_it_stay() -> None:
    hosts = Hosts()
    rights = hosts.host()
    hosts.enrol("Ada Byron", b"1", ADA)
    before = hosts.identify(b"before", "Ada Byron")
    hosts.at += 10
    rights.people.rename("default", "Ada Byron", NAME)
    hosts.at += 10
    namesake = hosts.enrol("Ada Byron", b"2", BOB)
    after = hosts.identify(b"after", "Ada Byron")
    erased(hosts, rights)
    assert result_key(before) not in hosts.store.objects
    assert {result_key(after), photo_key(namesake)} <= set(hosts.store.objects)


class DyingAtTheEnd(MemoryObjectStore):
    """A store under a host that dies when all is done but for taking the erasure's own note away."""

    dies = True

    def purge(self, keys: Sequence[str]) -> int:
        if self.dies and any(key.startswith("erasures/open/") for key in keys):
            raise Crash
        return super().purge(keys)


class TestCrash:
    """A host dies at each of its writes in turn, and another one goes on."""

    @staticmethod
    def dying_at(write: int | None, *, after: bool) -> tuple[Hosts, CrashingStore, set[str]]:
        store = CrashingStore()
        hosts = Hosts(store=store)
        rights = hosts.host()
        rights.records.record_consent("default", NAME, "form 12", by="key-1")
        going, staying = furnished(hosts)
        with suppress(ServiceError):
            rights.erasures.begin("default", "nobody", who="key-1")  # it has read the log's salt since
        store.writes, store.dies_at, store.after = 0, write, after
        hosts.at += 1
        try:
            rights.erasures.begin("default", NAME, who="key-1")
            hosts.finish(rights)
        except Crash:
            store.dies_at = None
            other = hosts.host()
            other.erasures.go_on()  # sees it, and waits whether the first one goes on
            hosts.at += 120
            hosts.finish(other)
        assert set(staying) <= set(store.objects)
        return hosts, store, set(going).intersection(store.objects)

    @pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
    def test_it_ends_the_same(self, after: bool) -> None:
        hosts, store, left = self.dying_at(None, after=after)
        assert left == set()
        writes, whole = store.writes, receipt_of(hosts)
        assert writes > 15
        for write in range(1, writes + 1):
            hosts, store, left = self.dying_at(write, after=after)
            if write == 1 and not after:
                assert left, "nothing was begun, and whoever asked was told nothing else"
                continue
            assert left == set(), f"died at write {write}"
            assert [row.person for row in hosts.gallery.photos("default")] == ["Bob"]
            assert not [key for key in store.objects if key.startswith("erasures/open/")]
            receipt = receipt_of(hosts)
            for name in ("templates", "photos", "results", "probes"):
                assert receipt[name] == whole[name], f"died at write {write}: {name}"

    def test_no_receipt_is_shown_while_the_note_that_names_the_person_is_there(self) -> None:
        hosts = Hosts(store=DyingAtTheEnd())
        rights = hosts.host()
        furnished(hosts)
        erasure = rights.erasures.begin("default", NAME, who="key-1")
        with pytest.raises(Crash):
            hosts.finish(rights)
        assert rights.erasures.kept(erasure) is not None
        assert rights.erasures.find(erasure)["state"] == "running"
        hosts.store.dies = False
        hosts.at += 120
        hosts.finish(rights)
        assert rights.erasures.find(erasure)["state"] == "done"


def receipt_of(hosts: Hosts) -> dict[str, object]:
    (key,) = [key for key in hosts.store.objects if key.startswith("erasures/")]
    receipt: dict[str, object] = json.loads(hosts.store.objects[key])
    return receipt


def test_a_fault_of_the_store_is_worked_against() -> None:
    hosts = Hosts()
    rights = hosts.host()
    going, _ = furnished(hosts)
    erasure = rights.erasures.begin("default", NAME, who="key-1")
    hosts.store.fault = TransientError(Code.STORAGE_UNAVAILABLE, "away")
    with pytest.raises(TransientError):
        rights.erasures.go_on()
    hosts.store.fault = None
    hosts.finish(rights)
    assert rights.erasures.find(erasure)["state"] == "done"
    assert set(going).isdisjoint(hosts.store.objects)


def test_another_host_leaves_an_erasure_alone_while_its_own_host_goes_on() -> None:
    hosts = Hosts()
    one, two = hosts.host(), hosts.host()
    furnished(hosts)
    erasure = one.erasures.begin("default", NAME, who="key-1")
    for _ in range(3):
        two.erasures.go_on()
        hosts.at += 30
        assert two.erasures.find(erasure)["results"] == 0
    one.erasures.go_on()
    hosts.at += 100
    two.erasures.go_on()
    assert two.erasures.find(erasure)["state"] == "running", "it has changed since it was last seen"


def test_an_erasure_that_comes_back_with_what_it_had_removed_is_taken_up_at_once() -> None:
    hosts = Hosts()
    one, two = hosts.host(), hosts.host()
    going, staying = furnished(hosts)
    kept = {key: hosts.store.objects[key] for key in going}
    erasure = one.erasures.begin("default", NAME, who="key-1")
    (noted,) = [key for key in hosts.store.objects if key.startswith("erasures/open/")]
    note = json.loads(hosts.store.objects[noted])
    hosts.finish(one)
    hosts.store.objects.pop(f"erasures/{erasure}.json")
    hosts.at += 60
    for key, body in kept.items():
        hosts.put(key, body)
    hosts.put(noted, json.dumps({**note, "looks": 0, "step": 0, "holder": ""}).encode())
    hosts.finish(two)
    assert two.erasures.find(erasure)["state"] == "done"
    assert set(going).isdisjoint(hosts.store.objects)
    assert set(staying) <= set(hosts.store.objects)


def test_a_host_that_was_thought_dead_stops() -> None:
    hosts = Hosts()
    one, two = hosts.host(), hosts.host()
    furnished(hosts)
    erasure = one.erasures.begin("default", NAME, who="key-1")
    two.erasures.go_on()
    hosts.at += 120
    two.erasures.go_on()
    one.erasures.go_on()
    hosts.finish(two)
    one.erasures.go_on()
    assert one.erasures.find(erasure)["state"] == "done"


def a_batch(hosts: Hosts, *items: Item, kind: Kind = Kind.IMPORT, prefix: str = "", is_open: bool = False) -> Batch:
    body = b"".join(item.encode() for item in items)
    batch_id = hosts.new_id()
    source = SourceKind.PREFIX if prefix else SourceKind.ARCHIVE
    listing = Listing(f"batches/{batch_id}/entries.jsonl", len(items), len(body))
    batch = Batch(batch_id, kind, "default", source, hosts.at, "key-1", prefix=prefix, listing=listing)
    hosts.put(listing.key, body)
    hosts.put(job_key(batch.id), batch.encode())
    hosts.put(f"{index_prefix(kind, 'default')}{batch.id}", b"")
    if is_open:
        hosts.put(batch.key("archive.zip"), b"zip")
        hosts.put(f"{OPEN}{batch.id}", b"")
    return batch


def test_batches_forget_a_persons_files_and_read_on() -> None:
    hosts = Hosts()
    rights = hosts.host()
    hosts.enrol(NAME, b"1", ADA)
    files = [(person, f"{number}.jpg") for person in ("Bob", NAME, "Eve") for number in (1, 2)]
    items = [Item(f"{person}/{name}", name, person, at=100 + at) for at, (person, name) in enumerate(files)]
    batch = a_batch(hosts, *items)
    theirs = a_batch(hosts, Item(f"inbox/{NAME}/1.jpg", "1.jpg", NAME), prefix=f"inbox/{NAME}/")
    hosts.at += 1
    erased(hosts, rights)
    assert traces(hosts, NAME) == []
    assert batch.listing is not None
    read = [asdict(item) for item, _ in read_listing(hosts.store, batch.listing)]
    assert [item["person"] for item in read] == ["Bob", "Bob", "", "", "Eve", "Eve"]
    assert [item["code"] for item in read] == ["", "", "not-found", "not-found", "", ""]
    assert not [key for key in hosts.store.objects if theirs.id in key]


def test_an_erasure_that_waits_looks_at_the_batch_before_anything_else() -> None:
    hosts = Hosts()
    rights = hosts.host()
    hosts.enrol(NAME, b"1", ADA)
    queued = hosts.new_id()
    batch = a_batch(hosts, Item(f"{NAME}/1.jpg", "1.jpg", NAME), is_open=True)
    hosts.at += 1
    rights.erasures.begin("default", NAME, who="key-1")
    hosts.finish(rights)
    hosts.gallery.add("default", [enrolled(NAME, queued, hosts.at)])  # type: ignore[attr-defined]
    looked: list[str] = []
    entries = hosts.store.entries
    hosts.store.entries = lambda prefix, after="": looked.append(prefix) or entries(prefix, after)
    hosts.finish(rights)
    assert set(looked) == {"erasures/open/", photo_key(queued)}
    assert hosts.gallery.photos("default") == [], "nobody is named by what comes meanwhile"
    late = hosts.identify(b"late", NAME)
    hosts.store.purge([f"{OPEN}{batch.id}"])
    hosts.finish(rights)
    assert {result_key(late), image_key(late)}.isdisjoint(hosts.store.objects)
    assert not [key for key in hosts.store.objects if key.startswith("erasures/open/")]


@pytest.mark.parametrize("fault", [ObjectMissingError("gone"), ValueError(NAME)])
def test_a_fault_of_one_erasure_holds_up_no_other(fault: Exception, caplog: pytest.LogCaptureFixture) -> None:
    hosts = Hosts()
    rights = hosts.host()
    photo = hosts.enrol(NAME, b"1", ADA)
    hosts.enrol("Bob", b"2", BOB)
    hosts.put("erasures/open/0.json", b'{"of": "another release"}')
    first = rights.erasures.begin("default", NAME, who="key-1")
    second = rights.erasures.begin("default", "Bob", who="key-1")
    purge = hosts.store.purge

    def broken(keys: Sequence[str]) -> int:
        if photo_key(photo) in keys:
            raise fault
        return int(purge(keys))

    hosts.store.purge = broken
    hosts.finish(rights)
    states = [rights.erasures.find(erasure)["state"] for erasure in (first, second)]
    assert states == ["running", "done"]
    assert type(fault).__name__ in {getattr(record, "reason", "") for record in caplog.records}
    assert not [record for record in caplog.records if NAME in str(vars(record))]
    hosts.store.purge = purge
    hosts.finish(rights)
    assert rights.erasures.find(first)["state"] == "done"


def test_a_log_says_why_storage_failed_and_for_whom_not(caplog: pytest.LogCaptureFixture) -> None:
    hosts = Hosts()
    rights = hosts.host()
    going, _ = furnished(hosts)
    rights.erasures.begin("default", NAME, who="key-1")
    purge = hosts.store.purge

    def denied(keys: Sequence[str]) -> int:
        refusal: Any = RuntimeError(NAME)
        refusal.response = {"Error": {"Code": "AccessDenied"}}
        raise TransientError(Code.STORAGE_UNAVAILABLE, f"S3 answered AccessDenied for {keys[0]}/{NAME}") from refusal

    hosts.store.purge = denied
    hosts.finish(rights)
    hosts.store.purge = purge
    assert "storage-unavailable: RuntimeError: AccessDenied" in {
        vars(record).get("reason") for record in caplog.records
    }
    assert not [record for record in caplog.records if NAME in str(vars(record))]
    hosts.finish(rights)
    assert set(going).isdisjoint(hosts.store.objects)


def test_an_erasure_waits_for_an_open_batch_with_files_of_the_person() -> None:
    hosts = Hosts()
    rights = hosts.host()
    hosts.enrol(NAME, b"1", ADA)
    batch = a_batch(hosts, Item(f"{NAME}/1.jpg", "1.jpg", NAME), is_open=True)
    a_batch(hosts, Item("Bob/1.jpg", "1.jpg", "Bob"), is_open=True)
    hosts.at += 1
    erasure = rights.erasures.begin("default", NAME, who="key-1")
    hosts.finish(rights)
    assert rights.erasures.find(erasure)["state"] == "running", "its archive is still needed"
    hosts.store.purge([batch.key("archive.zip"), f"{OPEN}{batch.id}"])
    hosts.finish(rights)
    assert rights.erasures.find(erasure)["state"] == "done"


def test_a_consent_that_an_older_import_records_late_goes_and_one_recorded_anew_stays() -> None:
    hosts = Hosts()
    rights = hosts.host()
    hosts.enrol(NAME, b"1", ADA)
    hosts.enrol("Eve", b"2", BOB)
    batch = a_batch(hosts, Item(f"{NAME}/1.jpg", "1.jpg", NAME), Item("Eve/1.jpg", "1.jpg", "Eve"), is_open=True)
    hosts.at += 1
    for person in (NAME, "Eve"):
        rights.erasures.begin("default", person, who="key-1")
    rights.erasures.go_on()
    for person in (NAME, "Eve"):
        rights.records.record_consent("default", person, "form 1", by="key-1", batch=batch.id)
    rights.records.record_consent("default", "Eve", "form 2", by="key-1")
    hosts.store.purge([f"{OPEN}{batch.id}"])
    hosts.finish(rights)
    assert rights.records.find("default", NAME) is None
    assert rights.records.find("default", "Eve") is not None


def test_open_batches_of_a_collection_that_goes_are_cancelled() -> None:
    hosts = Hosts()
    rights = hosts.host()
    batch = a_batch(hosts, Item("Bob/1.jpg", "1.jpg", "Bob"), is_open=True)
    hosts.at += 1
    erasure = rights.erasures.begin("default", who="key-1")
    hosts.finish(rights)
    assert batch.key("cancelled") in hosts.store.objects
    hosts.store.purge([f"{OPEN}{batch.id}"])
    hosts.finish(rights)
    assert rights.erasures.find(erasure)["state"] == "done"
    assert not [key for key in hosts.store.objects if batch.id in key]


def test_an_erasure_that_there_was_not_is_not_found() -> None:
    hosts = Hosts()
    with pytest.raises(ServiceError) as caught:
        hosts.host().erasures.find(hosts.new_id())
    assert caught.value.code is Code.NOT_FOUND


def test_whoever_asks_is_told_of_a_fault_after_the_beginning() -> None:
    hosts = Hosts()
    rights = hosts.host()
    going, _ = furnished(hosts)

    def away(*_: object) -> int:
        raise TransientError(Code.STORAGE_UNAVAILABLE, "away")

    remove, hosts.gallery.remove = hosts.gallery.remove, away  # type: ignore[method-assign,assignment]
    with pytest.raises(ServiceError) as caught:
        rights.erasures.begin("default", NAME, who="key-1")
    assert caught.value.code is Code.ERASURE_FAILED
    hosts.gallery.remove = remove  # type: ignore[method-assign]
    hosts.finish(rights)
    assert set(going).isdisjoint(hosts.store.objects)
