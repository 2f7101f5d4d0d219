"""An inference child: reads photos that it gets over a socket, answers with what it read, and touches nothing else.

Request: a record (see inference.RECORD) with a descriptor of memory that holds the photo. The child takes the requests
that are there, up to a number, and encodes their faces together.

Messages are JSON: {"begun": n} as it begins with the n-th photo of a batch, then {"answers": [...], "seconds",
"cpu_seconds", "resident_bytes"}. An answer, in the order of the requests, is {"reading": ...} or {"error": {"code",
"detail"}}; the times are those since the first photo of the batch was taken; the size is the child's.
"""

import gc
import json
import os
import resource
import select
import socket
import time
import traceback
from collections.abc import Callable, Sequence
from contextlib import suppress
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, cast

from face_app.inference import RECORD
from face_app.recognition import Engine, PhotoRequest, Picture, Reading, read_photos
from face_common.contract import Code
from face_common.errors import PermanentError

_PAGE = os.sysconf("SC_PAGE_SIZE")
_BATCH_BYTES = 4 * 2**20  # photos that are this large together gain nothing from waiting for each other's encoding


def serve(requests: socket.socket, engine: Engine, memory_bytes: int, batch_photos: int) -> None:
    """Answer requests until the parent hangs up."""
    _limit_memory(memory_bytes)
    messages = Connection(os.dup(requests.fileno()), readable=False)

    def tell(message: dict[str, Any]) -> None:
        messages.send_bytes(json.dumps(message).encode())

    def announce(begun: int) -> None:
        with suppress(OSError):  # the parent is gone, which is no fault of the photo's; the answers will fail as well
            tell({"begun": begun})

    announcing = _AnnouncingEngine(engine, announce)
    with suppress(EOFError, OSError):
        while True:
            first = _next_photo(requests)
            began, cpu_began = time.perf_counter(), time.process_time()
            photos = _photos_there(requests, first, batch_photos)
            announcing.expect(len(photos))
            answers = [_answer(outcome) for outcome in _read(cast(Engine, announcing), photos)]
            seconds, cpu_seconds = time.perf_counter() - began, time.process_time() - cpu_began
            resident = _memory_pages()[1] * _PAGE
            tell({"answers": answers, "seconds": seconds, "cpu_seconds": cpu_seconds, "resident_bytes": resident})


class _AnnouncingEngine:
    """An engine whose `decode` tells that a photo is begun: so the parent knows which ones a lost child had."""

    def __init__(self, engine: Engine, announce: Callable[[int], None]) -> None:
        self._engine = engine
        self._announce = announce
        self.expect(0)

    def expect(self, photos: int) -> None:
        """A batch of so many comes next."""
        self._photos, self._begun = photos, 0

    def decode(self, body: bytes) -> Picture:
        """See Engine."""
        self._begun = min(self._begun + 1, self._photos)  # a second look at a photo is not one photo more
        self._announce(self._begun)
        return self._engine.decode(body)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._engine, name)


def _next_photo(requests: socket.socket) -> PhotoRequest:
    """Wait for a photo; EOFError when the parent has hung up."""
    record, descriptors, _, _ = socket.recv_fds(requests, RECORD.size, 1)
    if not record:
        raise EOFError
    length, max_faces, careful, encode = RECORD.unpack(record)
    with os.fdopen(descriptors[0], "rb", buffering=0) as memory:
        body = os.pread(memory.fileno(), length, 0)  # whoever gets the photo after this child finds it unread
    return PhotoRequest(body, max_faces, careful, encode)


def _photos_there(requests: socket.socket, first: PhotoRequest, limit: int) -> list[PhotoRequest]:
    """The first photo and those that wait behind it, as many as are worth reading together."""
    photos, size = [first], len(first.body)
    while len(photos) < limit and size < _BATCH_BYTES and select.select([requests], [], [], 0)[0]:
        photos.append(_next_photo(requests))
        size += len(photos[-1].body)
    return photos


def _read(engine: Engine, photos: Sequence[PhotoRequest]) -> list[Reading | Exception]:
    """Read photos together, and those alone that may have failed because of the others."""
    try:
        outcomes = read_photos(engine, photos)
    except Exception as error:  # while encoding: it may be the fault of one
        outcomes = [MemoryError() if len(photos) > 1 else error for _ in photos]
    if len(photos) == 1:
        return outcomes
    answered = [None if isinstance(outcome, MemoryError) else outcome for outcome in outcomes]
    if None not in answered:
        return outcomes
    outcomes.clear()  # an exception holds on to what its frames had in hand,
    gc.collect()  # and they to it
    return [outcome or _read(engine, [photo])[0] for photo, outcome in zip(photos, answered, strict=True)]


def _answer(outcome: Reading | Exception) -> dict[str, Any]:
    match outcome:
        case Reading():
            return {"reading": outcome.to_fields()}
        case PermanentError():
            return _error(outcome.code, outcome.detail)
        case MemoryError():
            return _error(Code.IMAGE_TOO_LARGE, "the photo needs more memory than a worker may use")
        case _:
            traceback.print_exception(outcome)
            return _error(Code.INFERENCE_FAILED, f"the engine refused the photo ({type(outcome).__name__})")


def _error(code: Code, detail: str) -> dict[str, Any]:
    return {"error": {"code": code, "detail": detail}}


def _limit_memory(allowance: int) -> None:
    """Let this process allocate `allowance` bytes beyond what it has, so that a hostile photo fails alone."""
    # Where the platform cannot limit address space, the resident size still is watched.
    with suppress(OSError, ValueError):
        limit = _memory_pages()[0] * _PAGE + allowance
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    with suppress(OSError):  # should memory run out all the same, the kernel takes a child rather than the worker
        Path("/proc/self/oom_score_adj").write_text("900")


def _memory_pages() -> tuple[int, int]:
    """Virtual and resident size in pages; zeros where the platform does not tell."""
    try:
        size, resident = Path("/proc/self/statm").read_text().split()[:2]
    except OSError:
        return 0, 0
    return int(size), int(resident)
