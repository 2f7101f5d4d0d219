from collections.abc import Iterator

import pytest

from face_client import FaceClient
from local.stack import Stack
from tests.stacks import running_stack


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """The service that all end-to-end tests share."""
    with running_stack(tmp_path_factory.mktemp("stack")) as running:
        yield running


@pytest.fixture
def face(stack: Stack, request: pytest.FixtureRequest) -> Iterator[FaceClient]:
    """A client with a collection of the test's own."""
    name = request.node.name.replace("_", "-").split("[")[0][:40].strip("-")
    with FaceClient(stack.url, collection=name) as client:
        yield client
