"""What is asked of a deployment, what it says when something is missing, and what a release is made of."""

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from deployment import options as options_module
from deployment import release, terraform
from deployment.options import ROOT, Options, check, from_environment
from deployment.steps import DeployError, Steps, output_of, run
from deployment.terraform import Terraform, plugin_folder

LOCK = """\
# This file is written by make lock
numpy==2.4.6 ; python_full_version < '3.12' \\
    --hash=sha256:aa \\
    --hash=sha256:bb
numpy==2.5.5 ; python_full_version >= '3.12' \\
    --hash=sha256:cc
pywin32==311 ; sys_platform == 'win32' \\
    --hash=sha256:dd
pydantic==2.12.0 \\
    --hash=sha256:ee
"""


@pytest.mark.parametrize(
    ("variables", "said"),
    [
        ({"TARGET": "azure"}, "TARGET is aws or localstack"),
        ({"CONNECTION": "telnet"}, "CONNECTION is ssh or ssm"),
        ({"ENV": "huge"}, "there are: classic, default, localstack, small"),
        ({"DEPLOYMENT": "../../etc"}, "DEPLOYMENT is 2 to 31 lower-case letters"),
    ],
)
def test_variables_that_make_no_sense_are_said(variables: dict[str, str], said: str) -> None:
    with pytest.raises(DeployError, match=said):
        from_environment(variables)


def test_variables_are_read() -> None:
    read = from_environment(
        {"TARGET": "localstack", "DEPLOYMENT": "mine", "OPERATOR_CIDRS": "192.0.2.0/24,198.51.100.1/32", "FORCE": "1"}
    )
    assert (read.target, read.env, read.deployment, read.force) == ("localstack", "localstack", "mine", True)
    assert read.operator_cidrs == ("192.0.2.0/24", "198.51.100.1/32")
    assert not read.auto_approve


