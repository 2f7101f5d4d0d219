"""The scaling loop over a cloud in memory."""

import json
from dataclasses import replace
from typing import Any

import pytest

from face_common.contract import Code, failed_result
from face_common.errors import TransientError
from face_common.ports import Counts
from face_common.reports import WEB_REPORTS, WebReport, WorkerReport
from face_web.metrics import WebMetrics
from face_web.scaler.breaker import Breaker
from face_web.scaler.decisions import PREFIX, DecisionLog
from face_web.scaler.fleet import FleetError
from face_web.scaler.lease import KEY, Lease
from face_web.scaler.loop import Scaler
from face_web.scaler.model import Override, Policy
from face_web.scaler.observe import Assumptions, HostReporter, Observer, Reports
from face_web.scaler.overrides import KEY as OVERRIDE
from face_web.scaler.overrides import Overrides
from face_web.scaler.settings import ScalerSettings
from face_web.scaler.suppositions import Supposition
from face_web.traffic import Traffic
from tests.fakes.cloud import MemoryObjectStore, MemoryQueue
from tests.fakes.fleet import MemoryFleet
from tests.unit.test_contract import job

POLICY = Policy(max_workers=5, warm_workers=5, quiet_seconds=20.0)
ASSUMED = Assumptions(service_seconds=1.0, slots=1, capacity=3, cold_boot_seconds=40.0, warm_boot_seconds=20.0)
START = 1_000_000.0


class CountedQueue(MemoryQueue):
    """A queue whose counts a test sets."""

    def __init__(self) -> None:
        super().__init__()
        self.counted: Counts | TransientError = Counts(0, 0)

    def counts(self) -> Counts:
        if isinstance(self.counted, TransientError):
            raise self.counted
        return self.counted


class House:
    """A web host with its scaling loop; time is the test's."""

    def __init__(self, policy: Policy = POLICY, store: MemoryObjectStore | None = None, name: str = "web-1") -> None:
        self.now = START
        self.store = store or MemoryObjectStore()
        self.queue = CountedQueue()
        self.fleet = MemoryFleet(START)
        self.traffic = Traffic(lambda: self.now)
        self.metrics = WebMetrics()
        self.log = DecisionLog(self.store, lambda: self.now)
        observer = Observer(
            requests=self.queue,
            instances=self.fleet,
            reports=Reports(self.store, lambda: self.now),
            traffic=self.traffic,
            assumed=ASSUMED,
            breaker=Breaker(),
            stale_seconds=15.0,
        )
        self.scaler = Scaler(
            overrides=Overrides(self.store, policy),
            observer=observer,
            fleet=self.fleet,
            lease=Lease(self.store, name, 8.0, lambda: self.now),
            log=self.log,
            reporter=HostReporter(self.store, self.traffic, name, lambda: self.now),
            traffic=self.traffic,
            starting=Breaker(),
            retiring=Breaker(),
            audience=self.metrics.fleet,
            run="run",
            now=lambda: self.now,
        )

    def tick(self, times: int = 1, alive: str = "") -> dict[str, Any]:
        """Some seconds, in which a worker may give signs of life; the last decision."""
        for second in range(times):
            self.now += 1
            if alive and second % 10 == 0:
                self.report(alive, ready_at=START + 2)
            self.fleet.now = self.now
            self.scaler.tick()
        return self.scaler.decisions(1)[0]

    def tick_blindly(self, times: int) -> None:
        """Some seconds, whatever can be read afterwards."""
        for _ in range(times):
            self.now += 1
            self.scaler.tick()

    def report(self, instance: str, **fields: Any) -> None:
        """A worker's sign of life."""
        usual = WorkerReport(instance, f"worker-{instance}", slots=1, capacity=3, ready_at=self.now, at=self.now)
        written = replace(usual, **fields)
        self.store.put(written.key, written.encode(), "application/json")

    def with_one_ready(self) -> None:
        """A photo waits, and one worker is ready for it."""
        self.queue.counted = Counts(1, 0)
        self.tick()
        self.report("i-0")
        self.tick(3)

    def states(self) -> dict[str, int]:
        workers: dict[str, int] = self.scaler.status()["workers"]
        return workers


