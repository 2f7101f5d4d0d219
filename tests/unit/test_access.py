"""Keys, roles and collections: who gets in, from the single decision to every call that there is."""

import hashlib
import json
import re
import time
from collections.abc import Iterator
from typing import Any

import pytest
from flask.testing import FlaskClient

from face_common.contract import Code, result_key
from face_common.errors import RateLimitedError, ServiceError, TransientError
from face_web.access import LOCAL, Access, Caller, Key, Requirement, Role, is_loopback
from face_web.audit import Audit
from face_web.idempotency import Idempotency, fingerprint
from face_web.keys import Keys, new_key_id
from tests.fakes.cloud import MemoryObjectStore
from tests.pictures import picture
from tests.unit.test_contract import ULID
from tests.unit.test_http import Service, assert_problem
from tests.unit.test_worker import eventually

SECRET = "s" * 43
PHOTO = picture("PNG", (10, 10))


class Refused:
    """Counts refusals."""

    def __init__(self) -> None:
        self.reasons: list[str] = []

    def refused(self, reason: str) -> None:
        self.reasons.append(reason)


class Ring:
    """A key ring with one key."""

    def __init__(self, key: Key) -> None:
        self.key = key
        self.uses = 0

    def find(self, key: str) -> Key | None:
        return self.key if key == self.key.caller.key else None

    def used(self, key: str) -> None:
        self.uses += 1


def key(**changes: Any) -> Key:
    caller = Caller(**{"key": "abc", "name": "a", "role": Role.SUBMIT, **changes.pop("caller", {})})
    return Key(caller, hashlib.sha256(SECRET.encode()).hexdigest(), **changes)


def access(found: Key, *, rate: float = 10.0, is_open: bool = False, now: float = 0.0) -> tuple[Access, Ring, Refused]:
    ring, refused = Ring(found), Refused()
    clock = {"now": now}
    made = Access(keys=ring, refusals=refused, rate=rate, is_open=is_open, now=lambda: clock["now"])
    made.clock = clock  # type: ignore[attr-defined]
    return made, ring, refused


