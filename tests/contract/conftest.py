"""The fake and the real adapters that each contract test runs against."""

from collections.abc import Callable
from itertools import count
from typing import Any

import pytest
from localstack_client.session import Session

from face_common.ports import Bucket, Queue
from face_common.s3 import S3ObjectStore
from face_common.sqs import SqsQueue
from tests.fakes.cloud import MemoryObjectStore, MemoryQueue

_numbers = count()
QueueMaker = Callable[[], Queue]


def client(endpoint: str, service: str) -> Any:
    """A boto3 client of the tests' LocalStack."""
    return Session(localstack_host=endpoint.removeprefix("http://")).client(service)


@pytest.fixture(params=["memory", "s3"])
def store(request: pytest.FixtureRequest) -> Bucket:
    """An empty bucket."""
    if request.param == "memory":
        return MemoryObjectStore()
    s3 = client(request.getfixturevalue("localstack"), "s3")
    bucket = f"contract-{next(_numbers)}"
    s3.create_bucket(Bucket=bucket)
    return S3ObjectStore(s3, bucket)


@pytest.fixture(params=["memory", "sqs"])
def make_queue(request: pytest.FixtureRequest) -> QueueMaker:
    """Makes an empty queue."""
    if request.param == "memory":
        return MemoryQueue
    sqs = client(request.getfixturevalue("localstack"), "sqs")

    def make() -> Queue:
        return SqsQueue(sqs, sqs.create_queue(QueueName=f"contract-{next(_numbers)}")["QueueUrl"])

    return make
