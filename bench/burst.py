"""A burst through the classic form: many clients at once, each sending photo after photo."""

import re
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from queue import Empty, SimpleQueue

from bench.tables import Row, percentile
from bench.target import Target
from face_client import FaceClient, FaceServiceError

_LINE = re.compile(r"[^:]+:[^:]+")


def measure(target: Target, photos: Sequence[Path], clients: int = 200, requests: int = 1000) -> Row:
    """Send the requests; `faults` counts those that were not answered with their own file's line."""
    work: SimpleQueue[int] = SimpleQueue()
    for number in range(requests):
        work.put(number)
    seconds: list[float] = []
    faults: list[str] = []
    inferred = target.inference_seconds()
    began = time.monotonic()
    with FaceClient(target.url) as client:
        threads = [
            threading.Thread(target=_send_all, args=(client, work, photos, seconds, faults)) for _ in range(clients)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    wall = time.monotonic() - began
    for fault in faults[:5]:
        print(f"  fault: {fault}")
    return {
        "table": "Burst through the classic form (busy share: of the workers' time, spent on photos)",
        "clients": clients,
        "photos": requests,
        "right file": len(seconds),
        "faults": len(faults),
        "wall s": wall,
        "photos/s": requests / wall,
        "p50 s": percentile(seconds, 0.50) if seconds else None,
        "p95 s": percentile(seconds, 0.95) if seconds else None,
        "p99 s": percentile(seconds, 0.99) if seconds else None,
        "busy share": _share(target, inferred, wall),
        "web peak MiB": target.web_peak_mib(),
    }


def _send_all(
    client: FaceClient, work: SimpleQueue[int], photos: Sequence[Path], seconds: list[float], faults: list[str]
) -> None:
    """One client: takes requests until none is left. Every request has a file name of its own."""
    while True:
        try:
            number = work.get_nowait()
        except Empty:
            return
        photo = photos[number % len(photos)]
        began = time.monotonic()
        try:
            line = client.classic(photo, name=f"{number:06d}-{photo.stem}{photo.suffix}")
        except (FaceServiceError, OSError) as error:
            faults.append(f"{number}: {error}")
            continue
        except Exception as error:  # whatever the network does is a fault to count, not the end of the measurement
            faults.append(f"{number}: {type(error).__name__} {error}")
            continue
        if _LINE.fullmatch(line) and line.startswith(f"{number:06d}-{photo.stem}:"):
            seconds.append(time.monotonic() - began)
        else:
            faults.append(f"{number}: answered {line!r}")


def _share(target: Target, before: float | None, wall: float) -> float | None:
    after, slots = target.inference_seconds(), target.slots()
    return None if before is None or after is None or slots is None else (after - before) / (wall * slots)
