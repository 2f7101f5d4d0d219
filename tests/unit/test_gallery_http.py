"""Collections as a whole, searches and groups of unknown faces, over HTTP."""

import base64
import hashlib
import io
import json
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import PIL.Image
import pytest
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from face_app.observed import observe
from face_common.calibrations import calibration_key
from face_common.contract import Code, image_key, photo_key, result_key, unknown_key
from face_common.errors import ServiceError
from face_common.templates import Template
from face_common.unknown import UnknownFace, UnknownFaces
from face_web import galleries as galleries_module
from face_web.audit import Audit
from face_web.galleries import Galleries
from face_web.records import Records
from face_web.strangers import Strangers
from face_web.versions import GalleryVersions
from tests.fakes.cloud import MemoryGallery, MemoryObjectStore
from tests.fakes.inference import encoding, face, reading
from tests.pictures import saved, scene
from tests.unit.test_contract import ULID
from tests.unit.test_enrolled import crowd
from tests.unit.test_http import (  # noqa: F401 - fixtures
    ADA,
    ADA_AGAIN,
    BOB,
    NOBODY,
    Service,
    assert_problem,
    client,
    enrol,
    running,
    send,
    service,
)


def asked(response: TestResponse, status: int = 200) -> Any:
    assert response.status_code == status, response.get_data(as_text=True)
    return response.get_json()


def audited(service: Service) -> list[dict[str, Any]]:  # noqa: F811
    log: Audit = service.services.audit
    return [dict(entry) for entry in log.entries()]


# Collections


def test_a_collection_is_described_and_listed(client: FlaskClient) -> None:  # noqa: F811
    enrol(client, "Ada", ADA)
    enrol(client, "Bob", BOB)
    described = asked(client.get("/v1/gallery"))
    assert described == {
        "collection": "default", "people": 2, "photos": 2, "templates": 2, "version": 2, "models": ["model"],
    }  # fmt: skip
    assert asked(client.get("/v1/collections")) == {"collections": [described]}
    assert asked(client.get("/v1/gallery?collection=none"))["version"] == 0


def test_a_description_is_counted_again_when_something_has_changed(client: FlaskClient) -> None:  # noqa: F811
    enrol(client, "Ada", ADA)
    assert asked(client.get("/v1/gallery"))["people"] == 1
    enrol(client, "Bob", BOB)
    assert asked(client.get("/v1/gallery"))["people"] == 2


def test_an_undone_enrolment_takes_its_photo_with_it(service: Service, client: FlaskClient) -> None:  # noqa: F811
    enrol(client, "Ada", ADA)
    (photo,) = asked(enrol(client, "Bob", BOB), 201)["photos"]
    newest, before, *_ = asked(client.get("/v1/gallery/versions"))["versions"]
    assert (newest["version"], newest["rows"], before["version"], before["rows"]) == (2, 2, 1, 1)
    done = asked(client.post("/v1/gallery/restorations", json={"version": 1}))
    assert (done["restored"], done["removed"], done["added"]) == (1, [photo["photo"]], [])
    assert photo_key(photo["photo"]) not in service.house.store.objects
    assert [row["person"] for row in asked(client.get("/v1/people"))["people"]] == ["Ada"]
    (found,) = asked(send(client, "/v1/identifications", BOB))["faces"]
    assert found["decision"] == "unknown"
    assert audited(service)[-1]["action"] == "restore-gallery"


def test_only_a_kept_version_is_restored(client: FlaskClient) -> None:  # noqa: F811
    enrol(client, "Ada", ADA)
    assert_problem(client.post("/v1/gallery/restorations", json={"version": 77}), Code.VERSION_UNKNOWN)
    assert_problem(client.post("/v1/gallery/restorations", json={"version": "first"}), Code.REQUEST_INVALID)


# Export and import


def exported(client: FlaskClient, collection: str = "default") -> bytes:  # noqa: F811
    answer = client.get(f"/v1/gallery/export?collection={collection}")
    assert (answer.status_code, answer.mimetype) == (200, "application/jsonl")
    return answer.get_data()


def imported(client: FlaskClient, file: bytes, collection: str = "other") -> TestResponse:  # noqa: F811
    path = f"/v1/gallery/imports?collection={collection}"
    return client.post(path, data=file, content_type="application/jsonl")