@pytest.fixture
def house() -> House:
    return House()


def test_a_burst_is_launched_in_the_first_tick_and_told_in_a_sentence(house: House) -> None:
    for number in range(30):
        house.traffic.submitted(str(number))
    house.queue.counted = Counts(30, 0)
    decision = house.tick()
    assert house.fleet.calls == ["launch 4"]
    assert (decision["action"], decision["cause"], decision["count"], decision["desired"]) == ("start", "backlog", 4, 4)
    assert decision["reason"].startswith("Starting 4: photos waiting: 30")
    assert house.tick(5)["action"] == "hold"
    assert house.fleet.calls == ["launch 4"]
    assert house.states() == {"booting": 4, "running": 0, "draining": 0, "stopped": 0, "outdated": 0}


def test_a_worker_is_ready_when_it_says_so_and_its_boot_is_learned(house: House) -> None:
    house.queue.counted = Counts(1, 0)
    house.tick()
    house.tick(9)
    house.report("i-0", held=1)
    decision = house.tick(3)
    assert house.states()["running"] == 1
    assert decision["observed"]["cold_boot_s"] == pytest.approx(9.0, abs=1)
    assert house.scaler.status()["instances"][0]["busy"]
    house.tick(3)
    assert json.loads(house.store.objects[KEY])["published"]["learned"]["cold_boots"] == [9.0]


def test_what_a_leader_learned_the_next_one_knows(house: House) -> None:
    house.queue.counted = Counts(1, 0)
    house.tick(10)
    house.report("i-0")
    house.tick(5)
    house.scaler.leave()
    heir = House(store=house.store, name="web-2")
    heir.fleet.all = house.fleet.all
    decision = heir.tick()
    assert (decision["leader"], decision["fence"]) == ("web-2", 2)
    assert decision["observed"]["cold_boot_s"] == 9.0
    assert decision["observed"]["ready"] == 1
    assert decision["observed"]["hours_today"] > 0


def test_after_the_quiet_period_workers_are_stopped_and_started_again_as_warm_ones(house: House) -> None:
    house.queue.counted = Counts(1, 0)
    house.tick()
    house.report("i-0", ready_at=house.now + 1)
    house.queue.counted = Counts(0, 0)
    house.tick(22)
    assert house.fleet.calls == ["launch 1", "stop 1"]
    (decision,) = (line for line in house.scaler.decisions(100) if line["action"] == "retire")
    assert (decision["cause"], decision["stop"]) == ("surplus", ["i-0"])
    del house.store.objects["fleet/reports/workers/i-0.json"]
    house.tick(3)
    assert house.states() == {"booting": 0, "running": 0, "draining": 0, "stopped": 1, "outdated": 0}
    house.queue.counted = Counts(1, 0)
    assert house.tick()["start"] == ["i-0"]
    house.tick(4)
    house.report("i-0")
    house.tick(3)
    assert house.scaler.status()["measured"]["warm_boot_s"] == 4.0


def test_a_stopped_instance_whose_worker_still_reports_is_draining(house: House) -> None:
    house.with_one_ready()
    house.fleet.stop(["i-0"])
    house.tick(1)
    assert house.states()["draining"] == 1


def test_a_worker_that_is_silent_for_long_is_replaced(house: House) -> None:
    house.with_one_ready()
    house.tick(50)
    assert house.states()["running"] == 0
    assert house.fleet.calls == ["launch 1"]
    house.tick(80)
    assert house.fleet.calls == ["launch 1", "launch 1", "terminate 1"]
    assert any("did not become ready" in line["reason"] for line in house.scaler.decisions(100))


