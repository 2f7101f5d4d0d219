"""`make bench`: the parts named by ONLY, or all, one after the other; tables, JSON and plots under bench/out."""

import os
import sys
import time
from collections.abc import Callable, Sequence
from importlib import import_module

from bench import machine
from bench.folders import InputError
from bench.inputs import Inputs
from bench.tables import OUT, Row, report

PARTS = ("pipeline", "accuracy", "search", "system")
"""Modules, each with a TITLE and `run() -> list[Row]`."""
_LOST = frozenset({"faults", "lost", "mixed up", "unanswered"})
"""Columns that count answers which went astray."""


def main(environment: dict[str, str]) -> int:
    """0 when all went well, however slowly; 1 when answers were lost or mixed up; 2 for input that cannot be read."""
    try:
        parts = chosen(environment.get("ONLY", ""))
        Inputs.of(environment)  # a fault in them is told now, not after minutes of measuring
        report("machine", "Measured on", machine.describe())
        good = [_part(part) for part in parts]
    except InputError as error:
        print(f"bench: {error}", file=sys.stderr)
        return 2
    print(f"\nWritten: {OUT}/*.json and *.png; `python -m bench.document` puts the tables into docs/performance.md.")
    return 0 if all(good) else 1


def chosen(only: str) -> Sequence[str]:
    """The parts that a list with commas or spaces names, all for an empty one; InputError for an unknown part."""
    named = only.replace(",", " ").split()
    if unknown := [part for part in named if part not in PARTS]:
        raise InputError(f"ONLY={only} names {', '.join(unknown)}; the parts are {', '.join(PARTS)}")
    return named or PARTS


def astray(rows: Sequence[Row]) -> list[str]:
    """What the rows say of answers that were lost or mixed up."""
    return [f"{row[column]} {column}" for row in rows for column in sorted(_LOST & row.keys()) if row[column]]


def _part(name: str) -> bool:
    """Measure and report one part; whether every answer arrived where it belongs."""
    print(f"\n== {name}", flush=True)
    began = time.monotonic()
    module = import_module(f"bench.{name}")  # by name: what a part needs is loaded for that part alone
    run: Callable[[], list[Row]] = module.run
    rows = run()
    if rows:
        report(name, f"{module.TITLE} ({time.monotonic() - began:.0f} s)", rows)
    for line in astray(rows):
        print(f"  WRONG: {line}", flush=True)
    return not astray(rows)


if __name__ == "__main__":
    sys.exit(main(dict(os.environ)))