def test_what_is_exported_is_recognised_where_it_is_imported(service: Service, client: FlaskClient) -> None:  # noqa: F811
    enrol(client, "Ada", ADA)
    enrol(client, "Bob", BOB)
    file = exported(client)
    header, first, _ = map(json.loads, file.splitlines())
    assert header == {
        "format": "elastic-face-gallery", "version": 1, "collection": "default", "models": ["model"],
        "dimensions": 128, "templates": 2,
    }  # fmt: skip
    assert first["digest"] == hashlib.sha256(ADA).hexdigest()
    assert np.frombuffer(base64.b64decode(first["encoding"]), "<f4").tolist() == pytest.approx(encoding(0))
    done = asked(imported(client, file))
    assert done == {"collection": "other", "people": 2, "templates": 2, "present": 0, "gallery_version": 1}
    (found,) = asked(send(client, "/v1/identifications?collection=other", ADA))["faces"]
    assert found["person"] == "Ada"
    there, here = ([json.loads(line) for line in lines.splitlines()[1:]] for lines in (exported(client, "other"), file))
    assert [row | {"photo": ""} for row in there] == [row | {"photo": ""} for row in here]
    assert [entry["action"] for entry in audited(service)][-3:-1] == ["export-gallery", "import-gallery"]


def test_an_imported_photo_does_not_share_the_file_of_another_collection(
    service: Service,  # noqa: F811
    client: FlaskClient,  # noqa: F811
) -> None:
    photo = asked(enrol(client, "Ada", ADA), 201)["photos"][0]["photo"]
    asked(enrol(client, "Bob", BOB), 201)
    file = exported(client)
    enrol_there = send(client, "/v1/people/Eve/photos?collection=other", ADA_AGAIN)
    assert enrol_there.status_code == 201
    asked(imported(client, file))
    (copy,) = asked(client.get("/v1/people/Ada?collection=other"))["photos"]
    assert copy["photo"] != photo
    for known in (copy["photo"], photo):
        assert_problem(client.get(f"/v1/people/Ada/photos/{known}?collection=other"), Code.NOT_FOUND)
    assert asked(imported(client, file))["present"] == 2, "the same again has the same ids"
    asked(client.put("/v1/people/Ada?collection=other", json={"name": "Zoe"}))
    assert asked(imported(client, file))["present"] == 2
    asked(client.post("/v1/gallery/restorations?collection=other", json={"version": 1}))
    assert [row["person"] for row in asked(client.get("/v1/people?collection=other"))["people"]] == ["Eve"]
    assert client.get(f"/v1/people/Ada/photos/{photo}").get_data() == ADA


def test_where_no_photo_lies_an_import_keeps_its_id(service: Service, client: FlaskClient) -> None:  # noqa: F811
    enrol(client, "Ada", ADA)
    file = exported(client)
    service.house.store.objects.clear()
    asked(imported(client, file))
    assert exported(client, "other").splitlines()[1:] == file.splitlines()[1:]


def galleries_over(store: MemoryObjectStore, gallery: MemoryGallery) -> Galleries:
    consents = Records(store, consent_required=False, now=time.time)
    return Galleries(gallery=gallery, store=store, versions=GalleryVersions(gallery), consents=consents)


def test_undoing_leaves_the_photo_of_another_collection() -> None:
    store, gallery = MemoryObjectStore(), MemoryGallery()
    galleries = galleries_over(store, gallery)
    shared, own = template("Ada", "0"), template("Bob", "1")
    gallery.add("default", [shared])
    gallery.add("other", [own])
    gallery.add("other", [shared, template("Eve", "2")])  # as imports once did
    for row in (shared, own, template("Eve", "2")):
        store.put(photo_key(row.photo), ADA, "image/png")
    galleries.remove_photos("other", galleries.restore("other", 1).removed)
    assert sorted(store.objects) == [photo_key(shared.photo), photo_key(own.photo)]