def test_nobody_is_blamed_for_an_outage_of_the_bucket(house: House) -> None:
    house.with_one_ready()
    house.store.fault = TransientError(Code.STORAGE_UNAVAILABLE, "away")
    house.tick_blindly(120)
    house.store.fault = None
    house.tick(2)
    assert house.states()["running"] == 1


def test_a_queue_that_cannot_be_counted_holds_the_fleet(house: House) -> None:
    house.with_one_ready()
    house.queue.counted = TransientError(Code.STORAGE_UNAVAILABLE, "away")
    decision = house.tick(60)
    assert (decision["action"], decision["cause"]) == ("hold", "stale")
    assert "counted" in decision["reason"]
    assert "stop 1" not in house.fleet.calls


def test_failing_launches_open_the_breaker_which_closes_again(house: House) -> None:
    house.fleet.unlaunchable = FleetError("InsufficientInstanceCapacity: none left")
    house.queue.counted = Counts(10, 0)
    decision = house.tick()
    assert (decision["action"], decision["cause"], decision["desired"]) == ("hold", "ec2-failing", 0)
    assert decision["reason"].startswith("EC2 failed (InsufficientInstanceCapacity: none left). Wanted: Starting")
    decision = house.tick(4)
    assert "next try in" in decision["reason"]
    house.fleet.unlaunchable = None
    house.tick(10)
    assert house.fleet.calls == ["launch 2"]
    assert house.scaler.status()["desired"] == 2


def test_an_unreadable_fleet_changes_nothing_and_is_read_again(house: House) -> None:
    house.with_one_ready()
    house.queue.counted = Counts(0, 0)
    house.fleet.fault = FleetError("Unavailable: later")
    decision = house.tick(60)
    assert (decision["action"], decision["cause"], decision["desired"]) == ("hold", "stale", 1)
    assert "Unavailable: later" in decision["reason"]
    house.fleet.fault = None
    assert house.tick(31)["cause"] != "stale"


def test_what_cannot_be_started_is_launched(house: House) -> None:
    house.fleet.launch(1, "earlier")
    house.fleet.stop(["i-0"])
    house.fleet.unstartable = FleetError("InsufficientInstanceCapacity: not here")
    house.queue.counted = Counts(1, 0)
    house.tick()
    assert house.fleet.calls[-1] == "launch 1"


def test_a_launch_that_is_tried_again_has_the_same_token(house: House) -> None:
    house.queue.counted = Counts(1, 0)
    house.fleet.unlaunchable = FleetError("RequestLimitExceeded: slow down")
    house.tick()
    house.fleet.unlaunchable = None
    house.tick()
    assert list(house.fleet.tokens) == ["run-1-0-1"]


def test_a_host_that_does_not_lead_reports_its_load_and_the_leader_counts_it(house: House) -> None:
    house.tick()
    other = House(store=house.store, name="web-2")
    other.now = house.now
    other.traffic.submitted("a")
    other.tick_blindly(3)
    assert not other.scaler.leading
    assert WebReport.decode(house.store.objects[f"{WEB_REPORTS}web-2.json"]).arrived == 1
    house.tick(3)
    for number in range(5):
        other.traffic.submitted(str(number))
    other.tick_blindly(6)
    house.tick(3)
    assert sum(line["observed"]["arrived"] for line in house.scaler.decisions(100)) == 5
    house.queue.counted = Counts(5, 0)
    house.tick(5)
    assert house.scaler.status()["backlog"]["oldest_s"] >= 5
    other.tick_blindly(3)
    assert other.scaler.status()["leader"] == "web-1"
    assert other.scaler.decisions(1)[0]["leader"] == "web-1"


