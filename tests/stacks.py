"""The whole service, for tests that use it from outside."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from local.localstack import free_port
from local.stack import ROOT, Options, Stack


@contextmanager
def running_stack(state: Path, workers: int = 2) -> Iterator[Stack]:
    """A service of its own on free ports, its state in a folder of the test's; models come from the usual cache."""
    settings = {"FACE_CACHE_DIR": str(ROOT / ".local" / "cache")}
    stack = Stack(Options(port=free_port(), workers=workers, state=state, settings=settings), tell=print)
    try:
        stack.start()
        yield stack
    finally:
        stack.stop()
