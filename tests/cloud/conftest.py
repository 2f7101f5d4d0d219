"""What Terraform makes, on a LocalStack of the tests' own."""

import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from localstack_client.session import Session

from deployment import options as deployment_options
from deployment.options import Options
from deployment.terraform import Terraform
from local.localstack import HostLocalStack, free_port
from local.stack import ROOT
from tests.stacks import give_first_time

NAME = "face-test"
_APPLY_SECONDS = 600  # on two busy cores


class Cloud:
    """An applied deployment: its endpoint, its Terraform, and boto3 clients that may do anything."""

    def __init__(self, endpoint: str, options: Options) -> None:
        self.endpoint = endpoint
        self.options = options
        self.terraform = Terraform(options)
        self._session = Session(localstack_host=endpoint.removeprefix("http://"))

    def client(self, service: str) -> Any:
        """A boto3 client."""
        return self._session.client(service)

    @property
    def made(self) -> dict[str, Any]:
        """Terraform's output."""
        made: dict[str, Any] = self.terraform.output("cloud")
        return made

    def policies(self, role: str) -> list[dict[str, Any]]:
        """The documents of a role of the deployment."""
        iam, name = self.client("iam"), f"{NAME}-{role}"
        names = iam.list_role_policies(RoleName=name)["PolicyNames"]
        return [iam.get_role_policy(RoleName=name, PolicyName=one)["PolicyDocument"] for one in names]


@pytest.fixture(scope="session")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    """A deployment that Terraform has applied; it takes over a minute."""
    if shutil.which("terraform") is None:
        pytest.skip("terraform is not on the PATH")
    folder = tmp_path_factory.mktemp("cloud")
    server = HostLocalStack(
        ROOT / ".venv-localstack" / "bin" / "python", folder, free_port(), services=("logs", "cloudwatch")
    )
    patch = pytest.MonkeyPatch()
    patch.setattr(deployment_options, "STATES", folder)
    try:
        server.start()
        cloud = Cloud(server.endpoint, _options(server.endpoint))
        cloud.terraform.init()
        assert cloud.terraform.plan()
        cloud.terraform.apply_plan()
        yield cloud
    finally:
        server.stop()
        patch.undo()


def _options(endpoint: str) -> Options:
    aws = {
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_EC2_METADATA_DISABLED": "true",
    }
    return replace(Options(), target="localstack", env="localstack", deployment=NAME, region="us-east-1", aws=aws)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The first test waits for the cloud; what destroys it comes last."""
    give_first_time(items, Path(__file__).parent, _APPLY_SECONDS)
    items.sort(key=lambda item: item.name == "test_destroying_leaves_nothing")
