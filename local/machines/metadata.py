"""The instance metadata service, version 2 only: what AWS serves at 169.254.169.254 inside every instance."""

import json
import secrets
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socket import socket
from typing import ClassVar

_MOST_SECONDS = 6 * 3600
_TTL = "X-aws-ec2-metadata-token-ttl-seconds"
_TOKEN = "X-aws-ec2-metadata-token"  # noqa: S105 - a header's name
_ROOT = "/latest/meta-data/"

Reply = tuple[HTTPStatus, bytes]


@dataclass(frozen=True, slots=True)
class Facts:
    """What an instance may know of itself."""

    instance: str
    address: str
    region: str
    zone: str
    image: str
    instance_type: str = ""
    user_data: bytes | None = None

    def document(self, path: str) -> bytes | None:
        """What lies at this path; None where nothing does."""
        if path == "/latest/user-data":
            return self.user_data
        if path == "/latest/dynamic/instance-identity/document":
            return json.dumps(self._identity()).encode()
        if path.startswith(_ROOT):
            return self._metadata(path.removeprefix(_ROOT))
        return None

    def _metadata(self, name: str) -> bytes | None:
        known = {
            "ami-id": self.image,
            "instance-id": self.instance,
            "instance-type": self.instance_type,
            "local-hostname": f"{hostname(self.address)}.ec2.internal",
            "local-ipv4": self.address,
            "placement/availability-zone": self.zone,
            "placement/region": self.region,
        }
        if name == "":
            return "\n".join(sorted({f"{key.split('/')[0]}{'/' * ('/' in key)}" for key in known})).encode()
        return known[name].encode() if name in known else None

    def _identity(self) -> dict[str, str]:
        return {
            "version": "2017-09-30",
            "instanceId": self.instance,
            "imageId": self.image,
            "instanceType": self.instance_type,
            "privateIp": self.address,
            "region": self.region,
            "availabilityZone": self.zone,
        }


def hostname(address: str) -> str:
    """The host name that EC2 gives to an instance with this address."""
    return f"ip-{address.replace('.', '-')}"


class Metadata:
    """The answers of the metadata service; who asks is known by the address that it asks from."""

    def __init__(self, facts: Callable[[str], Facts | None], clock: Callable[[], float] = time.monotonic) -> None:
        """`facts` finds an instance by its address."""
        self._facts = facts
        self._clock = clock
        self._tokens: dict[str, tuple[str, float]] = {}  # whose, and until when

    def reply(self, client: str, method: str, path: str, header: Callable[[str], str | None]) -> Reply:
        """Status and body for a request from an address; `header` finds one by its name."""
        if method == "PUT" and path == "/latest/api/token":
            return self._give_token(client, header(_TTL) or "")
        if method != "GET":
            return HTTPStatus.METHOD_NOT_ALLOWED, b""
        owner, until = self._tokens.get(header(_TOKEN) or "", ("", 0.0))
        if owner != client or until <= self._clock():
            return HTTPStatus.UNAUTHORIZED, b""
        facts = self._facts(client)
        body = facts.document(path if path == _ROOT else path.rstrip("/")) if facts is not None else None
        return (HTTPStatus.OK, body) if body is not None else (HTTPStatus.NOT_FOUND, b"")

    def _give_token(self, client: str, ttl: str) -> Reply:
        if not ttl.isdecimal() or not 1 <= int(ttl) <= _MOST_SECONDS:
            return HTTPStatus.BAD_REQUEST, b""
        now = self._clock()
        self._tokens = {token: held for token, held in self._tokens.items() if held[1] > now}
        token = secrets.token_urlsafe(32)
        self._tokens[token] = (client, now + int(ttl))
        return HTTPStatus.OK, token.encode()


class MetadataServer:
    """Serves metadata on a socket that listens where the machines are."""

    def __init__(self, listening: socket, metadata: Metadata) -> None:
        handler = type("Handler", (_Handler,), {"metadata": metadata})
        self._server = ThreadingHTTPServer(listening.getsockname(), handler, bind_and_activate=False)
        self._server.socket.close()  # made in this process's own namespace
        self._server.socket = listening
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, args=(0.1,), name="metadata", daemon=True).start()

    def stop(self) -> None:
        """Stop serving, and close the socket: it would keep its namespace."""
        self._server.shutdown()
        self._server.server_close()


class _Handler(BaseHTTPRequestHandler):
    metadata: ClassVar[Metadata]
    timeout = 10
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self._answer()

    def do_PUT(self) -> None:
        self._answer()

    def log_message(self, *_: object) -> None:
        pass

    def _answer(self) -> None:
        status, body = self.metadata.reply(self.client_address[0], self.command, self.path, self.headers.get)
        self.send_response(status)
        self.send_header("Content-Type", "text/plain")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
