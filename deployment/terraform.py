"""Terraform, in a working folder of the deployment's own."""

import json
import os
import shutil
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from deployment.options import ROOT, Options
from deployment.steps import DeployError, output_of, run

_CHANGES = 2  # exit status of a plan that changes something
_PROVIDER = Path("registry.terraform.io/hashicorp/aws")
_MIRRORS = ("~/.terraform.d/plugins", "/usr/local/share/terraform/plugins", "/usr/share/terraform/plugins")


class Terraform:
    """The cloud of one deployment."""

    def __init__(self, options: Options) -> None:
        """Nothing is done yet."""
        self._options = options
        self.folder = options.state / "terraform"
        self._environment = {**options.aws, "TF_IN_AUTOMATION": "1", "TF_INPUT": "0"}
        if not sys.stdout.isatty():
            self._environment["TF_CLI_ARGS"] = "-no-color"

    def init(self) -> None:
        """Bring the working folder up to date, and get the provider."""
        _copy_sources(self.folder)
        self._choose_backend()
        (self.folder / "deployment.auto.tfvars.json").write_text(json.dumps(self._variables(), indent=1))
        self._run("init", "-reconfigure", *_provider_source())

    def plan(self, *arguments: str) -> bool:
        """Show what would change; whether anything would."""
        command = self._command("plan", "-detailed-exitcode", "-out=plan", *self._files(), *arguments)
        return run(command, environment=self._environment, what="terraform plan", accepted=(0, _CHANGES)) == _CHANGES

    def apply_plan(self) -> None:
        """Do what the last plan has shown."""
        self._run("apply", "plan")

    def destroy(self, targets: Sequence[str] = ()) -> None:
        """Destroy everything, or the named resources only."""
        self._run("destroy", "-auto-approve", *self._files(), *(f"-target={one}" for one in targets))

    def resources(self) -> list[str]:
        """Addresses of all that the state holds and that was made."""
        return [one["address"] for one in self._state() if one["mode"] == "managed"]

    def output(self, name: str) -> Any:
        """One of the outputs; DeployError when there is none, as nothing was applied to its end."""
        command = self._command("output", "-json", name)
        return json.loads(output_of(command, what=f"terraform output {name}", environment=self._environment))

    def made(self, kind: str, attribute: str) -> list[str]:
        """An attribute of all resources of a kind that are there, even after half an apply or half a destroy."""
        return [one["values"][attribute] for one in self._state() if one["type"] == kind and one["mode"] == "managed"]

    def _state(self) -> list[dict[str, Any]]:
        """All resources and data that the state holds."""
        command = self._command("show", "-json")
        state = json.loads(output_of(command, what="terraform show", environment=self._environment))
        resources: list[dict[str, Any]] = state.get("values", {}).get("root_module", {}).get("resources", [])
        return resources

    def _choose_backend(self) -> None:
        """State must not be left behind: two places would each know half of the cloud."""
        file = self.folder / "backend.tf.json"
        wanted = {"terraform": {"backend": self._backend()}}
        if file.exists() and json.loads(file.read_text()) != wanted:
            raise DeployError(f"the state lies elsewhere, as {file} says: give the same STATE_BUCKET as before")
        file.write_text(json.dumps(wanted))

    def _backend(self) -> dict[str, dict[str, Any]]:
        options = self._options
        if not options.state_bucket:
            return {"local": {"path": str(options.state / "terraform.tfstate")}}
        key = f"elastic-face/{options.deployment}.tfstate"
        return {"s3": {"bucket": options.state_bucket, "key": key, "region": options.region, "use_lockfile": True}}

    def _variables(self) -> dict[str, Any]:
        """What the options say of Terraform's variables."""
        options = self._options
        public = options.ssh_key.with_name(f"{options.ssh_key.name}.pub")
        wanted: dict[str, Any] = {**options.variables, "deployment": options.deployment}
        if options.region:
            wanted["region"] = options.region
        if options.operator_cidrs:
            wanted["operator_cidrs"] = options.operator_cidrs
        if options.client_cidrs:
            wanted["client_cidrs"] = options.client_cidrs
        if options.connection == "ssm":
            wanted["ssm_agent"] = True
        if options.connection == "ssh" and public.is_file():
            wanted["ssh_public_key"] = public.read_text().strip()
        return wanted

    def _files(self) -> list[str]:
        """The env's variables, then what the options say: the later one wins."""
        env = ROOT / "terraform" / "envs" / f"{self._options.env}.tfvars"
        return [f"-var-file={env}", f"-var-file={self.folder / 'deployment.auto.tfvars.json'}"]

    def _command(self, *arguments: str) -> list[str]:
        return ["terraform", f"-chdir={self.folder}", *arguments]

    def _run(self, *arguments: str) -> None:
        run(self._command(*arguments), environment=self._environment, what=f"terraform {arguments[0]}")


def check_configuration() -> None:
    """Validate terraform/ and run its tests, without an account; DeployError when anything is wrong."""
    folder = ROOT / "build" / "terraform-check"
    _copy_sources(folder)
    shutil.copytree(ROOT / "terraform" / "tests", folder / "tests", dirs_exist_ok=True)
    for arguments in (["init", "-backend=false", *_provider_source()], ["validate"], ["test"]):
        run(["terraform", f"-chdir={folder}", *arguments], what=f"terraform {arguments[0]}")


def _copy_sources(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for stale in folder.glob("*.tf"):
        stale.unlink()
    for file in (ROOT / "terraform").glob("*.tf"):
        shutil.copy(file, folder)


def _provider_source() -> list[str]:
    mirror = plugin_folder()
    return [f"-plugin-dir={mirror}"] if mirror else []


def plugin_folder() -> Path | None:
    """A folder that mirrors Terraform's registry, where there is one: TF_PLUGIN_DIR, or a usual place."""
    named = os.environ.get("TF_PLUGIN_DIR")
    if named:
        if not (Path(named) / _PROVIDER).is_dir():
            raise DeployError(f"TF_PLUGIN_DIR={named} holds no {_PROVIDER}")
        return Path(named).resolve()
    return next((folder for folder in _candidates() if (folder / _PROVIDER).is_dir()), None)


def _candidates() -> Iterator[Path]:
    yield from (Path(folder).expanduser() for folder in _MIRRORS)
    for parent in (Path("/opt"), Path("/usr/local"), Path("/srv")):
        yield from sorted(parent.glob("*/"))
