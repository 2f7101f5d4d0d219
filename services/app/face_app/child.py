"""An inference child: reads photos from a pipe, answers with what it read in them, and touches nothing else.

Request: a JSON message {"max_faces"} and a message with the photo's bytes. Answer: a JSON message with either
{"reading": ...} or {"error": {"code", "detail"}}, and the child's resident size in bytes.
"""

import json
import os
import resource
import traceback
from contextlib import suppress
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from face_app.recognition import Engine, PhotoRequest, read_photo
from face_common.contract import Code
from face_common.errors import PermanentError

_PAGE = os.sysconf("SC_PAGE_SIZE")


def serve(connection: Connection, engine: Engine, memory_bytes: int) -> None:
    """Answer requests until the parent hangs up."""
    _limit_memory(memory_bytes)
    with suppress(EOFError, OSError):
        while True:
            request = json.loads(connection.recv_bytes())
            body = connection.recv_bytes()
            answer = _answer(engine, body, request["max_faces"])
            connection.send_bytes(json.dumps(answer | {"resident_bytes": _memory_pages()[1] * _PAGE}).encode())


def _answer(engine: Engine, body: bytes, max_faces: int) -> dict[str, Any]:
    try:
        return {"reading": read_photo(engine, PhotoRequest(body, max_faces)).to_fields()}
    except PermanentError as error:
        return {"error": {"code": error.code, "detail": error.detail}}
    except MemoryError:
        return {"error": {"code": Code.IMAGE_TOO_LARGE, "detail": "the photo needs more memory than a worker may use"}}
    except Exception as error:
        traceback.print_exc()
        return {
            "error": {"code": Code.INFERENCE_FAILED, "detail": f"the engine refused the photo ({type(error).__name__})"}
        }


def _limit_memory(allowance: int) -> None:
    """Let this process allocate `allowance` bytes beyond what it has, so that a hostile photo fails alone."""
    with suppress(
        OSError, ValueError
    ):  # where the platform cannot limit address space, the resident size still is watched
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
