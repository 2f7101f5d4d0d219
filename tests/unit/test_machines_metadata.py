"""What an instance learns of itself."""

import json
from http import HTTPStatus

import pytest

from local.machines.metadata import Facts, Metadata

TTL = "X-aws-ec2-metadata-token-ttl-seconds"
TOKEN = "X-aws-ec2-metadata-token"
HERE, ELSEWHERE = "10.213.1.4", "10.213.1.5"


class Asked:
    """The service, asked from one address."""

    def __init__(self, user_data: bytes | None = b"A=1") -> None:
        self.now = 1000.0
        facts = Facts("i-1", HERE, "us-east-1", "us-east-1b", "ami-1", "c7i.large", user_data)
        self.service = Metadata(lambda address: facts if address == HERE else None, clock=lambda: self.now)

    def token(self, ttl: str = "60", client: str = HERE) -> str:
        status, body = self.service.reply(client, "PUT", "/latest/api/token", {TTL: ttl}.get)
        assert status == HTTPStatus.OK
        return body.decode()

    def get(self, path: str, token: str, client: str = HERE) -> tuple[HTTPStatus, bytes]:
        return self.service.reply(client, "GET", path, {TOKEN: token}.get)


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/latest/meta-data/instance-id", b"i-1"),
        ("/latest/meta-data/local-ipv4", b"10.213.1.4"),
        ("/latest/meta-data/local-hostname", b"ip-10-213-1-4.ec2.internal"),
        ("/latest/meta-data/placement/region", b"us-east-1"),
        ("/latest/meta-data/placement/availability-zone", b"us-east-1b"),
        ("/latest/meta-data/ami-id", b"ami-1"),
        ("/latest/user-data", b"A=1"),
    ],
)
def test_who_has_a_token_is_told(path: str, body: bytes) -> None:
    asked = Asked()
    assert asked.get(path, asked.token()) == (HTTPStatus.OK, body)


def test_the_identity_document_and_the_list_of_names() -> None:
    asked = Asked()
    status, body = asked.get("/latest/dynamic/instance-identity/document", asked.token())
    assert status == HTTPStatus.OK
    assert json.loads(body).items() >= {"instanceId": "i-1", "region": "us-east-1", "privateIp": HERE}.items()
    assert b"placement/" in asked.get("/latest/meta-data/", asked.token())[1].splitlines()


def test_version_1_is_off() -> None:
    asked = Asked()
    asked.token()
    assert asked.get("/latest/meta-data/instance-id", "")[0] == HTTPStatus.UNAUTHORIZED
    assert asked.get("/latest/meta-data/instance-id", "guessed")[0] == HTTPStatus.UNAUTHORIZED


def test_a_token_ends_and_is_of_no_use_to_others() -> None:
    asked = Asked()
    token = asked.token("60")
    assert asked.get("/latest/meta-data/instance-id", token, client=ELSEWHERE)[0] == HTTPStatus.UNAUTHORIZED
    asked.now += 60
    assert asked.get("/latest/meta-data/instance-id", token)[0] == HTTPStatus.UNAUTHORIZED


@pytest.mark.parametrize("ttl", ["", "0", "-1", "21601", "soon"])
def test_a_token_needs_a_time_to_live(ttl: str) -> None:
    status, _ = Asked().service.reply(HERE, "PUT", "/latest/api/token", {TTL: ttl}.get)
    assert status == HTTPStatus.BAD_REQUEST


def test_what_there_is_not() -> None:
    asked = Asked(user_data=None)
    assert asked.get("/latest/user-data", asked.token())[0] == HTTPStatus.NOT_FOUND
    assert asked.get("/latest/meta-data/public-ipv4", asked.token())[0] == HTTPStatus.NOT_FOUND
    stranger = asked.token(client=ELSEWHERE)
    assert asked.get("/latest/meta-data/instance-id", stranger, client=ELSEWHERE)[0] == HTTPStatus.NOT_FOUND
    assert asked.service.reply(HERE, "POST", "/latest/user-data", {}.get)[0] == HTTPStatus.METHOD_NOT_ALLOWED