def test_the_photos_of_many_rows_are_looked_up_in_a_listing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(galleries_module, "_ASKED", 1)
    rows = [template("Ada", last) for last in "0123"]
    store, gallery = MemoryObjectStore(), MemoryGallery()
    galleries = galleries_over(store, gallery)
    gallery.add("default", rows)
    for last in "039Z":
        store.put(photo_key(f"{ULID[:-1]}{last}"), ADA, "image/png")
    galleries.import_file("other", io.BytesIO(b"".join(galleries.export("default"))))
    there = {row.photo for row in gallery.identities("other")}
    assert {row.photo for row in rows} & there == {f"{ULID[:-1]}1", f"{ULID[:-1]}2"}
    assert len(there) == 4


def test_what_is_there_already_stays_as_it_is(client: FlaskClient) -> None:  # noqa: F811
    enrol(client, "Ada", ADA)
    file = exported(client)
    enrol(client, "Bob", BOB)
    again = asked(imported(client, exported(client), "default"))
    assert (again["templates"], again["present"], again["gallery_version"]) == (0, 2, 2)
    asked(imported(client, file))
    more = asked(imported(client, exported(client)))
    assert (more["people"], more["templates"], more["present"]) == (1, 1, 1)


def test_the_same_file_under_another_id_is_there_already(service: Service, client: FlaskClient) -> None:  # noqa: F811
    enrol(client, "Ada", ADA)
    lines = exported(client).splitlines(keepends=True)
    renumbered = json.loads(lines[1]) | {"photo": ULID}
    file = lines[0].replace(b'"templates":1', b'"templates":2') + lines[1] + json.dumps(renumbered).encode()
    assert asked(imported(client, file))["present"] == 1


def changed(field: str, value: object) -> Callable[[list[dict[str, Any]]], None]:
    return lambda rows: rows[-1].__setitem__(field, value)


@pytest.mark.parametrize(
    ("damage", "line"),
    [
        (changed("person", "../x"), 2),
        (changed("person", 5), 2),
        (changed("photo", "1"), 2),
        (changed("digest", "ABC"), 2),
        (changed("model", "another"), 2),
        (changed("enrolled_at", None), 2),
        (changed("enrolled_at", 1e300), 2),
        (changed("enrolled_at", 10**400), 2),
        (changed("enrolled_at", -1), 2),
        (changed("encoding", "AAAA"), 2),
        (changed("encoding", base64.b64encode(bytes(512)).decode()), 2),
        (changed("encoding", base64.b64encode(b"\xff" * 512).decode()), 2),
        (changed("note", "more"), 2),
        (lambda rows: rows[-1].pop("name"), 2),
        (lambda rows: rows.append(rows[-1]), 3),
        (lambda rows: rows.pop(), 1),
        (lambda rows: rows[0].__setitem__("version", 2), 1),
        (lambda rows: rows[0].__setitem__("format", "x"), 1),
        (lambda rows: rows[0].__setitem__("dimensions", 512), 1),
        (lambda rows: rows[0].__setitem__("templates", "many"), 1),
        (lambda rows: rows[0].pop("models"), 1),
    ],
)
def test_of_a_damaged_file_nothing_is_taken(
    service: Service,  # noqa: F811
    client: FlaskClient,  # noqa: F811
    damage: Callable[[list[dict[str, Any]]], object],
    line: int,
) -> None:
    enrol(client, "Ada", ADA)
    rows = [json.loads(text) for text in exported(client).splitlines()]
    damage(rows)
    body = b"\n".join(json.dumps(row).encode() for row in rows)
    problem = assert_problem(imported(client, body), Code.GALLERY_FILE_INVALID)
    assert problem["detail"].startswith(f"line {line}: ")
    assert service.house.gallery.version("other") == 0


@pytest.mark.parametrize("body", [b"", b"{}", b"[]", b"nonsense", b"\xff\xfe", b"[" * 100_000])
def test_what_is_no_export_is_refused(client: FlaskClient, body: bytes) -> None:  # noqa: F811
    assert_problem(imported(client, body), Code.GALLERY_FILE_INVALID)


def test_a_file_has_to_say_what_it_is(client: FlaskClient) -> None:  # noqa: F811
    answer = client.post("/v1/gallery/imports", data=b"{}", content_type="application/json")
    assert_problem(answer, Code.TYPE_UNSUPPORTED)


