"""The operator's own services that are told what has finished: their settings, and how they are called."""

import base64
import binascii
from collections.abc import Mapping
from contextlib import suppress
from typing import Annotated
from urllib.parse import urlsplit

import urllib3
from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator

from face_web.access import is_loopback
from face_web.webhooks import DeliveryError, Destination

_PREFIX = "whsec_"
_CONNECT_SECONDS, _ANSWER_SECONDS = 5.0, 15.0

WebhookName = Annotated[str, Field(pattern=r"^[a-z0-9](?:[a-z0-9-]{0,38}[a-z0-9])?$")]


class WebhookSettings(BaseModel):
    """One destination, as it is set."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    url: str
    """https, or http to this machine itself."""
    secret: SecretStr
    """24 to 64 random bytes in base64, with or without whsec_ before them."""

    @field_validator("url")
    @classmethod
    def _safe(cls, url: str) -> str:
        parts = urlsplit(url)
        if not parts.hostname or parts.username is not None or parts.fragment:
            raise ValueError("a webhook has an address with a host, and without a name, password or fragment")
        if parts.scheme != "https" and not (parts.scheme == "http" and is_loopback(parts.hostname)):
            raise ValueError("a webhook has an https address, unless it is on this machine itself")
        return url

    @field_validator("secret")
    @classmethod
    def _strong(cls, secret: SecretStr) -> SecretStr:
        if not 24 <= len(_decoded(secret)) <= 64:
            raise ValueError("a webhook's secret is 24 to 64 bytes in base64: openssl rand -base64 32")
        return secret

    def destination(self) -> Destination:
        """Ready to be delivered to."""
        return Destination(self.url, _decoded(self.secret))


def _decoded(secret: SecretStr) -> bytes:
    with suppress(binascii.Error, ValueError):
        return base64.b64decode(secret.get_secret_value().removeprefix(_PREFIX), validate=True)
    return b""


class HttpPost:
    """Sends deliveries over HTTP: once, nowhere else than told, and not longer than a while. Thread-safe."""

    def __init__(self, connect_seconds: float = _CONNECT_SECONDS, answer_seconds: float = _ANSWER_SECONDS) -> None:
        self._timeout = urllib3.Timeout(connect=connect_seconds, read=answer_seconds)
        self._connections = urllib3.PoolManager(num_pools=8, maxsize=4)

    def __call__(self, url: str, body: bytes, headers: Mapping[str, str]) -> None:
        """See Post. What is answered beside the status is not read."""
        try:
            response = self._connections.request(
                "POST",
                url,
                body=body,
                headers=dict(headers),
                timeout=self._timeout,
                retries=False,
                redirect=False,
                preload_content=False,
            )
        except urllib3.exceptions.HTTPError as error:
            raise DeliveryError(f"{type(error).__name__}: {error}"[:300]) from error
        response.close()
        if not 200 <= response.status < 300:
            raise DeliveryError(f"it answered {response.status}")
