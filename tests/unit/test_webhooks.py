"""Telling the operator's own services: signed, durable, and as often as it takes."""

import base64
import itertools
import json
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from pydantic import SecretStr, ValidationError
from standardwebhooks import Webhook, WebhookVerificationError

from face_common.contract import Code
from face_common.errors import ServiceError, TransientError
from face_web.destinations import HttpPost, WebhookSettings
from face_web.settings import WebSettings
from face_web.webhooks import DeliveryError, Destination, Webhooks, signature
from tests.fakes.cloud import MemoryObjectStore
from tests.unit.test_batches import CrashError, HostStore, failing_at
from tests.unit.test_contract import ULID

SECRET = base64.b64encode(b"0123456789abcdef0123456789abcdef").decode()
OTHER = ULID[:-1] + ("0" if ULID[-1] != "0" else "1")
Sent = tuple[str, bytes, Mapping[str, str]]


class House:
    """Two web hosts over one bucket, a clock, and destinations that take what they are told or do not."""

    def __init__(self) -> None:
        self.now = 1_000_000.0
        self.store = MemoryObjectStore()
        self.sent: list[Sent] = []
        self.refused = 0
        self.refuse = False
        self.ended: dict[str, tuple[str, Mapping[str, Any]]] = {}
        self.looks = 0
        self.counts: Counter[tuple[str, str]] = Counter()
        self.first, self.second = self.host(self.store), self.host(self.store)

    def host(self, store: MemoryObjectStore) -> Webhooks:
        return Webhooks(
            store=store,
            destinations={
                name: Destination(f"https://{name}.example/in", SECRET.encode()) for name in ("till", "gate")
            },
            post=self.post,
            ended=self.look,
            now=lambda: self.now,
            count=lambda name, outcome: self.counts.update([(name, outcome)]),
            chance=lambda: 0.5,
        )

    def post(self, url: str, body: bytes, headers: Mapping[str, str]) -> None:
        if self.refuse:
            self.refused += 1
            raise DeliveryError("it answered 500")
        self.sent.append((url, body, headers))

    def look(self, kind: str, found: str) -> tuple[str, Mapping[str, Any]] | None:
        self.looks += 1
        return self.ended.get(found)

    @property
    def left(self) -> list[str]:
        return sorted(self.store.objects)


@pytest.fixture
def house() -> House:
    return House()


def test_what_has_ended_is_told_once_and_forgotten(house: House) -> None:
    house.first.expect("till", "identification", ULID)
    house.first.step()
    assert house.sent == []
    house.ended[ULID] = ("done", {"id": ULID, "faces": []})
    house.first.answered(ULID)
    house.first.step()
    house.second.step()
    ((url, body, headers),) = house.sent
    assert url == "https://till.example/in"
    assert json.loads(body) == {
        "type": "identification.done",
        "timestamp": "1970-01-12T13:46:40+00:00",
        "data": {"id": ULID, "faces": []},
    }
    assert headers["webhook-id"] == ULID
    assert house.left == []
    assert house.counts == {("till", "delivered"): 1}


def test_a_delivery_is_signed_as_the_standard_says() -> None:
    key, at, body = base64.b64decode(SECRET), int(time.time()), b'{"type":"batch.done"}'
    headers = {
        "webhook-id": ULID,
        "webhook-timestamp": str(at),
        "webhook-signature": signature(key, ULID, at, body),
    }
    assert Webhook(SECRET).verify(body, headers) == {"type": "batch.done"}
    for changed in (
        (body + b" ", headers),
        (body, headers | {"webhook-id": OTHER}),
        (body, headers | {"webhook-timestamp": str(at - 1)}),
    ):
        with pytest.raises(WebhookVerificationError):
            Webhook(SECRET).verify(*changed)


def test_a_result_that_takes_long_is_looked_for_less_and_less_often(house: House) -> None:
    house.first.expect("till", "identification", ULID)
    looked_at = []
    for _ in range(600):
        before = house.looks
        house.first.step()
        if house.looks > before:
            looked_at.append(house.now)
        house.now += 1
    pauses = [later - earlier for earlier, later in itertools.pairwise(looked_at)]
    assert pauses == sorted(pauses)
    assert (pauses[0], pauses[-1], len(pauses) < 20) == (1, 60, True)