def test_templates_of_another_model_are_refused_where_nobody_could_be_found_by_them(
    service: Service,  # noqa: F811
    client: FlaskClient,  # noqa: F811
) -> None:
    enrol(client, "Ada", ADA)
    file = exported(client).replace(b'"model"]', b'"newer"]').replace(b'"model":"model"', b'"model":"newer"')
    assert_problem(imported(client, file, "default"), Code.MODEL_MISMATCH)
    assert service.house.gallery.version("default") == 1
    assert asked(imported(client, file, "empty"))["templates"] == 1


def test_people_without_a_recorded_consent_are_not_imported_where_one_is_required() -> None:
    store, gallery = MemoryObjectStore(), MemoryGallery()

    class Nobody:
        def require_consent(self, collection: str, person: str) -> None:
            raise ServiceError(Code.CONSENT_MISSING, person)

    galleries = Galleries(gallery=gallery, store=store, versions=GalleryVersions(gallery), consents=Nobody())
    gallery.add("default", [template("Ada", "0")])
    file = io.BytesIO(b"".join(galleries.export("default")))
    with pytest.raises(ServiceError, match="consent-missing"):
        galleries.import_file("other", file)
    assert gallery.version("other") == 0


def template(person: str, last: str) -> Template:
    digest = hashlib.sha256(last.encode()).hexdigest()
    return Template(person, f"{ULID[:-1]}{last}", "photo.jpg", digest, "model", encoding(0), 0.0)


# Searches


def search(client: FlaskClient, query: str = "", **body: object) -> TestResponse:  # noqa: F811
    return client.post(f"/v1/searches{query}", json={"encoding": list(encoding(0)), "model": "model", **body})


def test_an_encoding_is_named(client: FlaskClient) -> None:  # noqa: F811
    enrol(client, "Ada", ADA)
    answer = asked(search(client, encoding=list(encoding(0.1)), top=1))
    assert (answer["operation"], answer["match"]["person"], answer["match"]["decision"]) == ("search", "Ada", "match")
    assert len(answer["match"]["candidates"]) == 1
    assert asked(client.get(f"/v1/searches/{answer['id']}")) == answer
    assert_problem(client.get(f"/v1/identifications/{answer['id']}"), Code.NOT_FOUND)
    assert_problem(client.get(f"/v1/searches/{ULID}"), Code.NOT_FOUND)


def test_a_search_that_is_not_waited_for_is_found_later(client: FlaskClient) -> None:  # noqa: F811
    answer = search(client, "?wait=0")
    assert answer.status_code in (200, 202)
    assert answer.status_code == 200 or answer.headers["Location"] == f"/v1/searches/{answer.get_json()['id']}"


@pytest.mark.parametrize("wrong", [[], [1.0] * 127, [1.0] * 129, [0.0] * 128, [1e300] * 128])
def test_what_is_no_encoding_is_refused(client: FlaskClient, wrong: list[float]) -> None:  # noqa: F811
    assert_problem(search(client, encoding=wrong), Code.ENCODING_INVALID)


def test_an_encoding_of_another_model_is_refused(client: FlaskClient) -> None:  # noqa: F811
    assert_problem(search(client, model="another"), Code.MODEL_MISMATCH)


# Merging


def test_two_people_are_made_one(service: Service, client: FlaskClient) -> None:  # noqa: F811
    enrol(client, "Ada", ADA)
    enrol(client, "Bob", BOB)
    merged = asked(client.post("/v1/people/Bob/merge", json={"into": "Ada"}))
    assert (merged["person"], len(merged["photos"])) == ("Ada", 2)
    assert_problem(client.get("/v1/people/Bob"), Code.NOT_FOUND)
    entry = audited(service)[-1]
    assert entry["action"] == "merge-people"
    assert "Bob" not in json.dumps(entry)
    assert_problem(client.post("/v1/people/Ada/merge", json={"into": "Nobody"}), Code.NOT_FOUND)
    assert asked(client.post("/v1/people/Ada/merge", json={"into": "Ada"})) == merged


# Unknown faces


STRANGER, STRANGER_AGAIN, GROUP = (saved(scene(width, 120), "PNG") for width in (100, 120, 160))


