"""Starts a worker: reads the environment, builds the adapters, runs until SIGTERM."""

import logging
import math
import os
import signal
import sys
import time
from typing import TYPE_CHECKING

from pydantic import ValidationError

from face_app.children import Nursery
from face_app.settings import WorkerSettings
from face_common import logs
from face_common.loops import Loop
from face_common.systemd import Systemd

if TYPE_CHECKING:
    from face_app.assembly import Parts


def main() -> int:
    """Run the worker; 0 after a drain, 2 when the settings are wrong."""
    try:
        settings = WorkerSettings()
    except ValidationError as error:
        print(error, file=sys.stderr)
        return 2
    logs.set_up(settings.log_level)
    nursery = Nursery(settings.inference())
    nursery.start()  # first of all: the models load while this process imports its own libraries
    run(settings, nursery, Systemd(os.environ, os.getpid()))
    return 0


def run(settings: WorkerSettings, nursery: Nursery, systemd: Systemd) -> None:
    """Build the worker's parts and let it work."""
    from face_app import assembly  # boto3 and others take long to import
    from face_app.metrics import WorkerMetrics
    from face_app.pool import InferencePool, SlotLimits

    metrics = WorkerMetrics()
    cloud = assembly.aws_cloud(settings)
    nursery.wait_ready()
    limits = SlotLimits(
        seconds=settings.inference_timeout_seconds,
        jobs=settings.child_jobs,
        resident_bytes=settings.child_resident_mib * 2**20,
        batch_photos=settings.batch_photos,
    )
    pool = InferencePool(nursery, settings.slots, limits, metrics)
    pool.start()
    parts = assembly.build(settings, cloud, nursery, pool, metrics=metrics, now=time.time)

    def drain(*_: object) -> None:
        systemd.stopping()
        parts.worker.drain()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, drain)
    loops = [loop.start() for loop in _loops(settings, parts, systemd)]
    logging.getLogger("face_app").info("ready", extra={"worker": settings.worker_name, "slots": settings.slots})
    systemd.ready()
    parts.worker.run()
    for loop in loops:
        loop.stop(timeout=5)
    if parts.reporter:
        parts.reporter.leave()
    pool.close()
    nursery.close()
    logging.getLogger("face_app").info("drained", extra={"worker": settings.worker_name})


def _loops(settings: WorkerSettings, parts: "Parts", systemd: Systemd) -> list[Loop]:
    """What goes on beside the work."""

    def stay_watched() -> None:
        if parts.worker.is_alive:
            systemd.alive()

    loops = [parts.refresh, parts.observing]
    if systemd.watchdog_seconds < math.inf:
        loops.append(Loop("watchdog", stay_watched, pause=systemd.watchdog_seconds / 2))
    if parts.reporter:
        loops.append(Loop("report", parts.reporter.step, pause=settings.report_seconds))
    return loops


if __name__ == "__main__":
    sys.exit(main())