def test_decisions_are_in_the_bucket_and_idle_ticks_are_one_line(house: House) -> None:
    house.tick(100)
    assert len(house.scaler.decisions(100)) == 1
    assert house.scaler.decisions(1)[0]["ticks"] == 100
    house.queue.counted = Counts(1, 0)
    house.tick(15)
    house.scaler.leave()
    saved = [
        json.loads(line)
        for key, body in house.store.objects.items()
        if key.startswith(PREFIX)
        for line in body.splitlines()
    ]
    assert len({line["now"] for line in saved}) == 16
    assert [line["ticks"] for line in saved if line["now"] == START + 1] == [
        10,
        100,
    ]  # when it was saved first, when it ended
    assert [line["action"] for line in saved].count("start") == 1


def test_decisions_survive_when_the_bucket_is_away(house: House) -> None:
    house.queue.counted = Counts(1, 0)
    house.tick()
    house.store.fault = TransientError(Code.STORAGE_UNAVAILABLE, "away")
    house.tick_blindly(3)
    house.store.fault = None
    house.tick(12)
    house.scaler.leave()
    assert len([key for key in house.store.objects if key.startswith(PREFIX)]) >= 2


def test_the_predicted_wait_counts_what_came_since_the_last_tick(house: House) -> None:
    assert house.scaler.predicted_wait() is None
    house.tick()
    assert house.scaler.status()["wait_s"] == 40.0
    assert house.scaler.predicted_wait() is None  # nothing waits: whoever comes first is never refused
    house.now += 0.5
    for number in range(10):
        house.traffic.submitted(str(number))
    assert house.scaler.predicted_wait() == pytest.approx(50.0)
    house.now += 60
    assert house.scaler.predicted_wait() is None


def test_a_look_changes_nothing(house: House) -> None:
    house.queue.counted = Counts(30, 0)
    _, plan = house.scaler.look()
    assert plan.launch == 4
    assert house.fleet.calls == []
    assert house.store.objects == {}


def test_the_metrics_tell_the_fleet(house: House) -> None:
    house.queue.counted = Counts(3, 1)
    house.tick()
    sample = house.metrics.registry.get_sample_value
    assert sample("face_fleet_backlog", {"state": "visible"}) == 3
    assert sample("face_fleet_desired") == 1
    assert sample("face_fleet_decisions_total", {"action": "start", "cause": "arrivals"}) == 1


def test_traffic_measures_service_times_and_what_is_unanswered() -> None:
    clock = [START]
    traffic = Traffic(lambda: clock[0])
    assert (traffic.service_seconds(), traffic.oldest_at()) == (None, None)
    traffic.submitted("a")
    clock[0] += 5
    traffic.submitted("b")
    result = failed_result(job(), Code.INTERNAL, "")
    result["timing"] = {"decode_ms": 10.0, "detect_ms": 20.0, "encode_ms": 30.0, "total_ms": 9000.0}
    traffic.answered("a", result)
    assert traffic.service_seconds() == pytest.approx(0.06)
    assert (traffic.oldest_at(), traffic.arrived, traffic.unanswered_since(START + 1)) == (START + 5, 2, 1)
    traffic.answered("unknown", None)
    clock[0] += 61
    traffic.queue_is_empty()
    assert traffic.oldest_at() is None


def test_reports_that_cannot_be_read_blame_nobody(house: House) -> None:
    """The lease and the queue can be reached, the reports cannot: a new leader knows nothing of the workers."""
    house.queue.counted = Counts(1, 0)
    house.fleet.launch(3, "long ago")
    house.now += 10_000

    def denied(prefix: str) -> dict[str, str]:
        raise TransientError(Code.STORAGE_UNAVAILABLE, "listing is denied")

    house.store.tags = denied  # type: ignore[method-assign]
    for _ in range(120):
        house.now += 1
        house.scaler.tick()
    assert house.fleet.calls == ["launch 3"]
    assert "reports cannot be read" in house.scaler.status()["decision"]["reason"]


