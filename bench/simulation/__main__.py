"""`make simulate`: every policy over every trace, as one table, as JSON and as a picture under bench/out."""

import argparse
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from bench.simulation.model import Cloud, Outcome, Policy, World
from bench.simulation.picture import draw
from bench.simulation.policies import Buildkite, Clairvoyant, Fixed, KedaHpa, Ours, StepScaling, TargetTracking
from bench.simulation.traces import Trace, traces
from bench.tables import OUT, Row, percentile, report
from face_web.scaler import model

_RECORDED = Path(__file__).with_name("recorded.jsonl")
_COMPARABLE = 1.1  # times our instance-hours
_BOUND = Clairvoyant.name
_OURS, _NO_POOL = "elastic-face", "elastic-face, no pool"


def main() -> int:
    """Simulate and report; 1 when another policy is both faster and cheaper on some trace, or ours turns too often."""
    world, recorded = _arguments()
    rows: list[Row] = []
    verdicts: list[tuple[bool, str]] = []
    pictures: list[tuple[Trace, dict[str, Outcome]]] = []
    for trace in traces(world.seed, recorded):
        outcomes = {policy.name: Cloud(world, trace).run(policy) for policy in policies(world)}
        mine = [row(trace, name, outcome) for name, outcome in outcomes.items()]
        rows += mine
        verdicts.append(verdict(trace, mine))
        pictures.append((trace, outcomes))
        print(f"  {trace.name}: {len(trace.arrivals):,} photos", file=sys.stderr, flush=True)
    report("simulation", f"Wait in seconds from arrival to the beginning of work; {world}", rows)
    print()
    for _, sentence in verdicts:
        print(f"  {sentence}")
    draw(pictures, OUT / "simulation.png")
    print(f"\n  written: {OUT / 'simulation.json'}, {OUT / 'simulation.png'}")
    return 0 if all(good for good, _ in verdicts) else 1


def policies(world: World) -> list[Policy]:
    """The policies of the table, ours first, each fresh."""
    wishes = model.Policy(max_workers=world.max_workers, warm_workers=world.max_workers)
    assumed = {"boot_seconds": 40.0, "warm_boot_seconds": 30.0, "service_seconds": 1.0}
    acceptable = wishes.drain_seconds / world.service_seconds  # AWS: acceptable latency over time a message
    most = world.max_workers
    return [
        Ours(_OURS, wishes, **assumed),
        Ours(_NO_POOL, replace(wishes, warm_workers=0), **assumed),
        TargetTracking(most, acceptable),
        StepScaling(most),
        KedaHpa(most),
        Buildkite(most),
        Fixed(most),
        Clairvoyant(most),
    ]


def row(trace: Trace, policy: str, outcome: Outcome) -> Row:
    """One line of the table."""
    return {
        "trace": trace.name,
        "policy": policy,
        "p50 s": percentile(outcome.waits, 0.50),
        "p95 s": percentile(outcome.waits, 0.95),
        "max s": max(outcome.waits),
        "instance-hours": outcome.billed_seconds / 3600,
        "launches": outcome.launches,
        "turns": outcome.turns,
        "peaks": trace.peaks,
        "largest": outcome.largest,
        "drained after s": outcome.last_done - float(trace.arrivals[0]),
    }


def verdict(trace: Trace, rows: Sequence[Row]) -> tuple[bool, str]:
    """How ours, the first row, stands against the others; and whether that is as good as it should be."""
    ours, bound = rows[0], next(one for one in rows if one["policy"] == _BOUND)
    others = [one for one in rows[1:] if one["policy"] not in (_BOUND, _NO_POOL)]
    p95, hours = _number(ours, "p95 s"), _number(ours, "instance-hours")
    peers = [one for one in others if _number(one, "instance-hours") <= _COMPARABLE * hours]
    faster = [one for one in others if _number(one, "p95 s") <= p95]
    beaten = [one for one in faster if _number(one, "instance-hours") <= hours]
    good = not beaten and _number(ours, "turns") <= trace.peaks
    text = f"{trace.name}: p95 {p95:.1f} s at {hours:.1f} instance-hours, {ours['turns']} turns in {trace.peaks} peaks"
    if trace.burst:
        share = p95 / _number(bound, "p95 s")
        good = good and share <= 1.3
        text += f", {share:.2f} times the clairvoyant p95"
    if peers:
        best = min(peers, key=lambda one: _number(one, "p95 s"))
        text += f"; the best for no more than {_COMPARABLE} times that: {best['policy']} with {best['p95 s']:.1f} s"
    dearer = ", ".join(
        f"{one['policy']} for {_number(one, 'instance-hours') / hours:.1f} times as much" for one in faster
    )
    text += f"; faster: {dearer or 'none'}"
    return good, text + ("." if good else "  <- NOT GOOD ENOUGH")


def _number(row: Row, column: str) -> float:
    value = row[column]
    assert isinstance(value, int | float)
    return value


def _arguments() -> tuple[World, Path]:
    usual = World()
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=usual.seed)
    parser.add_argument("--boot", type=float, default=usual.boot_seconds, help="median seconds from launch to ready")
    parser.add_argument("--service", type=float, default=usual.service_seconds, help="mean seconds a photo")
    parser.add_argument("--max-workers", type=int, default=usual.max_workers)
    parser.add_argument("--log", type=Path, default=_RECORDED, help="decision log to replay")
    given = parser.parse_args()
    world = World(
        boot_seconds=given.boot, service_seconds=given.service, max_workers=given.max_workers, seed=given.seed
    )
    return world, given.log


if __name__ == "__main__":
    sys.exit(main())