def see_strangers(body: bytes, _: int) -> Any:
    if body == GROUP:
        return reading(face(1.0, side=50), face(1.95, side=60))
    values = {STRANGER: 1.0, STRANGER_AGAIN: 1.1, BOB: 0.0}
    return reading(face(values[body])) if body in values else reading()


def clusters(client: FlaskClient, query: str = "") -> Any:  # noqa: F811
    return asked(client.get(f"/v1/clusters{query}"))["clusters"]


def note(store: MemoryObjectStore, last: str, *values: float, photo: bytes = STRANGER, model: str = "model") -> str:
    """Write down unknown faces of an identification, as a worker does."""
    job_id = f"{ULID[:-1]}{last}"
    box: Any = {"left": 10, "top": 20, "width": 50, "height": 50}
    faces = tuple(UnknownFace(index, box, encoding(value)) for index, value in enumerate(values))
    store.put(unknown_key("default", job_id), UnknownFaces(job_id, model, f"{last}.png", faces).to_json(), "")
    store.put(image_key(job_id), photo, "")
    result = {"image": {"name": f"{last}.png"}, "faces": [{"box": box} for _ in values]}
    store.put(result_key(job_id), json.dumps(result).encode(), "")
    return job_id


class Watch:
    """Groups of unknown faces over a bucket and a gallery in memory."""

    def __init__(self) -> None:
        self.store, self.gallery = MemoryObjectStore(), MemoryGallery()
        self.strangers = Strangers(store=self.store, gallery=self.gallery, versions=GalleryVersions(self.gallery))

    def groups(self, limit: int = 20) -> list[list[str]]:
        """The last letters of the identifications in each group."""
        found = self.strangers.clusters("default", 0.36, limit)
        return [[member["identification"][-1] for member in group["faces"]] for group in found]

    def name(self, cluster: str, person: str, last: str = "X") -> list[str]:
        count = len(self.strangers.identifications("default", cluster))
        ids = [f"{ULID[:-2]}{last}{number}" for number in range(count)]
        verdicts, _ = self.strangers.name("default", cluster, person, ids, 5.0)
        return [verdict["verdict"] for verdict in verdicts]

    def largest(self) -> str:
        return self.strangers.clusters("default", 0.36, 1)[0]["cluster"]


def test_faces_that_nobody_was_named_for_are_named_together() -> None:
    with running(Service(keep_unknown=True)) as service:  # noqa: F811
        service.read = see_strangers
        client = service.app.test_client()
        enrol(client, "Bob", BOB)
        for photo in (STRANGER, STRANGER_AGAIN, GROUP, BOB):
            send(client, "/v1/identifications", photo)
        first, second = clusters(client)
        assert (first["size"], second["size"]) == (3, 1)
        assert sorted(member["face"] for member in first["faces"]) == [0, 0, 0]
        assert second["faces"][0]["face"] == 1
        named = asked(client.post(f"/v1/clusters/{first['cluster']}", json={"person": "Ada"}), 201)
        assert [photo["verdict"] for photo in named["photos"]] == ["accepted"] * 3
        assert [photo["name"] for photo in named["photos"]] == ["photo.png"] * 3
        found = asked(send(client, "/v1/identifications", STRANGER))["faces"]
        assert (found[0]["decision"], found[0]["person"]) == ("match", "Ada")
        assert [group["size"] for group in clusters(client)] == [1]
        assert asked(client.delete(f"/v1/clusters/{second['cluster']}")) == {"cluster": second["cluster"], "faces": 1}
        assert clusters(client) == []
        assert not [key for key in service.house.store.objects if key.startswith("unknown/")]
        assert_problem(client.post(f"/v1/clusters/{first['cluster']}", json={"person": "Ada"}), Code.NOT_FOUND)
        assert [entry["action"] for entry in audited(service)][-2:] == ["name-cluster", "dismiss-cluster"]
        kept = [asked_photo(client, photo["photo"]) for photo in named["photos"]]
        assert not {STRANGER, STRANGER_AGAIN, GROUP}.intersection(kept), "only the face is kept"


def asked_photo(client: FlaskClient, photo: str) -> bytes:  # noqa: F811
    answer = client.get(f"/v1/people/Ada/photos/{photo}")
    assert answer.status_code == 200
    return answer.get_data()