def test_a_worker_whose_process_is_started_again_has_time_to_come_back(house: House) -> None:
    house.queue.counted = Counts(1, 0)
    house.tick()
    house.report("i-0")
    house.tick(500, alive="i-0")
    del house.store.objects["fleet/reports/workers/i-0.json"]
    house.tick(30)
    assert house.states() == {"booting": 1, "running": 0, "draining": 0, "stopped": 0, "outdated": 0}
    house.report("i-0")
    house.tick(3)
    assert house.states()["running"] == 1
    assert house.fleet.calls == ["launch 1"]
    assert house.scaler.status()["measured"]["cold_boot_s"] < 5  # no boot of eight minutes was learned


def test_a_report_of_a_newer_version_is_understood(house: House) -> None:
    house.queue.counted = Counts(1, 0)
    house.tick()
    house.report("i-0")
    key = "fleet/reports/workers/i-0.json"
    house.store.objects[key] = json.dumps(json.loads(house.store.objects[key]) | {"colour": "blue"}).encode()
    house.tick(3)
    assert house.states()["running"] == 1


def test_a_start_that_may_have_happened_is_not_launched_as_well(house: House) -> None:
    house.fleet.launch(2, "earlier")
    house.fleet.stop(["i-0", "i-1"])
    house.fleet.unstartable = FleetError("EC2 cannot be reached: timeout", refused=False)
    house.queue.counted = Counts(30, 0)
    assert house.tick()["cause"] == "ec2-failing"
    assert house.fleet.calls == ["launch 2", "stop 2"]


def test_a_launch_without_an_answer_is_repeated_as_it_was(house: House) -> None:
    house.queue.counted = Counts(1, 0)
    house.fleet.unlaunchable = FleetError("EC2 cannot be reached: timeout", refused=False)
    house.tick()
    house.queue.counted = Counts(30, 0)
    house.fleet.unlaunchable = None
    house.tick()
    assert list(house.fleet.tokens) == ["run-1-0-1"]
    decision = house.tick()
    assert list(house.fleet.tokens) == ["run-1-0-1", "run-1-1-3"]
    assert decision["desired"] == 4


def test_what_came_is_told_when_ec2_is_short(house: House) -> None:
    house.queue.counted = Counts(100, 0)
    launch = house.fleet.launch
    house.fleet.launch = lambda count, token: launch(2, token)  # type: ignore[method-assign]
    decision = house.tick()
    assert (decision["count"], decision["desired"], decision["launch"]) == (2, 2, 2)
    assert decision["reason"].endswith("EC2 had 2 of 5.")


def test_nothing_is_changed_when_the_lease_ran_out_meanwhile(house: House) -> None:
    house.tick()
    counts = house.queue.counts

    def slow() -> Counts:
        house.now += 7
        return counts()

    house.queue.counts = slow  # type: ignore[method-assign]
    house.queue.counted = Counts(100, 0)
    house.now += 1
    house.scaler.tick()
    assert house.fleet.calls == []
    assert "lease ran out" in house.log.recent(1, house.now)[0]["reason"]


def test_a_second_term_begins_with_nothing_of_the_first(house: House) -> None:
    house.tick()
    house.scaler.leave()
    other = House(store=house.store, name="web-2")
    other.now = house.now
    other.tick_blindly(2)
    house.scaler._left = False
    house.tick_blindly(1)
    for number in range(1000):
        house.traffic.submitted(str(number))
    other.scaler.leave()
    decision = house.tick(3)
    assert (decision["leader"], decision["fence"], decision["observed"]["arrived"]) == ("web-1", 3, 0)
    assert house.fleet.calls == []


def test_a_leader_that_cannot_decide_steps_back(house: House) -> None:
    house.tick()

    def broken() -> Counts:
        raise ZeroDivisionError

    house.queue.counts = broken  # type: ignore[method-assign]
    for _ in range(5):
        house.now += 1
        with pytest.raises(ZeroDivisionError):
            house.scaler.tick()
    assert json.loads(house.store.objects[KEY])["holder"] is None


