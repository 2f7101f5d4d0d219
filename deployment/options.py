"""What the make variables ask for, and whether this machine has what that needs."""

import os
import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import boto3
from botocore.exceptions import BotoCoreError, ClientError

from deployment.steps import DeployError

ROOT = Path(__file__).resolve().parent.parent
STATES = ROOT / ".local" / "deployments"
"""Terraform's local state and keys: not among what `make clean` removes."""


@dataclass(frozen=True)
class Options:
    """One deployment."""

    target: Literal["aws", "localstack"] = "aws"
    env: str = "default"
    """Which of terraform/envs/."""
    deployment: str = "face"
    region: str = ""
    ssh_key: Path = Path("~/.ssh/id_ed25519")
    connection: Literal["ssh", "ssm"] = "ssh"
    operator_cidrs: tuple[str, ...] = ()
    """From where SSH is allowed."""
    client_cidrs: tuple[str, ...] = ()
    """From where photos may come; none: from where operators come."""
    state_bucket: str = ""
    """S3 bucket of Terraform's state; empty: a file of this machine."""
    certificate: tuple[Path, ...] = ()
    """Certificate chain and key of the web hosts; none: they make their own."""
    acme_email: str = ""
    """Whom Let's Encrypt writes to; with it, it makes the certificate."""
    secrets: Path | None = None
    """Settings of the web service that are secrets, FACE_NAME=value a line; None: those of the deploy before."""
    release: str = ""
    """To roll back to; empty: the one before."""
    auto_approve: bool = False
    force: bool = False
    """Whether destroying takes the bucket, too."""
    aws: Mapping[str, str] = field(default_factory=dict)
    """Environment of every tool that talks to AWS."""
    variables: Mapping[str, Any] = field(default_factory=dict)
    """Further variables of Terraform; they win over the env's file."""

    account: str = ""
    """AWS account, as soon as it is known."""

    @property
    def state(self) -> Path:
        """Folder of this deployment's state: the same name elsewhere is another deployment."""
        place = f"aws-{self.account}-{self.region}" if self.target == "aws" else self.target
        return STATES / f"{place}-{self.deployment}"


def from_environment(variables: Mapping[str, str]) -> Options:
    """Read the make variables; DeployError for one that makes no sense."""
    target = variables.get("TARGET") or "aws"
    if target not in ("aws", "localstack"):
        raise DeployError(f"TARGET is aws or localstack, not {target!r}")
    connection = variables.get("CONNECTION") or "ssh"
    if connection not in ("ssh", "ssm"):
        raise DeployError(f"CONNECTION is ssh or ssm, not {connection!r}")
    env = variables.get("ENV") or ("localstack" if target == "localstack" else "default")
    if not (ROOT / "terraform" / "envs" / f"{env}.tfvars").exists():
        known = ", ".join(sorted(file.stem for file in (ROOT / "terraform" / "envs").glob("*.tfvars")))
        raise DeployError(f"there is no terraform/envs/{env}.tfvars; there are: {known}")
    deployment = variables.get("DEPLOYMENT") or "face"
    if not re.fullmatch("[a-z][a-z0-9-]{1,30}", deployment):
        raise DeployError(
            f"DEPLOYMENT is 2 to 31 lower-case letters, digits and hyphens, a letter first, not {deployment!r}"
        )
    return Options(
        target=target,  # type: ignore[arg-type]
        env=env,
        deployment=deployment,
        region=variables.get("AWS_REGION") or variables.get("AWS_DEFAULT_REGION") or "",
        ssh_key=_path(variables.get("SSH_KEY") or "~/.ssh/id_ed25519"),
        connection=connection,  # type: ignore[arg-type]
        operator_cidrs=_several(variables.get("OPERATOR_CIDRS") or ""),
        client_cidrs=_several(variables.get("CLIENT_CIDRS") or ""),
        state_bucket=variables.get("STATE_BUCKET") or "",
        certificate=tuple(_path(file) for file in _several(variables.get("CERTIFICATE") or "")),
        acme_email=variables.get("ACME_EMAIL") or "",
        secrets=_path(variables["SECRETS"]) if variables.get("SECRETS") else None,
        release=variables.get("RELEASE") or "",
        auto_approve=variables.get("AUTO_APPROVE") == "1",
        force=variables.get("FORCE") == "1",
    )


def _several(text: str) -> tuple[str, ...]:
    return tuple(text.replace(",", " ").split())


def _path(text: str) -> Path:
    return Path(text).expanduser().resolve()  # tools run in other folders


def check(options: Options) -> Options:
    """The options with what was found out; DeployError at the first thing that is missing, with what to do about it."""
    if shutil.which("terraform") is None:
        raise DeployError("terraform is not on the PATH: https://developer.hashicorp.com/terraform/install")
    files = options.certificate
    if files and (len(files) != 2 or not all(file.is_file() for file in files)):
        raise DeployError("CERTIFICATE is two files, chain and key: CERTIFICATE=fullchain.pem,privkey.pem")
    if options.secrets is not None and not options.secrets.is_file():
        raise DeployError(f"there is no file {options.secrets}: SECRETS= names one with FACE_NAME=value lines")
    if options.target == "aws":
        options = replace(options, account=_account(options))
        _check_key(options)
    return options


def _account(options: Options) -> str:
    if not options.region:
        raise DeployError("no region: make deploy AWS_REGION=eu-central-1")
    try:
        caller = boto3.session.Session(region_name=options.region).client("sts").get_caller_identity()
    except (BotoCoreError, ClientError) as error:
        raise DeployError(
            f"no AWS credentials that work ({error}): set AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
        ) from error
    print(f"   account {caller['Account']}, region {options.region}, as {caller['Arn']}")
    account: str = caller["Account"]
    return account


def _check_key(options: Options) -> None:
    if options.connection == "ssm":
        if shutil.which("session-manager-plugin") is None:
            raise DeployError("CONNECTION=ssm needs AWS's session-manager-plugin on the PATH")
        return
    public = options.ssh_key.with_name(f"{options.ssh_key.name}.pub")
    if not options.ssh_key.is_file() or not public.is_file():
        raise DeployError(
            f"no SSH key {options.ssh_key} with its .pub: name another one with SSH_KEY=, "
            "make one with ssh-keygen -t ed25519, or use CONNECTION=ssm"
        )
    if not options.operator_cidrs:
        raise DeployError(
            "SSH is closed: say from where you come, OPERATOR_CIDRS=203.0.113.7/32, or use CONNECTION=ssm"
        )


def environment() -> Options:
    """The options of this process's environment."""
    return from_environment(os.environ)