def ready(tmp_path: Path, **changes: Any) -> Options:
    """Options with which nothing is missing but an account."""
    key = tmp_path / "key"
    key.touch()
    key.with_name("key.pub").touch()
    usual = Options(region="eu-central-1", ssh_key=key, operator_cidrs=("192.0.2.0/24",))
    return replace(usual, **changes)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"region": ""}, "no region: make deploy AWS_REGION="),
        ({"ssh_key": Path("missing")}, r"no SSH key missing with its \.pub"),
        ({"operator_cidrs": ()}, "SSH is closed: say from where you come"),
        ({"connection": "ssm"}, "session-manager-plugin"),
        ({"certificate": (Path("one.pem"),)}, "CERTIFICATE is two files"),
    ],
)
def test_what_is_missing_is_said(
    changes: dict[str, Any], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(options_module.shutil, "which", lambda name: name if name == "terraform" else None)
    if "region" not in changes:
        monkeypatch.setattr(options_module, "_account", lambda options: "123456789012")
    with pytest.raises(DeployError, match=said):
        check(ready(tmp_path, **changes))


def test_no_terraform_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(options_module.shutil, "which", lambda name: None)
    with pytest.raises(DeployError, match="terraform is not on the PATH"):
        check(ready(tmp_path))


def test_no_credentials_are_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(options_module.shutil, "which", lambda name: name)
    for variable in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        monkeypatch.setenv(variable, "/dev/null")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    with pytest.raises(DeployError, match="no AWS credentials that work"):
        check(ready(tmp_path))


def test_a_host_gets_the_packages_of_its_own_python() -> None:
    assert list(release.for_host(LOCK)) == [
        "numpy==2.4.6 \\\n    --hash=sha256:aa \\\n    --hash=sha256:bb\n",
        "pydantic==2.12.0 \\\n    --hash=sha256:ee\n",
    ]


def test_the_same_sources_are_the_same_release(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    built: list[str] = []

    def collect(folder: Path, distribution: str, own: str, version: str) -> None:
        built.append(f"{distribution} {version}")
        (folder / "wheels").mkdir()
        (folder / "wheels" / "one.whl").write_text(version)

    monkeypatch.setattr(release, "_collect", collect)
    first = release.build(tmp_path)
    assert release.build(tmp_path) == first
    other = release.build(tmp_path, "9.9.9")
    own = release.own_version()
    assert built == [f"web {own}", f"app {own}", "web 9.9.9", "app 9.9.9"]
    assert other.name.startswith("9.9.9-")
    assert other.name != first.name
    told = json.loads(first.file.read_text())
    assert told["release"] == first.name
    assert all((tmp_path / archive["path"]).is_file() for archive in told["archives"].values())


def test_archives_are_the_same_bytes_whenever_they_are_made(tmp_path: Path) -> None:
    def pack(name: str) -> bytes:
        folder = tmp_path / name
        (folder / "wheels").mkdir(parents=True)
        (folder / "wheels" / "one.whl").write_text("wheel")
        (folder / "release.json").write_text("{}")
        return release._pack(folder).read_bytes()

    assert pack("first") == pack("second")


def test_state_is_a_file_or_a_locked_object(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(options_module, "STATES", tmp_path)
    place = Options(account="123456789012", region="eu-central-1")
    here = Terraform(place)._backend()
    assert here == {"local": {"path": str(tmp_path / "aws-123456789012-eu-central-1-face" / "terraform.tfstate")}}
    there = Terraform(Options(state_bucket="states", region="eu-central-1"))._backend()["s3"]
    assert there == {
        "bucket": "states", "key": "elastic-face/face.tfstate", "region": "eu-central-1", "use_lockfile": True
    }  # fmt: skip


def test_state_is_not_left_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(options_module, "STATES", tmp_path)
    options = Options(region="eu-central-1")
    for terraform_of in (Terraform(options), Terraform(options)):
        terraform_of.folder.mkdir(parents=True, exist_ok=True)
        terraform_of._choose_backend()
    with pytest.raises(DeployError, match="the state lies elsewhere"):
        Terraform(replace(options, state_bucket="states"))._choose_backend()


def test_a_mirror_is_found_or_missed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TF_PLUGIN_DIR", raising=False)
    monkeypatch.setattr(terraform, "_candidates", lambda: iter([tmp_path / "nothing", tmp_path / "mirror"]))
    assert plugin_folder() is None
    (tmp_path / "mirror" / "registry.terraform.io" / "hashicorp" / "aws").mkdir(parents=True)
    assert plugin_folder() == tmp_path / "mirror"
    monkeypatch.setenv("TF_PLUGIN_DIR", str(tmp_path / "nothing"))
    with pytest.raises(DeployError, match="TF_PLUGIN_DIR="):
        plugin_folder()


def test_a_command_that_fails_ends_the_work() -> None:
    with pytest.raises(DeployError, match="it failed with status 3"):
        run(["sh", "-c", "exit 3"], what="it")
    assert run(["sh", "-c", "exit 2"], what="it", accepted=(0, 2)) == 2
    with pytest.raises(DeployError, match="it failed:\nbecause"):
        output_of(["sh", "-c", "echo because >&2; exit 1"], what="it")


def test_steps_are_told_and_timed(capsys: pytest.CaptureFixture[str]) -> None:
    steps = Steps()
    with steps.step("one"):
        pass
    with pytest.raises(subprocess.SubprocessError), steps.step("two"):
        raise subprocess.SubprocessError
    assert [name for name, _ in steps.taken] == ["one"]
    assert "in all" in steps.table()
    assert "== two" in capsys.readouterr().out


def test_commands_are_handed_blocking_streams_and_no_input() -> None:
    # Ansible refuses to start where a CI runner or a shell has left one of them non-blocking.
    ends = [os.pipe() for _ in range(3)]
    for read, write in ends:
        os.set_blocking(read, False)
        os.set_blocking(write, False)
    look = "import os, sys; sys.exit(not all(os.get_blocking(number) for number in range(3)) or bool(os.read(0, 1)))"
    script = f"import sys; from deployment.steps import run; run([sys.executable, '-c', {look!r}], what='looking')"
    done = subprocess.run(
        [sys.executable, "-c", script],
        stdin=ends[0][0],
        stdout=ends[1][1],
        stderr=ends[2][1],
        cwd=ROOT,
        timeout=30,
        check=False,
    )
    for read, write in ends:
        os.close(read)
        os.close(write)
    assert done.returncode == 0
