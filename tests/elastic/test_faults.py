"""EC2 fails for a minute."""

import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx
import pytest

from face_client import FaceClient
from local.localstack import free_port
from local.stack import ROOT, Options, Stack
from tests.elastic.conftest import decisions, fleet, recorded
from tests.unit.test_worker import eventually

FAILING_SECONDS = 60.0


class Gate:
    """Stands before LocalStack's EC2 and can be closed."""

    def __init__(self) -> None:
        self.open = True
        self.refused = 0
        self.find: Callable[[], str] = lambda: ""
        """LocalStack's endpoint."""
        gate = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                if gate.open:
                    headers = {key: value for key, value in self.headers.items() if key.lower() != "host"}
                    answer = httpx.post(gate.find(), content=body, headers=headers, trust_env=False)
                    self._answer(answer.status_code, answer.content)
                else:
                    gate.refused += 1
                    self._answer(503, b"<Response><Errors><Error><Code>Unavailable</Code></Error></Errors></Response>")

            def _answer(self, status: int, body: bytes) -> None:
                self.send_response(status)
                self.send_header("Content-Type", "text/xml")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()


@pytest.fixture(scope="module")
def gate() -> Iterator[Gate]:
    made = Gate()
    yield made
    made.server.shutdown()
    made.server.server_close()


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory, gate: Gate) -> Iterator[Stack]:
    settings = {
        "FACE_CACHE_DIR": str(ROOT / ".local" / "cache"),
        "FACE_EC2_ENDPOINT_URL": gate.url,
        "FACE_QUIET_SECONDS": "5",
    }
    state = tmp_path_factory.mktemp("stack")
    running = Stack(Options(port=free_port(), state=state, min_workers=0, max_workers=3, settings=settings), tell=print)
    gate.find = lambda: running.resources.endpoint if running.resources else ""
    try:
        running.start()
        yield running
    finally:
        running.stop()


@pytest.mark.timeout(300)
def test_a_minute_without_ec2_neither_crashes_nor_shrinks(stack: Stack, gate: Gate, samples: Path) -> None:
    with FaceClient(stack.url) as face, recorded(stack) as record:
        assert face.classic(samples / "chelsea.png", name="a.png") == "a:no-face"
        eventually(lambda: fleet(stack.url)["workers"]["running"] >= 1, 20)
        running = record.most
        gate.open, failing, failing_wall = False, time.monotonic(), time.time()
        while time.monotonic() - failing < FAILING_SECONDS:
            assert face.classic(samples / "chelsea.png", name="b.png") == "b:no-face"
            stack.watch()
            time.sleep(1)
        kept = {count for at, count, _ in record.samples if failing < at < failing + FAILING_SECONDS}
        gate.open, recovered, recovered_wall = True, time.monotonic(), time.time()
        eventually(lambda: "could not be read" not in fleet(stack.url)["decision"]["reason"], 40)
        closed = time.monotonic() - recovered
        eventually(lambda: fleet(stack.url)["workers"]["running"] == 0, 30)  # and it shrinks again when it is quiet
    log = [line for line in decisions(stack.url) if failing_wall + 2 < line["now"] < recovered_wall]
    waiting = [line for line in log if "next try in" in line["reason"]]
    print(
        f"\n{gate.refused} calls refused in {FAILING_SECONDS:g} s, {len(log)} decisions, {len(waiting)} with the "
        f"breaker open, such as: {waiting[-1]['reason']}\nclosed again {closed:.1f} s after EC2 came back"
    )
    assert kept == {running}
    assert len(log) > 30
    assert {(line["action"], line["cause"]) for line in log} == {("hold", "stale")}
    assert all("Unavailable" in line["reason"] for line in log)
    assert gate.refused < 12
    assert closed < 32
