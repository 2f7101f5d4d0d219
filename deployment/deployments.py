"""Deploying and destroying, step by step."""

import os
import shutil
import ssl
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

from deployment import release
from deployment.access import admin_key, forget_secrets, key_hash, secret_settings
from deployment.ansible import Ansible
from deployment.options import ROOT, STATES, Options, check
from deployment.release import Release
from deployment.removal import Removal
from deployment.smoke import smoke
from deployment.steps import DeployError, Steps, run
from deployment.terraform import Terraform
from local import cloud as local_cloud
from local.localstack import USUAL_PORT, free_port
from local.resources import REGION

_PATIENCE = 10.0  # seconds
_KEPT_IMAGES = 3  # to go back to, as many as hosts keep releases
_CLOUD = [sys.executable, "-m", "local.cloud"]
RELEASES = ROOT / "build" / "release"


class Deployment:
    """One deployment, from its sources to its address. Begin with `prepare` or `connect`."""

    def __init__(self, options: Options, steps: Steps) -> None:
        """Nothing is done yet."""
        self.options = options
        self.steps = steps
        self.terraform = Terraform(options)

    def prepare(self) -> None:
        """See that all is there that the work needs; on LocalStack, start that first."""
        with self.steps.step("prerequisites"):
            options = _on_localstack(self.options) if self.options.target == "localstack" else self.options
            self.options = check(options)
            self.terraform = Terraform(self.options)
            self.terraform.init()

    def connect(self) -> None:
        """Find a deployment that was made from here; DeployError when there is none."""
        if self.options.target == "localstack" and local_cloud.running() is None:
            raise DeployError("nothing is deployed: LocalStack does not run")
        self.prepare()
        if not self.terraform.resources():
            raise DeployError(f"nothing was deployed from here ({self.options.state})")

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
        ansible = self._ansible()
        with self.steps.step("worker image"):
            changed = ansible.play("image", built)
        with self.steps.step("web hosts"):
            changed += ansible.play("site", built)
        Removal(self.options).images(keep=_KEPT_IMAGES)
        return changed

    def roll_back(self) -> None:
        """Bring web hosts and workers back to the release before, or to the one that was named."""
        with self.steps.step("rollback"):
            self._ansible().play("rollback")

    def smoke(self) -> None:
        """One real photo through the public address."""
        with self.steps.step("smoke test"):
            print(f"   {smoke(self.url, self.certificate, self.key)} at {self.url}")
            if self.certificate:
                print(f"   its own certificate: {self.certificate}")
            print("   its first key, which may do everything; use it to make keys that may do less (face keys create):")
            print(f"   export FACE_URL={self.url} FACE_KEY=$(cat {self.key})")

    def destroy(self) -> None:
        """Remove everything; the bucket only when forced to. Also what is left of half an apply, or half a destroy."""
        everything = self.options.force or self.options.target == "localstack"
        what = "everything, photos and enrolled people too" if everything else "everything but the bucket"
        self._agreed(f"Destroy {what}, of {self.options.deployment}?")
        removal = Removal(self.options)
        buckets, queues = self.terraform.made("aws_s3_bucket", "bucket"), self.terraform.made("aws_sqs_queue", "url")
        with self.steps.step("hosts and images"):
            removal.hosts()
            removal.images()
        with self.steps.step("terraform destroy"):
            if everything:
                for bucket in buckets:
                    removal.objects(bucket)
                self.terraform.destroy()
            elif doomed := [one for one in self.terraform.resources() if not one.startswith("aws_s3_bucket")]:
                self.terraform.destroy(doomed)
        removal.hosts()  # LocalStack calls a web host terminated while its loop may still launch a worker
        if left := removal.left(buckets if everything else [], queues):
            raise DeployError(f"not everything is gone: {', '.join(left)}")
        if everything:
            forget_secrets(self.options)
            shutil.rmtree(self.options.state)
        print("   nothing is left" if everything else f"   only {', '.join(buckets)} is left: FORCE=1 destroys it, too")

    def stop_localstack(self) -> None:
        """Stop LocalStack with its machines, and check that nothing is left; unless another deployment is there."""
        others = [folder.name for folder in STATES.glob("localstack-*") if folder != self.options.state]
        if others:
            print(f"   LocalStack runs on for {', '.join(others)}")
            return
        with self.steps.step("LocalStack and its machines"):
            run([*_CLOUD, "down"], what="stopping LocalStack")
            shutil.rmtree(self.options.state, ignore_errors=True)

    def cloud(self) -> dict[str, Any]:
        """What Terraform made."""
        cloud: dict[str, Any] = self.terraform.output("cloud")
        return cloud

    @property
    def key(self) -> Path:
        """The file of its first key."""
        return admin_key(self.options)

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
        host = self.url.removeprefix("https://")
        try:
            file.write_text(ssl.get_server_certificate((host, 443), timeout=_PATIENCE))
        except OSError as error:
            raise DeployError(
                f"nobody answers at {host}:443 ({error}); is this machine's address in CLIENT_CIDRS?"
            ) from error
        return file

    def _ansible(self) -> Ansible:
        secret = {"FACE_ADMIN_KEY_HASH": key_hash(self.key), **secret_settings(self.options)}
        return Ansible(self.options, self.cloud(), secret)

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
    """Start LocalStack with machines behind its instances, and point every tool there and nowhere else."""
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        del os.environ[name]
    if local_cloud.running() is None:
        for stale in STATES.glob("localstack-*"):
            shutil.rmtree(stale)  # what it remembers went with the last LocalStack
        port = free_port(USUAL_PORT)
        run([*_CLOUD, "up", "--port", str(port)], what="starting LocalStack with its machines")
    cloud = local_cloud.running()
    if cloud is None or Path(cloud.state) != local_cloud.STATE:
        where = "has stopped again" if cloud is None else f"is another checkout's, from {cloud.state}"
        raise DeployError(f"LocalStack {where}")
    keys = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test"}
    return replace(
        options,
        region=REGION,
        ssh_key=Path(cloud.key),
        connection="ssh",
        aws=keys | {"AWS_ENDPOINT_URL": cloud.endpoint, "AWS_EC2_METADATA_DISABLED": "true"},
        variables={**options.variables, "host_environment": keys | {"FACE_ENDPOINT_URL": cloud.inner_endpoint}},
    )