def test_who_does_not_lead_shows_no_fleet(house: House) -> None:
    house.queue.counted = Counts(3, 1)
    house.tick()
    house.scaler.leave()
    other = House(store=house.store, name="web-2")
    other.now = house.now
    other.tick_blindly(1)
    house.tick_blindly(1)
    assert house.metrics.registry.get_sample_value("face_fleet_backlog", {"state": "visible"}) is None
    assert house.scaler.decisions(1)[0]["leader"] in ("web-1", "web-2")


def test_subnets_are_separated_by_commas(monkeypatch: pytest.MonkeyPatch) -> None:
    def subnets(text: str) -> tuple[str, ...]:
        monkeypatch.setenv("FACE_WORKER_SUBNETS", text)
        return ScalerSettings(bucket="b", request_queue_url="q").worker_subnets

    assert subnets("subnet-1, subnet-2,") == ("subnet-1", "subnet-2")
    assert subnets("") == ()


def test_a_fleet_of_an_earlier_template_is_replaced_while_it_works(house: House) -> None:
    house.queue.counted = Counts(0, 1)
    house.tick()
    house.report("i-0", held=1)
    house.tick(25, alive="i-0")
    house.fleet.launch(1, "pool")
    house.fleet.stop(["i-1"])
    house.fleet.version = 2
    house.report("i-0", held=1, ready_at=START + 2)
    decision = house.tick()
    assert (decision["action"], decision["cause"], decision["start"], decision["launch"]) == (
        "start",
        "outdated",
        [],
        1,
    )
    assert house.states() == {"booting": 0, "running": 1, "draining": 0, "stopped": 1, "outdated": 2}
    house.report("i-2", held=1)
    house.tick(4)
    assert house.fleet.calls[-2:] == ["terminate 1", "terminate 1"]
    assert list(house.fleet.all) == ["i-2"]
    assert house.states()["outdated"] == 0
    assert house.metrics.registry.get_sample_value("face_fleet_workers", {"state": "outdated"}) == 0
    assert not any(one["outdated"] for one in house.scaler.status()["instances"])


def pin(workers: int, until: float | None = None) -> Override:
    return Override("pin", workers, "load test", "admin", START, until)


PAUSE = Override("pause", None, "maintenance", "admin", START)


def test_whoever_leads_keeps_to_an_override_that_any_host_has_set(house: House) -> None:
    house.tick()
    other = House(store=house.store, name="web-2")
    other.scaler.overrides.write(pin(2))
    assert (house.tick()["cause"], house.fleet.calls) == ("pinned", ["launch 2"])
    assert house.scaler.status()["override"] == {
        "mode": "pin",
        "workers": 2,
        "why": "load test",
        "by": "admin",
        "at": "1970-01-12T13:46:40.000+00:00",
        "until": None,
    }
    other.scaler.overrides.write(PAUSE)
    house.queue.counted = Counts(100, 0)
    decision = house.tick()
    assert (decision["action"], decision["cause"]) == ("hold", "paused")
    assert decision["reason"] == "Holding 2 workers: paused by key admin (maintenance)."
    other.scaler.overrides.lift()
    assert house.tick()["action"] == "start"
    assert house.scaler.status()["override"] is None
    assert house.metrics.registry.get_sample_value("face_fleet_decisions_total", {"action": "hold", "cause": "paused"})


def test_an_override_ends_by_itself(house: House) -> None:
    house.scaler.overrides.write(pin(1, until=START + 3))
    assert house.tick(2)["cause"] == "pinned"
    assert house.scaler.overrides.find(house.now) == pin(1, until=START + 3)
    assert house.tick()["cause"] != "pinned"
    assert house.scaler.overrides.find(house.now) is None
    assert house.scaler.status()["override"] is None