def test_an_answer_prompts_the_host_that_expects_it(house: House) -> None:
    house.first.expect("till", "identification", ULID)
    for _ in range(8):
        house.first.step()
        house.now += 1
    house.ended[ULID] = ("failed", {"id": ULID})
    house.first.answered(OTHER)
    house.first.step()
    assert house.sent == [], "nobody has told"
    waiting = threading.Thread(target=lambda: house.first.wait(30))
    waiting.start()
    house.first.answered(ULID)
    waiting.join(5)
    assert not waiting.is_alive()
    house.first.step()
    assert json.loads(house.sent[0][1])["type"] == "identification.failed"


def test_another_host_tells_what_one_has_written_down(house: House) -> None:
    house.first.expect("till", "batch", ULID)
    house.ended[ULID] = ("cancelled", {})
    house.second.step()
    assert json.loads(house.sent[0][1])["type"] == "batch.cancelled"


def test_what_is_not_taken_comes_again_later_and_later_and_is_given_up_after_a_day(house: House) -> None:
    house.refuse = True
    house.ended[ULID] = ("done", {})
    house.first.expect("till", "batch", ULID)
    tried_at = []
    while house.now < 1_000_000 + 30 * 3600:
        before = house.refused
        house.first.step()
        house.second.step()
        if house.refused > before:
            tried_at.append(house.now)
            assert house.refused == before + 1, "of two hosts one tries"
        house.now += 5 if house.now < 1_000_300 else 60
    pauses = [later - earlier for earlier, later in itertools.pairwise(tried_at)]
    assert all(later > 1.5 * earlier for earlier, later in itertools.pairwise(pauses[:9]))
    assert pauses[0] <= 10
    assert 3600 <= pauses[-1] <= 3660
    assert 23 * 3600 < tried_at[-1] - 1_000_000 <= 24 * 3600
    assert house.left == [f"webhooks/dead/till/{ULID}.json"]
    assert json.loads(house.store.objects[house.left[0]])["reason"] == "it answered 500"
    assert house.counts["till", "dead"] == 1
    assert house.first.state() == [
        {"webhook": "gate", "url": "https://gate.example/in", "pending": 0, "dead": 0},
        {"webhook": "till", "url": "https://till.example/in", "pending": 0, "dead": 1},
    ]


def test_one_destination_that_is_down_holds_no_other_up(house: House) -> None:
    def post(url: str, body: bytes, headers: Mapping[str, str]) -> None:
        if "till" in url:
            house.refused += 1
            raise DeliveryError("down")
        house.sent.append((url, body, headers))

    house.first._post = post
    for number in range(10):
        found = f"{ULID[:-1]}{number}"
        house.ended[found] = ("done", {})
        for name in ("till", "gate"):
            house.first.expect(name, "batch", found)
    house.first.step()
    assert len(house.sent) == 10
    assert house.refused == 1, "one try says enough for this round"


def test_one_destination_that_is_slow_holds_no_other_up() -> None:
    house, answered = House(), threading.Event()

    def post(url: str, body: bytes, headers: Mapping[str, str]) -> None:
        if "till" in url:
            assert answered.wait(20)
        house.post(url, body, headers)

    host = house.host(house.store)
    host._post = post
    house.ended = {ULID: ("done", {}), OTHER: ("done", {})}
    host.expect("till", "batch", ULID)
    for told in (1, 2):
        host.expect("gate", "batch", OTHER)
        host.step()
        assert [url for url, _, _ in house.sent] == ["https://gate.example/in"] * told
    answered.set()
    host.step()
    assert house.left == []
    host.stop()
    host.expect("gate", "batch", OTHER)
    host.step()
    assert len(house.sent) == 3, "others go on"


