"""Sessions: a browser's random token in place of a key."""

from dataclasses import replace

import pytest

from face_common.contract import Code
from face_common.errors import TransientError
from face_web.access import Caller, Key, Role
from face_web.sessions import PREFIX, SECONDS, Sessions, csrf_token
from tests.fakes.cloud import MemoryObjectStore

KEY = Key(Caller("abc", "my key", Role.SUBMIT), "0" * 64)


class Clock:
    def __init__(self) -> None:
        self.now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def test_a_session_is_known_on_every_host_until_it_is_ended(clock: Clock) -> None:
    store = MemoryObjectStore()
    here, there = Sessions(store, clock), Sessions(store, clock)
    token = here.begin(KEY)
    session = here.find(token)
    assert session is not None
    assert session.is_of(KEY)
    assert there.find(token) == session
    there.end(token)
    assert there.find(token) is None
    here.refresh()
    assert here.find(token) is None
    assert not store.tags(PREFIX)


def test_a_session_ends_by_itself_and_its_object_goes(clock: Clock) -> None:
    store = MemoryObjectStore()
    sessions = Sessions(store, clock)
    token = sessions.begin(KEY)
    clock.now += SECONDS - 1
    assert sessions.find(token)
    clock.now += 1
    assert sessions.find(token) is None
    sessions.refresh()
    assert not store.tags(PREFIX)


def test_nobody_signs_in_with_what_is_stored(clock: Clock) -> None:
    store = MemoryObjectStore()
    sessions = Sessions(store, clock)
    token = sessions.begin(KEY)
    (name,) = store.tags(PREFIX)
    assert token not in name
    assert KEY.secret_hash not in name
    assert store.get(name) == b""
    assert sessions.find(name.rsplit("-", 1)[1]) is None


def test_unknown_tokens_cost_a_listing_a_second_at_most(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    store = MemoryObjectStore()
    sessions, listings = Sessions(store, clock), []
    real = store.tags
    monkeypatch.setattr(store, "tags", lambda prefix: listings.append(prefix) or real(prefix))
    for number in range(100):
        assert sessions.find(f"guess {number}") is None
    assert len(listings) == 1
    clock.now += 1
    sessions.find("another")
    assert len(listings) == 2


def test_whoever_signs_in_is_known_on_other_hosts_at_once(clock: Clock) -> None:
    store = MemoryObjectStore()
    here, there = Sessions(store, clock), Sessions(store, clock)
    there.refresh()  # its loop has looked just now
    assert there.find(here.begin(KEY))


def test_a_session_that_begins_during_a_listing_is_not_lost(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    store = MemoryObjectStore()
    sessions, tokens = Sessions(store, clock), list[str]()
    sessions.find("a guess")  # nothing unknown is looked for now
    real = store.tags

    def listed_before(prefix: str) -> dict[str, str]:
        found = dict(real(prefix))
        tokens.append(sessions.begin(KEY))
        return found

    monkeypatch.setattr(store, "tags", listed_before)
    sessions.refresh()
    assert sessions.find(tokens[0])


def test_a_session_that_could_not_be_ended_goes_on(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    store = MemoryObjectStore()
    sessions = Sessions(store, clock)
    token = sessions.begin(KEY)

    def broken(_: object) -> None:
        raise TransientError(Code.STORAGE_UNAVAILABLE, "no answer")

    with monkeypatch.context() as patch:
        patch.setattr(store, "delete", broken)
        with pytest.raises(TransientError):
            sessions.end(token)
    assert sessions.find(token)
    sessions.end(token)
    assert sessions.find(token) is None
    assert not store.tags(PREFIX)


def test_a_key_with_another_secret_is_another_one(clock: Clock) -> None:
    sessions = Sessions(MemoryObjectStore(), clock)
    session = sessions.find(sessions.begin(KEY))
    assert session is not None
    assert not session.is_of(replace(KEY, secret_hash="1" * 64))


def test_ending_an_unknown_session_is_no_error(clock: Clock) -> None:
    Sessions(MemoryObjectStore(), clock).end("nothing")


def test_each_session_has_its_own_token_against_forged_forms() -> None:
    assert csrf_token("a") == csrf_token("a") != csrf_token("b")
    assert "a" * 43 not in csrf_token("a" * 43)
