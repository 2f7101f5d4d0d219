"""`python -m face_web.scaler`: look at the fleet, or scale it, from a terminal.

--once --dry-run   print the plan and its sentence; change nothing
--once             lead for one decision, carry it out and print it
(nothing)          lead until SIGTERM, for a deployment whose web hosts do not
"""

import argparse
import json
import signal
import sys
import time
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from pydantic import ValidationError

from face_common import logs
from face_common.loops import Loop
from face_web.scaler.assembly import build
from face_web.scaler.loop import Scaler
from face_web.scaler.settings import ScalerSettings
from face_web.traffic import Traffic


class _Nobody:
    """Hears of decisions and does nothing."""

    def decided(self, status: Mapping[str, Any]) -> None:
        """See Audience."""

    def follows(self) -> None:
        """See Audience."""


def main() -> int:
    """0 when it went well, 1 when another host leads, 2 when the settings are wrong."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--once", action="store_true", help="decide once, then end")
    parser.add_argument("--dry-run", action="store_true", help="only with --once: change nothing")
    arguments = parser.parse_args()
    if arguments.dry_run and not arguments.once:
        parser.error("--dry-run needs --once")
    try:
        settings = ScalerSettings()
    except ValidationError as error:
        print(error, file=sys.stderr)
        return 2
    logs.set_up("WARNING" if arguments.once else settings.log_level)
    scaler = build(settings, traffic=Traffic(time.time), audience=_Nobody())
    if arguments.dry_run:
        return _look(scaler)
    return _once(scaler, settings) if arguments.once else _run(scaler, settings)


def _look(scaler: Scaler) -> int:
    observation, plan = scaler.look()
    print(json.dumps({"observation": asdict(observation), "plan": asdict(plan)}, indent=2))
    print(plan.reason)
    return 0


def _once(scaler: Scaler, settings: ScalerSettings) -> int:
    """Wait for the lease as long as a dead leader could hold it, then decide once."""
    deadline = time.monotonic() + 1.5 * settings.lease_seconds
    while not scaler.leading and time.monotonic() < deadline:
        scaler.tick()
        time.sleep(min(settings.tick_seconds, 0.5))
    if not scaler.leading:
        print(f"{scaler.leader} leads: its decisions are at /v1/fleet/decisions", file=sys.stderr)
        return 1
    print(scaler.decisions(1)[0]["reason"])
    scaler.leave()
    return 0


def _run(scaler: Scaler, settings: ScalerSettings) -> int:
    stop_signals = {signal.SIGTERM, signal.SIGINT}
    signal.pthread_sigmask(signal.SIG_BLOCK, stop_signals)  # before there are threads, which inherit it
    loop = Loop("scaling", scaler.tick, pause=settings.tick_seconds).start()
    signal.sigwait(stop_signals)
    loop.stop(10)
    scaler.leave()
    return 0


if __name__ == "__main__":
    sys.exit(main())
