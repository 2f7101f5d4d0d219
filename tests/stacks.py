"""The whole service, for tests that use it from outside."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import pytest

from local.localstack import free_port
from local.resources import ec2_client, s3_client
from local.stack import ROOT, Options, Stack

if TYPE_CHECKING:
    from types_boto3_ec2.type_defs import InstanceTypeDef


def results(stack: Stack) -> int:
    """How many results the bucket holds."""
    assert stack.resources is not None
    s3 = s3_client(stack.resources.endpoint)
    pages = s3.get_paginator("list_objects_v2").paginate(Bucket=stack.resources.bucket, Prefix="results/")
    return sum(page["KeyCount"] for page in pages)


def instances(stack: Stack) -> list["InstanceTypeDef"]:
    """Every instance that there ever was, as LocalStack's EC2 tells it."""
    assert stack.resources is not None
    pages = ec2_client(stack.resources.endpoint).get_paginator("describe_instances").paginate()
    return [entry for page in pages for reservation in page["Reservations"] for entry in reservation["Instances"]]


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


def wait_until(condition: Callable[[], object], seconds: float) -> None:
    """Wait for something to become true."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not so after {seconds:g} s"
        time.sleep(0.2)


def give_first_time(items: Sequence[pytest.Item], folder: Path, seconds: float) -> None:
    """Let the first test of a folder take longer: it waits for what all of them share."""
    first = next((item for item in items if item.path.is_relative_to(folder)), None)
    if first is not None:
        first.add_marker(pytest.mark.timeout(seconds))