def bearer(text: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {text}"}


def test_the_right_key_is_let_in() -> None:
    door, ring, refused = access(key())
    assert door.caller(bearer(f"face_abc_{SECRET}")).key == "abc"
    assert door.caller({"Authorization": f"bearer  face_abc_{SECRET} "}).key == "abc"
    assert (ring.uses, refused.reasons) == (2, [])


@pytest.mark.parametrize(
    ("header", "code"),
    [
        ("", Code.KEY_MISSING),
        ("Bearer ", Code.KEY_MISSING),
        (f"Basic face_abc_{SECRET}", Code.KEY_MISSING),
        (f"Bearer face_abc_{SECRET[:-1]}x", Code.KEY_INVALID),
        (f"Bearer face_abd_{SECRET}", Code.KEY_INVALID),
        (f"Bearer face_abc_{SECRET}é", Code.KEY_INVALID),
        ("Bearer \x00", Code.KEY_INVALID),
        (f"Bearer {'x' * 100_000}", Code.KEY_INVALID),
    ],
)
def test_whoever_has_no_right_key_is_refused(header: str, code: Code) -> None:
    door, ring, refused = access(key())
    with pytest.raises(ServiceError) as refusal:
        door.caller({"Authorization": header})
    assert refusal.value.code is code
    assert (ring.uses, refused.reasons) == (0, [code])


def test_a_key_ends_when_it_is_told_to() -> None:
    door, _, _ = access(key(expires_at=100.0), now=99.0)
    assert door.caller(bearer(f"face_abc_{SECRET}"))
    door.clock["now"] = 100.0  # type: ignore[attr-defined]
    with pytest.raises(ServiceError, match="key-invalid"):
        door.caller(bearer(f"face_abc_{SECRET}"))


def test_a_key_may_ask_so_often_and_no_more() -> None:
    door, _, _ = access(key(), rate=10.0)
    for _ in range(10):
        door.caller(bearer(f"face_abc_{SECRET}"))
    with pytest.raises(RateLimitedError) as slow:
        door.caller(bearer(f"face_abc_{SECRET}"))
    assert slow.value.retry_after == pytest.approx(0.1)
    door.clock["now"] = 0.1  # type: ignore[attr-defined]
    assert door.caller(bearer(f"face_abc_{SECRET}"))


def test_a_key_may_have_a_rate_of_its_own() -> None:
    door, _, _ = access(key(caller={"rate": 100.0}), rate=1.0)
    for _ in range(100):
        door.caller(bearer(f"face_abc_{SECRET}"))


def test_without_keys_this_machine_alone_is_heard() -> None:
    door, _, _ = access(key(), is_open=True)
    for host in ("127.0.0.1:8080", "localhost:8080", "[::1]:8080", "127.0.0.1"):
        assert door.caller({"Host": host}) is LOCAL
        assert door.caller({"Host": host, "Origin": f"http://{host}"}) is LOCAL
    for headers in (
        {"Host": "face.example.com"},
        {"Host": "rebound.example:8080"},
        {"Host": "127.0.0.1:8080", "Origin": "https://example.com"},
        {"Host": "127.0.0.1:8080", "Origin": "null"},
        {},
    ):
        with pytest.raises(ServiceError, match="forbidden"):
            door.caller(headers)


def test_loopback_addresses_are_told_from_others() -> None:
    assert all(map(is_loopback, ("127.0.0.1", "127.9.9.9", "::1", "localhost")))
    assert not any(map(is_loopback, ("0.0.0.0", "::", "", "10.0.0.1", "example.com", "localhost.example.com")))  # noqa: S104


def test_each_role_may_do_what_the_ones_before_it_may() -> None:
    for mine in Role:
        for needed in Role:
            assert mine.covers(needed) == (list(Role).index(mine) >= list(Role).index(needed))


def test_a_bound_key_runs_no_service() -> None:
    bound = Caller("k", "n", Role.ADMIN, frozenset({"a"}))
    bound.require(Requirement(Role.ADMIN))
    with pytest.raises(ServiceError, match="bound"):
        bound.require(Requirement(Role.ADMIN, "service"))
    bound.require_collection("a")
    with pytest.raises(ServiceError, match="forbidden"):
        bound.require_collection("b")


def keys(store: MemoryObjectStore) -> Keys:
    return Keys(store, "", time.time)


def test_a_key_made_on_one_host_is_known_on_another_until_it_is_revoked() -> None:
    store = MemoryObjectStore()
    here, there = keys(store), keys(store)
    caller = Caller("", "camera", Role.SUBMIT, frozenset({"b", "a"}), 5.0)
    made, text = here.create("abcdefgh2345", caller, created_by="admin", expires_at=2e9)
    assert here.find("abcdefgh2345") == made.key
    assert there.find("abcdefgh2345") is None
    there.refresh()
    assert there.find("abcdefgh2345") == made.key
    assert text.startswith("face_abcdefgh2345_")
    here.revoke("abcdefgh2345")
    there.refresh()
    assert there.find("abcdefgh2345") is None
    with pytest.raises(ServiceError, match="not-found"):
        here.revoke("abcdefgh2345")


def test_what_is_stored_does_not_let_anybody_in() -> None:
    store = MemoryObjectStore()
    _, text = keys(store).create("abc", Caller("", "n", Role.ADMIN), created_by="admin")
    secret = text.split("_", 2)[2]
    assert secret not in b"".join(store.objects.values()).decode()
    assert hashlib.sha256(secret.encode()).hexdigest() in b"".join(store.objects.values()).decode()


def test_a_key_is_not_made_twice() -> None:
    made = keys(MemoryObjectStore())
    made.create("abc", Caller("", "n", Role.ADMIN), created_by="admin")
    with pytest.raises(ServiceError, match="idempotency-key-reused"):
        made.create("abc", Caller("", "n", Role.ADMIN), created_by="admin")


def test_it_is_known_when_a_key_was_used_last() -> None:
    store, clock = MemoryObjectStore(), {"now": 1000.0}
    here = Keys(store, "", lambda: clock["now"])
    here.create("abc", Caller("", "n", Role.ADMIN), created_by="admin")
    assert here.all()[0].used_at is None
    clock["now"] = 2000.0
    here.used("abc")
    here.refresh()
    assert keys(store).all()[0].used_at == 2000.0
    clock["now"] = 2001.0
    here.used("abc")
    here.refresh()
    assert keys(store).all()[0].used_at == 2000.0, "no write a request"


def test_the_first_key_comes_from_the_settings() -> None:
    ring = Keys(MemoryObjectStore(), hashlib.sha256(SECRET.encode()).hexdigest().upper(), time.time)
    found = ring.find("admin")
    assert found is not None
    door, _, _ = access(found)
    assert door.caller(bearer(f"face_admin_{SECRET}")).role is Role.ADMIN
    with pytest.raises(ServiceError, match="setting"):
        ring.revoke("admin")


def test_ids_of_keys_follow_from_a_seed() -> None:
    assert new_key_id(b"a") == new_key_id(b"a") != new_key_id(b"b")
    assert new_key_id() != new_key_id()
    assert len(new_key_id()) == 12


def ids() -> Idempotency:
    numbers = iter(range(100))
    return Idempotency(MemoryObjectStore(), lambda: str(next(numbers)))


def test_an_idempotency_key_fixes_the_ids() -> None:
    made = ids()
    first = made.ids("k", "scope", "print", 2)
    assert made.ids("k", "scope", "print", 2) == first
    assert made.ids("k", "another scope", "print", 2) != first
    assert made.ids(None, "scope", "print", 2) != made.ids(None, "scope", "print", 2)
    with pytest.raises(ServiceError, match="idempotency-key-reused"):
        made.ids("k", "scope", "another print", 2)


@pytest.mark.parametrize("text", ["", "x" * 256, "é", "a\n"])
def test_an_idempotency_key_is_plain(text: str) -> None:
    with pytest.raises(ServiceError, match="idempotency-key-invalid"):
        ids().ids(text, "scope", "print", 1)


def test_fingerprints_tell_where_parts_end() -> None:
    assert fingerprint(b"a", b"b") != fingerprint(b"ab")
    assert fingerprint(b"a") == fingerprint("a") != hashlib.sha256(b"a").hexdigest()


def test_the_audit_log_grows_and_names_nobody() -> None:
    store, numbers = MemoryObjectStore(), iter(range(10))
    log = Audit(store, lambda: f"{ULID[:-1]}{next(numbers)}", lambda: 0.0)
    subject = log.subject("default", "Ada")
    log.record("admin", "erase-person", "default", subject, templates=3)
    log.record("admin", "create-key", key="abc")
    assert [entry["action"] for entry in log.entries()] == ["erase-person", "create-key"]
    assert [entry["action"] for entry in log.entries(after=f"{ULID[:-1]}0")] == ["create-key"]
    assert [entry["facts"] for entry in log.entries(action="erase-person")] == [{"templates": 3}]
    assert "Ada" not in b"".join(store.objects.values()).decode("latin1")
    assert subject == Audit(store, str, time.time).subject("default", "Ada") != log.subject("team", "Ada")
    assert subject != Audit(MemoryObjectStore(), str, time.time).subject("default", "Ada")


@pytest.fixture(scope="module")
def guarded() -> Iterator[Service]:
    """A service that asks for keys, with a key of each role and each binding."""
    service = Service("keys")
    with service.house.working():
        service.loop.start()
        yield service
        service.loop.stop(5)


def made(service: Service, role: Role, *collections: str) -> str:
    bound = frozenset(collections) or None
    name = new_key_id(f"{role}{collections}".encode())
    if service.keys.find(name) is None:
        _, service.texts[name] = service.keys.create(name, Caller("", "n", role, bound), created_by="test")
    return service.texts[name]


def calls() -> list[tuple[str, str, Role, str]]:
    """Every call that needs a key: method, path, role, scope."""
    document = Service().app.api_doc
    return [
        (method.upper(), path, Role(call["x-role"]), call["x-scope"])
        for path, methods in document["paths"].items()
        for method, call in methods.items()
        if "x-role" in call
    ]


CALLS = calls()


def ask(service: Service, call: tuple[str, str, Role, str], token: str | None, collection: str = "default") -> Any:
    """Make a call that would be let in, with whatever makes the least work: what it asks for is not there."""
    method, path, _, _ = call
    for name in ("job_id", "photo", "batch", "import", "erasure", "id", "batch_id", "erasure_id"):
        path = path.replace(f"{{{name}}}", ULID)
    while "{" in path:
        path = path[: path.index("{")] + "nobody" + path[path.index("}") + 1 :]
    headers = {} if token is None else {"Authorization": f"Bearer {token}"}
    client: FlaskClient = service.app.test_client()
    return client.open(path, method=method, query_string={"collection": collection, "wait": "0"}, headers=headers)


def test_there_are_calls_to_guard() -> None:
    roles = {role for _, _, role, _ in CALLS}
    assert roles == set(Role)
    assert len(CALLS) >= 20


@pytest.mark.parametrize("call", CALLS, ids=lambda call: f"{call[0]} {call[1]}")
def test_nobody_gets_in_without_a_key(guarded: Service, call: tuple[str, str, Role, str]) -> None:
    refused = ask(guarded, call, None)
    assert_problem(refused, Code.KEY_MISSING)
    assert refused.headers["WWW-Authenticate"].startswith("Bearer")
    assert_problem(ask(guarded, call, f"face_abc_{SECRET}"), Code.KEY_INVALID)


@pytest.mark.parametrize("role", Role)
@pytest.mark.parametrize("call", CALLS, ids=lambda call: f"{call[0]} {call[1]}")
def test_a_key_gets_in_where_its_role_allows_it(guarded: Service, call: tuple[str, str, Role, str], role: Role) -> None:
    answer = ask(guarded, call, made(guarded, role))
    assert (answer.status_code == 403) == (not role.covers(call[2])), answer.text
    assert answer.status_code != 401


@pytest.mark.parametrize("call", CALLS, ids=lambda call: f"{call[0]} {call[1]}")
def test_a_key_of_one_collection_gets_in_nowhere_else(guarded: Service, call: tuple[str, str, Role, str]) -> None:
    bound = made(guarded, Role.ADMIN, "team", "default")
    assert (ask(guarded, call, bound, "team").status_code == 403) == (call[3] == "service")
    elsewhere = ask(guarded, call, bound, "other")
    if call[3] == "caller":  # it is about no collection
        assert elsewhere.status_code not in (401, 403)
    else:
        assert_problem(elsewhere, Code.FORBIDDEN)


def test_a_result_is_shown_to_keys_of_its_collection_only(guarded: Service) -> None:
    client = guarded.app.test_client()
    mine, other = (bearer(made(guarded, Role.SUBMIT, name)) for name in ("default", "team"))
    asked = client.post("/v1/identifications", data=PHOTO, content_type="image/png", headers=mine)
    assert asked.status_code == 200, asked.text
    path = f"/v1/identifications/{asked.get_json()['id']}"
    for suffix in ("", "/image"):
        assert client.get(path + suffix, headers=mine).status_code == 200
        for asked_for in ({"collection": "team"}, {}):
            assert_problem(client.get(path + suffix, query_string=asked_for, headers=other), Code.FORBIDDEN)


def test_a_bound_key_follows_where_it_was_sent(guarded: Service) -> None:
    client, bound = guarded.app.test_client(), bearer(made(guarded, Role.SUBMIT, "team"))
    asked = client.post("/v1/identifications?collection=team&wait=0", data=PHOTO, headers=bound)
    assert asked.status_code == 202, asked.text
    assert client.get(asked.headers["Location"], headers=bound).status_code == 200
    assert client.get("/v1/fleet/decisions", headers=bound).status_code != 403


def test_the_inbox_is_for_those_who_may_see_who_is_enrolled_and_bound_keys_see_their_part(guarded: Service) -> None:
    client = guarded.app.test_client()
    guarded.house.store.put("inbox/team/Ada/1.png", PHOTO, "image/png")

    def take(key: str, prefix: str, collection: str = "team") -> Any:
        path = f"/v1/batches?collection={collection}"
        return client.post(path, json={"prefix": prefix}, headers=bearer(key))

    assert_problem(take(made(guarded, Role.SUBMIT), "inbox/team/"), Code.FORBIDDEN)
    bound = made(guarded, Role.ENROL, "team", "default")
    assert take(bound, "inbox/team/").status_code == 202
    assert_problem(take(bound, "inbox/"), Code.PREFIX_FORBIDDEN)
    assert_problem(take(bound, "inbox/team/", "default"), Code.PREFIX_FORBIDDEN)
    assert take(made(guarded, Role.ENROL), "inbox/").status_code == 202


def test_keys_are_made_listed_and_revoked_over_http(guarded: Service) -> None:
    client, admin = guarded.app.test_client(), bearer(made(guarded, Role.ADMIN))
    body = {"name": "camera", "role": "submit", "collections": ["team"], "expires_at": "2100-01-01T00:00:00Z"}
    answer = client.post("/v1/keys", json=body, headers={**admin, "Idempotency-Key": "one"})
    assert answer.status_code == 201
    new = answer.get_json()
    me = client.get("/v1/me", headers=bearer(new["secret"])).get_json()
    assert (me["key"], me["role"], me["collections"], me["open"]) == (new["key"], "submit", ["team"], False)
    again = client.post("/v1/keys", json=body, headers={**admin, "Idempotency-Key": "one"})
    assert_problem(again, Code.IDEMPOTENCY_KEY_REUSED)
    listed = {entry["key"]: entry for entry in client.get("/v1/keys", headers=admin).get_json()["keys"]}
    assert listed[new["key"]] == {name: value for name, value in new.items() if name not in ("secret", "used_at")} | {
        "used_at": listed[new["key"]]["used_at"]
    }
    assert listed[new["key"]]["used_at"] is not None
    assert client.delete(f"/v1/keys/{new['key']}", headers=admin).status_code == 200
    assert_problem(client.get("/v1/me", headers=bearer(new["secret"])), Code.KEY_INVALID)
    entries = client.get("/v1/audit", headers=admin).get_json()["entries"]
    of_it = [entry["action"] for entry in entries if entry["facts"].get("key") == new["key"]]
    assert of_it == ["create-key", "revoke-key"]


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"name": "", "role": "submit"}, Code.REQUEST_INVALID),
        ({"name": "\x1b[2J", "role": "submit"}, Code.REQUEST_INVALID),
        ({"name": "n", "role": "king"}, Code.REQUEST_INVALID),
        ({"name": "n", "role": "submit", "collections": ["../x"]}, Code.REQUEST_INVALID),
        ({"name": "n", "role": "submit", "rights": []}, Code.REQUEST_INVALID),
        ([], Code.REQUEST_INVALID),
        ("nonsense", Code.REQUEST_INVALID),
    ],
)
def test_a_key_that_makes_no_sense_is_not_made(guarded: Service, body: object, code: Code) -> None:
    admin = bearer(made(guarded, Role.ADMIN))
    assert_problem(guarded.app.test_client().post("/v1/keys", json=body, headers=admin), code)