def test_where_nothing_is_kept_there_are_no_groups(client: FlaskClient) -> None:  # noqa: F811
    send(client, "/v1/identifications", NOBODY)
    assert clusters(client) == []
    assert_problem(client.delete(f"/v1/clusters/{'0' * 24}"), Code.NOT_FOUND)
    assert_problem(client.delete("/v1/clusters/none"), Code.PARAMETER_INVALID)


def test_the_largest_group_comes_first_and_models_do_not_mix() -> None:
    watch = Watch()
    note(watch.store, "A", 0.0)
    for last in "BCD":
        note(watch.store, last, 1.5)
    note(watch.store, "E", 1.5, model="newer")
    groups = watch.groups()
    assert sorted(groups[0]) == ["B", "C", "D"]
    assert sorted(map(len, groups)) == [1, 1, 3]
    assert len(watch.groups(limit=1)) == 1


def test_what_has_come_since_the_listing_is_not_named_with_it() -> None:
    watch = Watch()
    note(watch.store, "A", 0.0, photo=STRANGER)
    note(watch.store, "B", 0.1, photo=STRANGER_AGAIN)
    cluster = watch.largest()
    late = note(watch.store, "C", 0.05, photo=GROUP)
    assert watch.name(cluster, "Ada") == ["accepted", "accepted"]
    assert watch.groups() == [["C"]]
    assert unknown_key("default", late) in watch.store.objects


def test_the_same_file_is_enrolled_once_and_a_lost_photo_is_said_to_be_lost() -> None:
    watch = Watch()
    for last in "AB":
        note(watch.store, last, 0.0, photo=STRANGER)
    lost = note(watch.store, "C", 0.0)
    del watch.store.objects[image_key(lost)]
    verdicts = watch.name(watch.largest(), "Ada")
    assert sorted(verdicts) == ["accepted", "duplicate", "failed"]
    (template_,) = watch.gallery.templates("default", "Ada")
    assert template_.digest == hashlib.sha256(watch.store.objects[photo_key(template_.photo)]).hexdigest()
    assert (template_.enrolled_at, template_.model) == (5.0, "model")
    assert watch.groups() == [["C"]]


def test_of_a_group_only_the_face_is_kept_however_many_were_asked_for() -> None:
    with running(Service(keep_unknown=True)) as service:  # noqa: F811
        service.read = lambda body, most: reading(*[face(1.0, side=50), face(1.95, side=60)][:most])
        client = service.app.test_client()
        send(client, "/v1/identifications?max_faces=1", GROUP)
        (group,) = clusters(client)
        (photo,) = asked(client.post(f"/v1/clusters/{group['cluster']}", json={"person": "Ada"}), 201)["photos"]
        with PIL.Image.open(io.BytesIO(asked_photo(client, photo["photo"]))) as kept:
            assert kept.size == (75, 80), "50 pixels and a margin, cut at the photo's edge"


@pytest.mark.parametrize("has_answer", [True, False])
def test_a_face_that_cannot_be_cut_out_is_not_named(*, has_answer: bool) -> None:
    watch = Watch()
    job_id = note(watch.store, "A", 0.0, photo=b"HEIC, say")
    if not has_answer:
        watch.store.put(image_key(job_id), STRANGER, "")
        del watch.store.objects[result_key(job_id)]
    with pytest.raises(ServiceError, match="not-found"):
        watch.name(watch.largest(), "Ada")
    note(watch.store, "B", 0.1, photo=STRANGER_AGAIN)
    assert sorted(watch.name(watch.largest(), "Ada")) == ["accepted", "failed"]
    assert len([key for key in watch.store.objects if key.startswith("photos/")]) == 1
    assert watch.groups() == [["A"]], "it can still be looked at, and dismissed"


def test_a_naming_that_broke_off_is_completed_by_the_next() -> None:
    watch = Watch()
    for last, photo in (("A", STRANGER), ("B", STRANGER_AGAIN)):
        note(watch.store, last, 0.0, photo=photo)
    cluster = watch.largest()
    before = dict(watch.store.objects)
    watch.name(cluster, "Ada")
    watch.store.objects |= before  # as if it had died before the faces were taken away
    assert watch.name(cluster, "Ada", last="Y") == ["duplicate", "duplicate"]
    assert len(watch.gallery.photos("default", "Ada")) == 2
    assert watch.groups() == []


