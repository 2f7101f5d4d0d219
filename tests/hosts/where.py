"""A deployment on systemd machines, for tests that look at its hosts."""

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import httpx

from deployment.access import key_text
from deployment.deployments import Deployment
from deployment.options import Options
from deployment.steps import Steps
from local import cloud
from local.machines.machines import address_in
from local.resources import ec2_client
from tests.stacks import wait_until

_VARIABLES = {
    "workers": {"min": 1, "max": 3, "warm": 1},
    "web": {
        "environment": {"FACE_QUIET_SECONDS": "600", "FACE_PATIENCE_SECONDS": "30", "FACE_ASSUMED_BOOT_SECONDS": "10"}
    },
}
"""A worker always runs, and a host that does not come up is given up soon."""
_WEBHOOK_SECRET = "c2VjcmV0LW9mLXRoZS10ZXN0cy1vZi1ob3N0cw=="


def missing() -> str:
    """Why there can be no such deployment on this machine, or nothing."""
    if os.geteuid() != 0:
        return "systemd machines need root"
    if shutil.which("terraform") is None:
        return "terraform is not on the PATH"
    if cloud.running() is not None:
        return "a cloud runs on this machine already: python -m local.cloud down"
    return ""


@dataclass(frozen=True)
class Where:
    """Where everything is."""

    deployment: Deployment
    webhook_secret: str = _WEBHOOK_SECRET
    """A setting that the web host has, and that nobody is to see."""

    @property
    def ssh_key(self) -> str:
        """The private key for root of every machine."""
        return str(self.deployment.options.ssh_key)

    @cached_property
    def url(self) -> str:
        """Of the service."""
        return self.deployment.url

    @cached_property
    def certificate(self) -> Path | None:
        """To be trusted."""
        return self.deployment.certificate

    @cached_property
    def key(self) -> Path:
        """The file of the first key."""
        return self.deployment.key

    @property
    def web(self) -> str:
        """Address of the web host."""
        return self.url.removeprefix("https://")

    def worker_instance(self) -> str:
        """A worker that is ready, once there is one."""
        wait_until(self._ready_workers, 120)
        return self._ready_workers()[0]

    def address(self, instance: str) -> str:
        """An instance's address."""
        found = ec2_client(self._endpoint).describe_instances(InstanceIds=[instance])
        return address_in(found["Reservations"][0]["Instances"][0]) or ""

    def instances(self) -> list[str]:
        """Every instance that is not terminated."""
        pages = ec2_client(self._endpoint).get_paginator("describe_instances").paginate()
        found = (one for page in pages for reservation in page["Reservations"] for one in reservation["Instances"])
        return [one["InstanceId"] for one in found if one["State"]["Name"] not in ("shutting-down", "terminated")]

    @property
    def _endpoint(self) -> str:
        running = cloud.running()
        assert running is not None
        return running.endpoint

    def _ready_workers(self) -> list[str]:
        headers = {"Authorization": f"Bearer {key_text(self.key)}"}
        told = httpx.get(f"{self.url}/v1/fleet", headers=headers, verify=False, trust_env=False).json()  # noqa: S501
        return [one["id"] for one in told["instances"] if one["state"] == "ready"]


@contextmanager
def deployed(folder: Path) -> Iterator[Where]:
    """Make it, and remove it again; `folder` is for files of its own."""
    secrets = folder / "secrets.env"
    secrets.touch(mode=0o600)
    webhooks = {"tests": {"url": "https://webhooks.invalid/tests", "secret": _WEBHOOK_SECRET}}
    secrets.write_text(f"FACE_WEBHOOKS={json.dumps(webhooks)}\n")
    options = Options(
        target="localstack", env="localstack", deployment="hosts", auto_approve=True, secrets=secrets.resolve()
    )
    deployment = Deployment(replace(options, variables=_VARIABLES), Steps())
    try:
        deployment.prepare()
        built = deployment.build()
        deployment.apply()
        deployment.configure(built)
        yield Where(deployment)
        deployment.destroy()
    finally:
        deployment.stop_localstack()