def test_a_request_that_is_sent_again_changes_nothing(guarded: Service) -> None:
    client, headers = guarded.app.test_client(), bearer(made(guarded, Role.SUBMIT)) | {"Idempotency-Key": "again"}
    ask = {"data": PHOTO, "content_type": "image/png", "headers": headers}
    first = client.post("/v1/identifications?wait=20", **ask).get_json()
    before = dict(guarded.house.store.objects)
    assert client.post("/v1/identifications?wait=10", **ask).get_json() == first
    assert guarded.house.store.objects == before
    assert json.loads(before[result_key(first["id"])]) == first
    ask["data"] = picture("PNG", (20, 10))
    assert_problem(client.post("/v1/identifications", **ask), Code.IDEMPOTENCY_KEY_REUSED)


def test_wrong_keys_cost_nothing_and_fill_no_log(guarded: Service, caplog: pytest.LogCaptureFixture) -> None:
    client = guarded.app.test_client()
    guarded.house.store.fault = TransientError(Code.STORAGE_UNAVAILABLE, "nobody may ask the store")
    try:
        for number in range(200):
            refused = client.post("/v1/identifications", data=PHOTO, headers=bearer(f"face_abc_{number:043}"))
            assert_problem(refused, Code.KEY_INVALID)
    finally:
        guarded.house.store.fault = None
    assert not caplog.records
    shown = client.get("/metrics").text
    assert re.search(r'face_web_refused_keys_total\{reason="key-invalid"\} [2-9]\d\d', shown), shown


def test_who_is_bound_erases_from_their_part_of_the_inbox_only(guarded: Service) -> None:
    client, bound = guarded.app.test_client(), bearer(made(guarded, Role.ENROL, "team"))
    store = guarded.house.store
    for place in ("inbox/team/Zoe/1.png", "inbox/other/Zoe/1.png"):
        store.put(place, PHOTO, "image/png")
    record = {"consent": {"reference": "form 1"}}
    assert client.put("/v1/people/Zoe?collection=team", json=record, headers=bound).status_code == 200
    begun = client.delete("/v1/people/Zoe?collection=team&wait=0", headers=bound)
    assert begun.status_code in (200, 202), begun.text
    erasing = guarded.rights.erasures
    eventually(lambda: erasing.go_on() or erasing.find(begun.get_json()["id"])["state"] == "done", 20)
    assert not store.exists("inbox/team/Zoe/1.png")
    assert store.exists("inbox/other/Zoe/1.png")
