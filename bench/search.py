"""Search: milliseconds a query on one core, time to load and memory, by the size of the gallery.

Every gallery is written by a process of its own and read, measured and searched by another, so that neither's leavings
count in the other's memory. The encodings are random: an exact search takes the same time for any.
"""

import hashlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median

import lancedb
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from bench.tables import Row, report
from face_app.matching import GalleryIndex, nearest_people
from face_app.metric import Metric
from face_common.gallery import Gallery
from face_common.templates import DIMENSIONS, Encodings, Template
from local.localstack import HostLocalStack, free_port
from local.resources import REGION, s3_client
from local.stack import ROOT

TITLE = (
    "Search, exact, one core: CPU milliseconds a query; 'x' is how many times the speed of face_recognition's "
    "face_distance on the same encodings; memory of the worker's parent in times the raw floats"
)
_COLLECTION, _TINY = "bench", "tiny"
_MODEL = "bench-model"
_BUCKET = "search"
_ROWS = 50_000  # written at a time
_FEWEST_BYTES = 16 * 2**20  # of raw floats: of fewer, what the libraries take hides the gallery
_FEWEST, _MOST = 5, 25  # turns
_SECONDS = 10.0  # that they may take
_FACES = 16  # searched together
_CANDIDATES = 3
_ONE_CORE = dict.fromkeys(("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"), "1")


@dataclass(frozen=True, slots=True)
class Case:
    """A gallery to measure."""

    templates: int
    each: int
    """Templates a person."""
    store: str = "folder"


CASES = (
    Case(1_000, 1),
    Case(100_000, 3),
    Case(100_000, 3, "S3"),
    Case(1_000_000, 1),
    Case(1_000_000, 3),
    Case(1_000_000, 10),
)


def run(cases: tuple[Case, ...] = CASES) -> list[Row]:
    """One row a gallery."""
    return [_measured(case) for case in cases]


def _measured(case: Case) -> Row:
    with _s3() if case.store == "S3" else _folder() as place:
        _child("write", place, case)
        return _child("read", place, case)


@dataclass(frozen=True, slots=True)
class Place:
    """Where a gallery lies."""

    uri: str
    options: dict[str, str] | None = None


@contextmanager
def _folder() -> Iterator[Place]:
    with tempfile.TemporaryDirectory(prefix="face-search-") as folder:
        yield Place(folder)


@contextmanager
def _s3() -> Iterator[Place]:
    with tempfile.TemporaryDirectory(prefix="face-search-") as folder:
        server = HostLocalStack(ROOT / ".venv-localstack" / "bin" / "python", Path(folder), free_port())
        server.start()
        try:
            s3_client(server.endpoint).create_bucket(Bucket=_BUCKET)
            options = {"endpoint": server.endpoint, "allow_http": "true", "region": REGION}
            options |= {"aws_access_key_id": "test", "aws_secret_access_key": "test"}
            yield Place(f"s3://{_BUCKET}/gallery", options)
        finally:
            server.stop()


def _child(step: str, place: Place, case: Case) -> Row:
    """Run a step in a process of its own, on one core as far as the libraries ask the environment."""
    told = json.dumps({"place": asdict(place), "case": asdict(case)})
    done = subprocess.run(
        [sys.executable, "-m", "bench.search", step, told],
        check=True,
        stdout=subprocess.PIPE,
        cwd=ROOT,
        env=os.environ | _ONE_CORE,
    )
    row: Row = json.loads(done.stdout)
    return row