def test_hosts_that_step_at_the_same_time_deliver_each_once(house: House) -> None:
    for number in range(10):
        found = f"{ULID[:-1]}{number}"
        house.ended[found] = ("done", {})
        house.first.expect("till", "batch", found)
    hosts = [house.host(house.store) for _ in range(6)]
    together = threading.Barrier(len(hosts))

    def step(host: Webhooks) -> None:
        together.wait(10)
        host.step()

    threads = [threading.Thread(target=step, args=(host,)) for host in hosts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert len(house.sent) == 10
    assert house.left == []


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("error", [TransientError, CrashError])
def test_whatever_breaks_it_is_told_in_the_end(house: House, error: type[BaseException], after: bool) -> None:
    for call in range(1, 5):
        house.store.objects.clear()
        house.sent.clear()
        house.ended[ULID] = ("done", {})
        house.first.expect("till", "batch", ULID)
        store = HostStore(house.store, failing_at(call, error), after)
        breaking = house.host(store)
        with suppress(CrashError):
            breaking.step()
        house.now += 61  # whoever had claimed it has not delivered it
        house.second.step()
        assert {headers["webhook-id"] for _, _, headers in house.sent} == {ULID}
        assert len(house.sent) <= 2
        assert house.left == []


def test_an_unknown_webhook_is_refused(house: House) -> None:
    assert house.first.check("till") == "till"
    with pytest.raises(ServiceError) as caught:
        house.first.check("https://elsewhere.example")
    assert caught.value.code is Code.WEBHOOK_UNKNOWN


@pytest.mark.parametrize(
    "url",
    [
        "http://till.example/in",
        "ftp://till.example",
        "https://",
        "https://name:password@till.example",
        "https://till.example/#a",
        "http://127.0.0.1.example/",
        "http://10.0.0.1/",
        "file:///etc/passwd",
    ],
)
def test_a_destination_is_https_or_this_machine(url: str) -> None:
    with pytest.raises(ValidationError, match="address"):
        WebhookSettings(url=url, secret=SecretStr(SECRET))


@pytest.mark.parametrize("secret", ["", "short", base64.b64encode(b"x" * 23).decode(), "not base64 at all, is it?" * 2])
def test_a_weak_secret_is_refused(secret: str) -> None:
    with pytest.raises(ValidationError, match="24 to 64 bytes"):
        WebhookSettings(url="https://till.example", secret=SecretStr(secret))


def test_destinations_come_from_the_environment_and_secrets_stay_in_it(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {
        "BUCKET": "b",
        "REQUEST_QUEUE_URL": "q",
        "RESPONSE_QUEUE_URL": "q",
        "DEAD_LETTER_QUEUE_URL": "q",
        "WEBHOOKS": json.dumps({"till": {"url": "http://127.0.0.1:9/in", "secret": f"whsec_{SECRET}"}}),
    }.items():
        monkeypatch.setenv(f"FACE_{name}", value)
    settings = WebSettings()
    assert settings.webhooks["till"].destination() == Destination("http://127.0.0.1:9/in", base64.b64decode(SECRET))
    assert SECRET not in repr(settings)
    monkeypatch.setenv("FACE_WEBHOOKS", json.dumps({"till": {"url": "http://a.example", "secret": SECRET}}))
    with pytest.raises(ValidationError) as caught:
        WebSettings()
    assert SECRET not in str(caught.value), "it is printed at the start"


class Receiver(BaseHTTPRequestHandler):
    """Answers as its path says."""

    seen: list[tuple[str, bytes, str]]

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.seen.append((self.path, body, self.headers["webhook-id"]))
        if self.path == "/slow":
            self.connection.recv(1)  # until the other side has had enough
            return
        status = int(self.path.strip("/"))
        self.send_response(status)
        if status in (301, 307):
            self.send_header("Location", "/200")
        self.send_header("Content-Length", str(10**9))  # of which nothing is read
        self.end_headers()

    def log_message(self, *_: object) -> None: ...


@contextmanager
def receiving() -> Iterator[tuple[str, list[tuple[str, bytes, str]]]]:
    seen: list[tuple[str, bytes, str]] = []
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Bound", (Receiver,), {"seen": seen}))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", seen
    finally:
        server.shutdown()
        thread.join(5)
        server.server_close()


def test_a_delivery_over_http_goes_nowhere_else_and_does_not_wait_for_ever() -> None:
    post = HttpPost(connect_seconds=1, answer_seconds=0.3)
    with receiving() as (url, seen):
        for status in (200, 202, 204):
            post(f"{url}/{status}", b"{}", {"webhook-id": ULID})
        for status in (301, 307, 400, 410, 500):
            with pytest.raises(DeliveryError, match=str(status)):
                post(f"{url}/{status}", b"{}", {"webhook-id": ULID})
        with pytest.raises(DeliveryError):
            post(f"{url}/slow", b"{}", {"webhook-id": ULID})
        assert [path for path, _, _ in seen] == [
            *("/200", "/202", "/204"),
            *("/301", "/307", "/400", "/410", "/500"),
            "/slow",
        ]
        assert {(body, found) for _, body, found in seen} == {(b"{}", ULID)}
    with pytest.raises(DeliveryError):
        post(url, b"{}", {})