def test_an_override_that_cannot_be_read_is_as_it_was(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    house.scaler.overrides.write(PAUSE)
    house.tick()
    house.queue.counted = Counts(100, 0)

    def away() -> None:
        raise TransientError(Code.STORAGE_UNAVAILABLE, "away")

    monkeypatch.setattr(house.scaler.overrides, "_read", away)
    assert house.tick(3)["cause"] == "paused"
    assert house.fleet.calls == []


@pytest.mark.parametrize("body", [b"", b"[]", b'{"mode": "stop"}', b'{"mode": "pin", "workers": "many"}'])
def test_what_is_no_override_is_none(house: House, body: bytes) -> None:
    house.store.put(OVERRIDE, body, "application/json")
    house.queue.counted = Counts(1, 0)
    assert house.tick()["action"] == "start"


def test_an_override_of_a_newer_version_is_understood(house: House) -> None:
    house.scaler.overrides.write(PAUSE)
    house.store.objects[OVERRIDE] = json.dumps(json.loads(house.store.objects[OVERRIDE]) | {"colour": "blue"}).encode()
    assert house.tick()["cause"] == "paused"


def test_what_would_be_decided_if_numbers_were_others(house: House) -> None:
    assert house.scaler.what_if(Supposition()) == {}
    house.queue.counted = Counts(30, 0)
    house.tick()
    house.scaler.overrides.write(PAUSE)
    house.tick()
    calls, objects = list(house.fleet.calls), dict(house.store.objects)
    as_it_is = house.scaler.what_if(Supposition())
    assert as_it_is["observed"]["booting"] == 4
    assert (as_it_is["plan"]["action"], as_it_is["policy"]["max"]) == ("hold", 5)
    more = house.scaler.what_if(Supposition(arrival_rate=8.0, visible=0, service_s=2.0, boot_s=0, ready=0, max=100))
    assert (more["plan"]["action"], more["plan"]["desired"]) == ("start", 20)
    assert more["plan"]["need"] == {"load": 20, "drain": 1, "busy": 0}
    assert more["observed"]["arrival_rate"] == 8.0
    nothing = house.scaler.what_if(Supposition(arrival_rate=0, visible=0, in_flight=0, ready=9, min=2))
    assert (nothing["plan"]["action"], nothing["plan"]["count"], nothing["plan"]["desired"]) == ("retire", 7, 2)
    tight = house.scaler.what_if(Supposition(arrival_rate=8.0, visible=0, boot_s=0, utilisation=0.1, max=100))
    assert (tight["plan"]["desired"], tight["policy"]["utilisation"]) == (80, 0.1)
    assert (house.fleet.calls, house.store.objects) == (calls, objects)


def test_who_does_not_lead_supposes_on_what_the_leader_has_published(house: House) -> None:
    house.queue.counted = Counts(30, 2)
    house.tick(4)
    other = House(store=house.store, name="web-2")
    other.now = house.now
    other.tick_blindly(1)
    assert other.scaler.what_if(Supposition())["observed"]["visible"] == 30
    house.now = other.now
    known, guessed = (one.scaler.what_if(Supposition(visible=300))["plan"]["need"] for one in (house, other))
    assert (guessed["load"], guessed["drain"]) == (known["load"], known["drain"])
    assert other.scaler.what_if(Supposition(ready=0))["plan"]["action"] == "start"
    other.now += 60
    assert other.scaler.what_if(Supposition())["plan"]["cause"] == "stale"


def test_how_long_photos_waited_is_known_of_all_hosts(house: House) -> None:
    house.tick()
    assert house.scaler.status()["wait_p95_s"] is None
    other = House(store=house.store, name="web-2")
    other.now = house.now
    other.tick_blindly(3)
    for number in range(100):
        result = failed_result(job(), Code.INTERNAL, "")
        result["timing"] = {"queued_ms": 1000.0 * number}
        other.traffic.answered(str(number), result)
    other.tick_blindly(3)
    house.tick(3)
    assert house.scaler.status()["wait_p95_s"] == 94.0
    other.now += 301
    assert other.traffic.wait_p95_seconds() is None