def _write(place: Place, case: Case) -> Row:
    """Enrol random faces: the first through the gallery, which makes the table, the others in bulk."""
    random = np.random.default_rng(1)
    first = Template("Person 0000000", "0" * 26, "a.jpg", "0" * 64, _MODEL, (1.0,) * DIMENSIONS, 0.0)
    for collection in (_COLLECTION, _TINY):
        Gallery(place.uri, place.options).add(collection, [first])
    table = lancedb.connect(place.uri, storage_options=place.options).open_table(_COLLECTION)
    people = random.permutation(np.arange(case.templates) // case.each)
    for start in range(1, case.templates, _ROWS):
        numbers = range(start, min(start + _ROWS, case.templates))
        encodings = random.normal(scale=0.12, size=(len(numbers), DIMENSIONS)).astype(np.float32)
        columns = {
            "person": [f"Person {people[number]:07}" for number in numbers],
            "photo": [f"01{number:024}" for number in numbers],
            "name": [f"photo-{number}.jpg" for number in numbers],
            "digest": [hashlib.sha256(str(number).encode()).hexdigest() for number in numbers],
            "model": [_MODEL] * len(numbers),
            "encoding": pa.FixedSizeListArray.from_arrays(pa.array(encodings.reshape(-1)), DIMENSIONS),
            "enrolled_at": np.full(len(numbers), 1.7e9),
        }
        table.add(pa.table(columns, schema=table.schema))
    return {}


def _read(place: Place, case: Case) -> Row:
    gallery = Gallery(place.uri, place.options)
    gallery.load(_TINY, _MODEL)  # unmeasured: the library starts its threads
    before, began = _resident("VmRSS"), time.perf_counter()
    snapshot = gallery.load(_COLLECTION, _MODEL)
    loaded = time.perf_counter()
    index = GalleryIndex.of(snapshot, Metric.whitened("bench", _whitening()))
    ready = time.perf_counter()
    raw = case.templates * DIMENSIONS * 4
    memory, peak = ((_resident(name) - before) / raw for name in ("VmRSS", "VmHWM"))
    one, together, theirs = _times(index)
    return {
        "templates": case.templates,
        "people": len(index.people),
        "store": case.store,
        "load s": round(loaded - began, 3),
        "index s": round(ready - loaded, 3),
        "memory": round(memory, 3) if raw >= _FEWEST_BYTES else None,
        "peak memory": round(peak, 3) if raw >= _FEWEST_BYTES else None,
        "query ms": round(one, 3),
        f"ms each of {_FACES} faces": round(together / _FACES, 3),
        "face_distance ms": round(theirs, 3),
        "x": round(theirs / one, 1),
    }


def _times(index: GalleryIndex) -> tuple[float, float, float]:
    """CPU milliseconds of one query, of several faces together, and of face_distance, turn and turn about."""
    random = np.random.default_rng(2)
    snapshot = index.snapshot
    encodings = snapshot.units * snapshot.lengths[:, None]
    probes: Encodings = random.normal(scale=0.12, size=(_FACES, DIMENSIONS)).astype(np.float32)
    steps: tuple[Callable[[], object], ...] = (
        lambda: nearest_people(index, probes[:1], _CANDIDATES),
        lambda: nearest_people(index, probes, _CANDIDATES),
        lambda: face_distance(encodings, probes[0]),
    )
    began = time.perf_counter()
    taken: list[list[float]] = []
    while len(taken) < _FEWEST or (len(taken) < _MOST and time.perf_counter() - began < _SECONDS):
        taken.append([_cpu_ms(step) for step in steps])
    one, together, theirs = (median(column) for column in zip(*taken, strict=True))
    return one, together, theirs


def face_distance(encodings: Encodings, probe: NDArray[np.float32]) -> NDArray[np.float32]:
    """What face_recognition computes, in single precision, which is kinder to it than its own double."""
    distances: NDArray[np.float32] = np.linalg.norm(encodings - probe, axis=1)
    return distances


def _cpu_ms(step: Callable[[], object]) -> float:
    began = time.process_time()
    step()
    return 1000 * (time.process_time() - began)


def _whitening() -> Encodings:
    """Some linear map: whichever it is, it costs the same."""
    return np.random.default_rng(3).normal(size=(DIMENSIONS, DIMENSIONS)).astype(np.float32)


def _resident(name: str) -> int:
    """Bytes of this process in memory: VmRSS now, VmHWM at most."""
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    (line,) = (line for line in lines if line.startswith(f"{name}:"))
    return int(line.split()[1]) * 1024


def _step(step: str, told: str) -> None:
    fields = json.loads(told)
    place, case = Place(**fields["place"]), Case(**fields["case"])
    print(json.dumps({"write": _write, "read": _read}[step](place, case)))


def main(arguments: list[str]) -> int:
    """Measure all cases, or one step of one in this process."""
    if arguments:
        _step(*arguments)
    else:
        report("search", TITLE, run())
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