def test_other_faces_of_a_photo_stay_to_be_named() -> None:
    watch = Watch()
    job_id = note(watch.store, "A", 0.0, 1.5)
    note(watch.store, "B", 0.1)
    watch.strangers.dismiss("default", watch.largest())
    left = UnknownFaces.from_json(watch.store.objects[unknown_key("default", job_id)])
    assert [face_.index for face_ in left.faces] == [1]


def test_what_is_no_note_is_passed_over() -> None:
    watch = Watch()
    note(watch.store, "A", 0.0)
    watch.store.put(unknown_key("default", f"{ULID[:-1]}B"), b"damaged", "application/json")
    assert watch.groups() == [["A"]]


def test_nobody_is_named_without_consent_where_one_is_required() -> None:
    with running(Service(keep_unknown=True)) as service:  # noqa: F811
        service.read = see_strangers
        service.rights.records._consent_required = True
        client = service.app.test_client()
        send(client, "/v1/identifications", STRANGER)
        (group,) = clusters(client)
        path = f"/v1/clusters/{group['cluster']}"
        assert_problem(client.post(path, json={"person": "Ada"}), Code.CONSENT_MISSING)
        assert_problem(client.post(path, json={"person": "../x"}), Code.PERSON_INVALID)
        assert service.house.gallery.version("default") == 0


# What was measured


def measured(version: int) -> bytes:
    told = observe(crowd(3, 2), "default", "model", at=0.0)
    return json.dumps({**told, "gallery_version": version}).encode()


def test_what_a_worker_has_measured_is_told(service: Service, client: FlaskClient) -> None:  # noqa: F811
    enrol(client, "Ada", ADA)
    few = assert_problem(client.get("/v1/gallery/calibration"), Code.NOT_FOUND)
    assert "at least two people" in few["detail"]
    enrol(client, "Bob", BOB)
    early = assert_problem(client.get("/v1/gallery/calibration"), Code.NOT_FOUND)
    assert "no worker has measured default yet" in early["detail"]
    service.house.store.put(calibration_key("default"), measured(1), "application/json")
    told = asked(client.get("/v1/gallery/calibration"))
    assert (told["gallery_version"], told["latest_version"]) == (1, 2)
    assert told == {**json.loads(measured(1)), "latest_version": 2}
    service.house.store.put(calibration_key("default"), b"{}", "application/json")
    assert_problem(client.get("/v1/gallery/calibration"), Code.NOT_FOUND)


def test_what_was_measured_goes_with_those_whom_it_was_measured_of(service: Service, client: FlaskClient) -> None:  # noqa: F811
    key, objects = calibration_key("default"), service.house.store.objects
    for person, photo in (("Ada", ADA), ("Bob", BOB)):
        enrol(client, person, photo)
    objects[key] = measured(2)
    asked(client.delete("/v1/people/Ada"))
    assert key not in objects
    objects[key] = measured(service.house.gallery.version("default"))
    asked(client.delete("/v1/people/Ada?insist=true"))
    assert key in objects, "it was measured without Ada"
    asked(client.delete("/v1/gallery"))
    assert key not in objects


def test_how_the_service_is_set_up_is_told_without_secrets(service: Service, client: FlaskClient) -> None:  # noqa: F811
    told = asked(client.get("/v1/settings"))
    values = {row["name"]: row["value"] for row in told["settings"]}
    assert (told["version"], told["webhooks"]) == ("1.2.3", sorted(service.services.settings.webhooks))
    assert (values["FACE_ACCESS"], values["FACE_KEEP_RESULTS_DAYS"], values["FACE_IMPORT_PREFIX"]) == (
        "open", 30.0, "inbox/",
    )  # fmt: skip
    assert values["FACE_CONSENT_REQUIRED"] is False
    assert all(row["description"] for row in told["settings"])
    text = json.dumps(told).lower()
    assert not any(word in text for word in ("secret", "hash", "queue_url", "memory://", "http"))
