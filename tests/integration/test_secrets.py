"""The secrets of a deployment, and its first key from where it is made to where it is asked for."""

import time
from dataclasses import replace
from pathlib import Path

import pytest

from deployment import options as options_module
from deployment.access import admin_key, forget_secrets, key_hash, key_text, secret_settings
from deployment.options import Options
from deployment.steps import DeployError
from face_common.errors import ServiceError
from face_web.access import Access, Role
from face_web.keys import Keys
from local.resources import s3_client
from tests.fakes.cloud import MemoryObjectStore


class Silence:
    """Nobody is told of refusals."""

    def refused(self, reason: str) -> None:
        """See Refusals."""


def access_with(admin_hash: str) -> Access:
    keys = Keys(MemoryObjectStore(), admin_hash, time.time)
    return Access(keys=keys, refusals=Silence(), rate=100, is_open=False, now=time.time)


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Options:
    monkeypatch.setattr(options_module, "STATES", tmp_path / "here")
    return Options(target="localstack", region="us-east-1")


def test_it_is_made_once_and_only_its_owner_reads_it(here: Options) -> None:
    file = admin_key(here)
    first = key_text(file)
    assert file.stat().st_mode & 0o777 == 0o600
    assert file.parent == here.state
    assert key_text(admin_key(here)) == first
    forget_secrets(here)
    assert key_text(admin_key(here)) != first


def test_the_web_service_knows_it_by_its_hash(here: Options) -> None:
    file = admin_key(here)
    assert key_text(file) not in key_hash(file)
    access = access_with(key_hash(file))
    assert access.caller({"Authorization": f"Bearer {key_text(file)}"}).role is Role.ADMIN
    with pytest.raises(ServiceError):
        access.caller({"Authorization": f"Bearer {key_text(file)}x"})


def test_who_deploys_from_another_machine_has_the_same_key(
    here: Options, localstack: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    aws = {"AWS_ENDPOINT_URL": localstack, "AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test"}
    s3_client(localstack).create_bucket(Bucket="states")
    shared = replace(here, state_bucket="states", aws=aws)
    first = key_text(admin_key(shared))
    monkeypatch.setattr(options_module, "STATES", tmp_path / "there")
    file = admin_key(shared)
    assert key_text(file) == first
    assert file.stat().st_mode & 0o777 == 0o600
    forget_secrets(shared)
    assert not file.exists()
    assert key_text(admin_key(shared)) != first


def test_secret_settings_are_kept_until_others_come(here: Options, tmp_path: Path) -> None:
    assert secret_settings(here) == {}
    file = tmp_path / "mine.env"
    file.write_text('# of our webhooks\nFACE_WEBHOOKS={"crm": {"url": "https://crm.example", "secret": "x=="}}\n')
    file.chmod(0o600)
    expected = {"FACE_WEBHOOKS": '{"crm": {"url": "https://crm.example", "secret": "x=="}}'}
    assert secret_settings(replace(here, secrets=file)) == expected
    file.unlink()
    assert secret_settings(here) == expected
    assert (here.state / "secrets.env").stat().st_mode & 0o777 == 0o600
    forget_secrets(here)
    assert secret_settings(here) == {}


def test_a_file_of_secrets_that_others_read_or_that_is_none_is_refused(here: Options, tmp_path: Path) -> None:
    file = tmp_path / "mine.env"
    file.write_text("FACE_WEBHOOKS={}\n")
    file.chmod(0o640)
    with pytest.raises(DeployError, match="others may read"):
        secret_settings(replace(here, secrets=file))
    file.write_text("FACE_WEBHOOKS={}\nexport SECRET=1\n")
    file.chmod(0o600)
    with pytest.raises(DeployError, match="line 2: not FACE_NAME=value") as refused:
        secret_settings(replace(here, secrets=file))
    assert "SECRET=1" not in str(refused.value)
    assert secret_settings(here) == {}
