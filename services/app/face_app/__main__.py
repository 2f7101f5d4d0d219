"""Starts a worker: reads the environment, builds the adapters, runs until SIGTERM."""

import logging
import signal
import sys
import time

from pydantic import ValidationError

from face_app.metrics import WorkerMetrics
from face_app.pool import InferencePool, Nursery, SlotLimits
from face_app.settings import WorkerSettings
from face_common import logs
from face_common.loops import Loop


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
    run(settings, nursery)
    return 0


def run(settings: WorkerSettings, nursery: Nursery) -> None:
    """Build the worker's parts and let it work."""
    from face_app import assembly  # boto3 and LanceDB take seconds to import

    metrics = WorkerMetrics()
    nursery.wait_ready()
    limits = SlotLimits(settings.inference_timeout_seconds, settings.child_jobs, settings.child_resident_mib * 2**20)
    pool = InferencePool(nursery, settings.slots, limits, metrics)
    pool.warm()
    parts = assembly.build(settings, nursery, pool, metrics, now=time.time)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: parts.worker.drain())
    loops = [parts.refresh.start()]
    if parts.reporter:
        loops.append(Loop("report", parts.reporter.step, pause=settings.report_seconds).start())
    logging.getLogger("face_app").info("ready", extra={"worker": settings.worker_name, "slots": settings.slots})
    parts.worker.run()
    for loop in loops:
        loop.stop(timeout=5)
    if parts.reporter:
        parts.reporter.leave()
    pool.close()
    nursery.close()
    logging.getLogger("face_app").info("drained", extra={"worker": settings.worker_name})


if __name__ == "__main__":
    sys.exit(main())
