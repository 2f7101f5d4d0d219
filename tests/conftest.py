"""Fixtures that several levels share."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from local.localstack import HostLocalStack, free_port
from local.samples import samples as sample_folder
from local.stack import ROOT

for _name in [name for name in os.environ if name.startswith(("AWS_", "FACE_")) and name != "FACE_DATA"]:
    del os.environ[_name]  # no test may reach a real cloud, or depend on who runs it
os.environ["NO_PROXY"] = os.environ["no_proxy"] = "127.0.0.1,localhost"


@pytest.fixture(scope="session")
def samples() -> Path:
    """The folder with the packages' sample photos."""
    return sample_folder()


@pytest.fixture(scope="session")
def face_data() -> Path:
    """The folder with many people's photos; tests that need it are skipped where there is none."""
    folder = os.environ.get("FACE_DATA")
    if not folder or not Path(folder, "lfw-dev").is_dir():
        pytest.skip("FACE_DATA names no folder with lfw-dev in it")
    return Path(folder)


@pytest.fixture(scope="session")
def model_cache() -> Path:
    """The folder with converted models."""
    return ROOT / ".local" / "cache"


@pytest.fixture(scope="session")
def localstack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The endpoint of a LocalStack of the tests' own."""
    server = HostLocalStack(
        ROOT / ".venv-localstack" / "bin" / "python", tmp_path_factory.mktemp("localstack"), free_port()
    )
    try:
        server.start()
        yield server.endpoint
    finally:
        server.stop()
