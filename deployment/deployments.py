"""Deploying and destroying, step by step."""

import shutil
import ssl
import sys
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from deployment import release
from deployment.ansible import Ansible
from deployment.options import ROOT, Options, check
from deployment.release import Release
from deployment.removal import Removal
from deployment.smoke import smoke
from deployment.steps import DeployError, Steps, run
from deployment.terraform import Terraform
from local import cloud as local_cloud
from local.localstack import USUAL_PORT, free_port
from local.resources import REGION

_KEPT_IMAGES = 3  # to go back to, as many as hosts keep releases
_CLOUD = [sys.executable, "-m", "local.cloud"]
RELEASES = ROOT / "build" / "release"


@dataclass
class Deployment:
    """One deployment, from its sources to its address."""

    options: Options
    steps: Steps

    @cached_property
    def terraform(self) -> Terraform:
        """Its cloud."""
        return Terraform(self.options)

    def prepare(self) -> None:
        """See that all is there that the work needs; on LocalStack, start that first."""
        with self.steps.step("prerequisites"):
            if self.options.target == "localstack":
                self.options = _on_localstack(self.options)
            check(self.options)
            self.terraform.init()

    def plan(self) -> bool:
        """Show what applying would change; whether it would change anything."""
        with self.steps.step("terraform plan"):
            return self.terraform.plan()

    def apply(self) -> None:
        """Make the cloud as planned, once the operator has agreed."""
        if not self.plan():
            return
        self._agreed("Apply this plan?")
        with self.steps.step("terraform apply"):
            self.terraform.apply_plan()

    def build(self, version: str = "") -> Release:
        """What is to be installed."""
        with self.steps.step("release"):
            built = release.build(RELEASES, version)
            print(f"   {built.name}")
            return built

    def configure(self, built: Release) -> int:
        """Bake the workers' image, and bring the web hosts to the release one after the other; how much was changed."""
        ansible = Ansible(self.options, self.cloud())
        with self.steps.step("worker image"):
            changed = ansible.play("image", built)
        with self.steps.step("web hosts"):
            changed += ansible.play("site", built)
        Removal(self.options).images(keep=_KEPT_IMAGES)
        return changed

    def smoke(self) -> None:
        """One real photo through the public address."""
        with self.steps.step("smoke test"):
            print(f"   {smoke(self.url, self.certificate)} at {self.url}")

    def connect(self) -> None:
        """Find a deployment that is there; DeployError when there is none."""
        local = self.options.target == "localstack"
        if (local and local_cloud.running() is None) or not self.terraform.is_there:
            raise DeployError(f"nothing was deployed from here ({self.options.state})")
        self.prepare()

    def destroy(self) -> None:
        """Remove everything; the bucket only when forced to."""
        everything = self.options.force or self.options.target == "localstack"
        what = "everything, photos and enrolled people too" if everything else "everything but the bucket"
        self._agreed(f"Destroy {what}, of {self.options.deployment}?")
        removal, cloud = Removal(self.options), self.cloud()
        with self.steps.step("hosts and images"):
            removal.hosts()
            removal.images()
        with self.steps.step("terraform destroy"):
            if everything:
                removal.objects(cloud["bucket"])
            resources = self.terraform.resources()
            kept = [] if everything else [one for one in resources if not one.startswith("aws_s3_bucket")]
            self.terraform.destroy(kept)
        left = [one for one in removal.left(cloud) if everything or one != cloud["bucket"]]
        if left:
            raise DeployError(f"not everything is gone: {', '.join(left)}")
        if self.options.target == "localstack":
            with self.steps.step("LocalStack and its machines"):
                run([*_CLOUD, "down"], what="stopping LocalStack")
        if everything:
            shutil.rmtree(self.options.state)
        print(
            "   nothing is left"
            if everything
            else f"   only the bucket {cloud['bucket']} is left: FORCE=1 destroys it, too"
        )

    def cloud(self) -> dict[str, Any]:
        """What Terraform made."""
        cloud: dict[str, Any] = self.terraform.output("cloud")
        return cloud

    @property
    def url(self) -> str:
        """Where the service answers: on LocalStack at the machine's own address, as the elastic one leads nowhere."""
        if self.options.target == "localstack":
            return f"https://{self.cloud()['web'][0]['private_ip']}"
        return str(self.terraform.output("address"))

    @property
    def certificate(self) -> Path | None:
        """The web host's own certificate, unless an authority has signed it."""
        if self.options.acme_email or self.options.certificate:
            return None
        file = self.options.state / "edge.crt"
        file.write_text(ssl.get_server_certificate((self.url.removeprefix("https://"), 443)))
        return file

    def _agreed(self, question: str) -> None:
        if self.options.auto_approve:
            return
        try:
            answer = input(f"\n{question} Only 'yes' will do: ")
        except EOFError:
            answer = ""
        if answer.strip() != "yes":
            raise DeployError("nothing was changed (AUTO_APPROVE=1 does not ask)")


def _on_localstack(options: Options) -> Options:
    """Start LocalStack with machines behind its instances, and point every tool there."""
    if local_cloud.running() is None:
        shutil.rmtree(options.state, ignore_errors=True)  # what it remembers went with the last LocalStack
        port = free_port(USUAL_PORT)
        run([*_CLOUD, "up", "--port", str(port)], what="starting LocalStack with its machines")
    cloud = local_cloud.running()
    if cloud is None:
        raise DeployError("LocalStack has stopped again: .local/cloud/logs says why")
    keys = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test"}
    return replace(
        options,
        region=REGION,
        ssh_key=Path(cloud.key),
        connection="ssh",
        aws=keys | {"AWS_ENDPOINT_URL": cloud.endpoint, "AWS_EC2_METADATA_DISABLED": "true"},
        variables={**options.variables, "host_environment": keys | {"FACE_ENDPOINT_URL": cloud.inner_endpoint}},
    )
