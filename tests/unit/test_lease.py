"""Who leads."""

import json

import pytest

from face_common.contract import Code
from face_common.errors import TransientError
from face_web.scaler.breaker import Breaker
from face_web.scaler.lease import KEY, Lease
from tests.fakes.cloud import MemoryObjectStore

SECONDS = 10.0


class Hosts:
    """Two web hosts over one bucket and one clock."""

    def __init__(self) -> None:
        self.now = 100.0
        self.store = MemoryObjectStore()
        self.first, self.second = (Lease(self.store, name, SECONDS, lambda: self.now) for name in ("one", "two"))

    def pass_(self, seconds: float, *renewing: Lease) -> None:
        """Let time go by; those who lead renew, the others look."""
        for _ in range(int(seconds)):
            self.now += 1
            for lease in renewing:
                if lease.due:
                    lease.renew({"news": self.now}) if lease.held else lease.look()


@pytest.fixture
def hosts() -> Hosts:
    return Hosts()


def test_the_first_who_looks_leads(hosts: Hosts) -> None:
    assert hosts.first.due
    hosts.first.look()
    hosts.second.look()
    assert (hosts.first.leading, hosts.second.leading) == (True, False)
    assert (hosts.first.fence, hosts.second.leader) == (1, "one")


def test_a_leader_that_renews_stays(hosts: Hosts) -> None:
    hosts.first.look()
    hosts.pass_(100, hosts.first, hosts.second)
    assert (hosts.first.leading, hosts.second.leading) == (True, False)
    assert hosts.second.published["news"] > 190


def test_when_the_leader_is_silent_another_takes_over_with_a_greater_fence(hosts: Hosts) -> None:
    hosts.first.look()
    hosts.pass_(5, hosts.first, hosts.second)
    hosts.pass_(9, hosts.second)
    assert not hosts.second.leading
    assert not hosts.first.leading  # it stops before anybody can take over
    known = dict(hosts.second.published)
    while not hosts.second.held:
        hosts.now += 1
        hosts.second.look()
    assert hosts.now < 105 + 2 + SECONDS + 2
    assert (hosts.second.leading, hosts.second.fence) == (True, 2)
    assert hosts.second.published == known == {"news": 104}  # what the last leader knew is not lost


def test_a_leader_that_comes_back_finds_that_another_leads(hosts: Hosts) -> None:
    hosts.first.look()
    hosts.second.look()
    hosts.pass_(13, hosts.second)
    hosts.first.renew({})
    assert not hosts.first.held
    assert hosts.first.leader == "two"


def test_a_leader_that_cannot_renew_stops_to_act_and_goes_on_when_it_can(hosts: Hosts) -> None:
    hosts.first.look()
    hosts.store.fault = TransientError(Code.STORAGE_UNAVAILABLE, "away")
    hosts.now += 9
    with pytest.raises(TransientError):
        hosts.first.renew({})
    assert hosts.first.held
    assert not hosts.first.leading
    hosts.store.fault = None
    hosts.first.renew({})
    assert (hosts.first.leading, hosts.first.fence) == (True, 1)


def test_a_released_lease_is_taken_at_once(hosts: Hosts) -> None:
    hosts.first.look()
    hosts.first.release()
    hosts.second.look()
    assert hosts.second.leading
    hosts.first.release()  # not its own any more
    hosts.second.renew({})
    assert hosts.second.leading


def test_a_write_whose_answer_was_lost_is_recognised(hosts: Hosts) -> None:
    hosts.first.look()
    body = json.loads(hosts.store.objects[KEY])
    hosts.store.put(KEY, json.dumps(body | {"renewal": 99}).encode(), "application/json")
    hosts.first.renew({})
    assert (hosts.first.leading, hosts.first.fence) == (True, 1)


def test_reading_ones_own_name_alone_is_no_renewal(hosts: Hosts) -> None:
    hosts.first.look()
    lost = json.loads(hosts.store.objects[KEY]) | {"renewal": 99}
    hosts.store.put(KEY, json.dumps(lost).encode(), "application/json")  # written by the first, who never knew
    hosts.second.look()
    hosts.now += SECONDS - 0.1
    hosts.first.renew({})  # finds its own name, and writes once more
    hosts.now += 0.2
    hosts.second.look()
    assert hosts.first.leading
    assert not hosts.second.leading


def test_a_damaged_lease_is_replaced(hosts: Hosts) -> None:
    hosts.store.put(KEY, b"not json", "application/json")
    hosts.pass_(13, hosts.first)
    assert hosts.first.leading


def test_peeking_takes_nothing(hosts: Hosts) -> None:
    hosts.second.peek()
    assert hosts.store.objects == {}
    hosts.first.look()
    hosts.first.release()
    hosts.second.peek()
    assert not hosts.second.held


def test_a_breaker_opens_and_lets_one_call_through_after_a_pause_that_doubles() -> None:
    breaker = Breaker(failures=3)
    for second in range(2):
        breaker.failed("no", float(second))
        assert breaker.remaining(float(second)) == 0
    breaker.failed("no capacity", 2.0)
    assert (breaker.is_open, breaker.remaining(2.0), breaker.reason) == (True, 5.0, "no capacity")
    assert breaker.remaining(7.0) == 0
    breaker.failed("no", 7.0)
    assert breaker.remaining(7.0) == 10
    for _ in range(9):
        breaker.failed("no", 20.0)
    assert breaker.remaining(20.0) == 30
    breaker.succeeded()
    assert (breaker.is_open, breaker.remaining(20.0)) == (False, 0)
