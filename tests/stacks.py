"""The whole service, for tests that use it from outside."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType
from typing import Any

from local.localstack import free_port
from local.stack import ROOT, Options, Stack


@contextmanager
def running_stack(
    state: Path, settings: Mapping[str, str] = MappingProxyType({}), **options: int | float
) -> Iterator[Stack]:
    """A service of its own on free ports, its state in a folder of the test's; models come from the usual cache.

    Two workers, unless `options` say otherwise (see Options).
    """
    settings = {"FACE_CACHE_DIR": str(ROOT / ".local" / "cache"), **settings}
    chosen: dict[str, Any] = {"min_workers": 2, "max_workers": 2, **options}
    stack = Stack(Options(port=free_port(), state=state, settings=settings, **chosen), tell=print)
    try:
        stack.start()
        yield stack
    finally:
        stack.stop()
