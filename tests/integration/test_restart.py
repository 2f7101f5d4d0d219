"""The web service's process under a service manager: started, restarted and stopped without a lost request."""

import contextlib
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from face_common.contract import Job, Result, encode_reply
from face_common.ports import Message
from face_common.sqs import SqsQueue
from local.localstack import free_port
from local.processes import service_environment
from local.resources import Resources, make_resources, sqs_client
from tests.pictures import picture
from tests.unit.test_worker import eventually

_START = """
import os, sys
os.dup2({listening}, 3)
os.environ["LISTEN_PID"] = str(os.getpid())
os.execv(sys.executable, [sys.executable, "-m", "face_web"])
"""
PHOTO = picture("PNG", (20, 20))


class Manager:
    """A service manager that holds the web service's socket."""

    def __init__(self, resources: Resources, folder: Path) -> None:
        self.listening = socket.create_server(("127.0.0.1", 0), backlog=1024)
        self.url = f"http://127.0.0.1:{self.listening.getsockname()[1]}"
        self.told = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.told.bind(str(folder / "notify"))
        self.told.settimeout(60)
        self.settings = resources.environment() | {
            "FACE_ACCESS": "open",
            "FACE_LAUNCH_TEMPLATE": "",
            "FACE_DRAIN_SECONDS": "5",
            "LISTEN_FDS": "1",
            "NOTIFY_SOCKET": str(folder / "notify"),
        }
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        number = self.listening.fileno()
        self.process = subprocess.Popen(
            [sys.executable, "-c", _START.format(listening=number)],
            env=service_environment(self.settings),
            pass_fds=[number],
        )
        assert self.told.recv(100) == b"READY=1"

    def terminate(self) -> subprocess.Popen[bytes]:
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        assert self.told.recv(100) == b"STOPPING=1"
        return self.process

    def stop(self) -> None:
        assert self.terminate().wait(30) == 0

    def close(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()
        self.told.close()
        self.listening.close()


@pytest.fixture(scope="module")
def resources(localstack: str) -> Resources:
    return make_resources(localstack, prefix="restart")


@pytest.fixture
def manager(resources: Resources, tmp_path: Path) -> Iterator[Manager]:
    held = Manager(resources, tmp_path)
    try:
        yield held
    finally:
        held.close()


@contextlib.contextmanager
def working(resources: Resources, seconds: float) -> Iterator[None]:
    """A worker that sees nobody in any photo, a while after it has taken it."""
    sqs = sqs_client(resources.endpoint)
    requests, responses = (SqsQueue(sqs, url) for url in (resources.request_queue_url, *resources.response_queue_urls))
    stopping = threading.Event()

    def answer(message: Message) -> None:
        job = Job.decode(message.body)
        time.sleep(seconds)
        result: Result = {
            "id": job.id,
            "operation": job.operation.value,
            "state": "done",
            "image": {"name": job.name, "width": job.width, "height": job.height},
            "collection": job.collection,
            "faces": [],
            "error": None,
        }
        responses.send(encode_reply(result))
        requests.delete([message.receipt])

    def work() -> None:
        with ThreadPoolExecutor(16) as threads:
            while not stopping.is_set():
                for message in requests.receive(10, 1, 30):
                    threads.submit(answer, message)

    thread = threading.Thread(target=work)
    thread.start()
    yield
    stopping.set()
    thread.join(10)


@contextlib.contextmanager
def calling(*calls: Callable[[], httpx.Response]) -> Iterator[Counter[str]]:
    """Each of the calls again and again, by a client of its own; what came of them."""
    outcomes: Counter[str] = Counter()
    stopping = threading.Event()

    def go_on(call: Callable[[], httpx.Response]) -> None:
        while not stopping.is_set():
            try:
                outcomes[str(call().status_code)] += 1
            except httpx.HTTPError as error:
                outcomes[repr(error)] += 1

    with ThreadPoolExecutor(len(calls)) as threads:
        for call in calls:
            threads.submit(go_on, call)
        yield outcomes
        stopping.set()


def identify(url: str, wait: float) -> httpx.Response:
    return httpx.post(f"{url}/v1/identifications?wait={wait:g}", content=PHOTO, timeout=60, trust_env=False)


def classic(url: str) -> httpx.Response:
    return httpx.post(url, files={"inputFile": ("a.png", PHOTO)}, timeout=60, trust_env=False)


def health(url: str) -> httpx.Response:
    return httpx.get(f"{url}/healthz", timeout=60, trust_env=False)


def test_no_request_is_lost_while_the_service_is_restarted_twice(manager: Manager, resources: Resources) -> None:
    manager.start()
    calls = [lambda: health(manager.url), lambda: identify(manager.url, 30), lambda: classic(manager.url)]
    with working(resources, 0.3), calling(*calls * 4) as outcomes:
        for _ in range(2):
            time.sleep(2)
            manager.stop()
            time.sleep(0.5)
            manager.start()
        time.sleep(1)
    assert set(outcomes) == {"200"}
    assert outcomes["200"] > 50
    manager.stop()


def test_who_waits_in_vain_is_told_before_the_service_ends(manager: Manager) -> None:
    manager.settings |= {"FACE_DRAIN_SECONDS": "1"}
    manager.start()
    enrolment = f"{manager.url}/v1/people/Ada/photos"
    files = {"image": ("a.png", PHOTO)}
    with ThreadPoolExecutor(3) as threads:
        identified = threads.submit(identify, manager.url, 30)
        line = threads.submit(classic, manager.url)
        enrolled = threads.submit(httpx.post, enrolment, files=files, timeout=60, trust_env=False)
        metrics = f"{manager.url}/metrics"
        eventually(lambda: "face_web_waiting 3.0" in httpx.get(metrics, trust_env=False).text, 20)
        manager.stop()
    queued = identified.result()
    assert (queued.status_code, queued.json()["state"]) == (202, "queued")
    assert queued.headers["Location"] == f"/v1/identifications/{queued.json()['id']}"
    late = line.result()
    assert (late.status_code, late.json()["code"], late.headers["Retry-After"]) == (504, "wait-timeout", "5")
    assert enrolled.result().status_code == 202
    assert [photo["verdict"] for photo in enrolled.result().json()["photos"]] == ["queued"]


def test_a_web_service_says_that_it_is_alive(manager: Manager) -> None:
    manager.settings |= {"WATCHDOG_USEC": "500000"}
    manager.start()
    began = time.monotonic()
    assert {manager.told.recv(100) for _ in range(5)} == {b"WATCHDOG=1"}
    assert time.monotonic() - began < 3


def test_a_connection_that_was_accepted_is_answered_however_late_it_asks(manager: Manager) -> None:
    manager.start()
    with socket.create_connection(manager.listening.getsockname()) as client:
        eventually(lambda: health(manager.url).is_success)  # so that the other connection is accepted by now
        process = manager.terminate()
        time.sleep(0.5)
        client.sendall(b"GET /healthz HTTP/1.1\r\nHost: face\r\n\r\n")
        answer = b"".join(iter(lambda: client.recv(4096), b""))
    assert answer.startswith(b"HTTP/1.1 200 OK")
    assert b"\r\nConnection: close\r\n" in answer
    assert process.wait(10) == 0


def test_idle_connections_keep_nobody_from_leaving(manager: Manager) -> None:
    manager.settings |= {"FACE_DRAIN_SECONDS": "30"}
    manager.start()
    silent = socket.create_connection(manager.listening.getsockname())
    with httpx.Client(base_url=manager.url, trust_env=False) as kept, silent:
        assert kept.get("/healthz").is_success
        began = time.monotonic()
        manager.stop()
    assert time.monotonic() - began < 10


def test_on_a_socket_of_its_own_load_balancers_are_told_while_anyone_waits(resources: Resources) -> None:
    port = free_port()
    settings = resources.environment() | {
        "FACE_ACCESS": "open",
        "FACE_LAUNCH_TEMPLATE": "",
        "FACE_DRAIN_SECONDS": "3",
        "FACE_PORT": str(port),
    }
    url = f"http://127.0.0.1:{port}"
    environment = service_environment(settings)
    with (
        subprocess.Popen([sys.executable, "-m", "face_web"], env=environment) as process,
        ThreadPoolExecutor(1) as threads,
    ):
        try:
            eventually(lambda: is_served(url), 60)
            waiting = threads.submit(identify, url, 30)
            eventually(lambda: "face_web_waiting 1.0" in httpx.get(f"{url}/metrics", trust_env=False).text, 20)
            assert httpx.get(f"{url}/readyz", trust_env=False).status_code == 200
            process.send_signal(signal.SIGTERM)
            eventually(lambda: httpx.get(f"{url}/readyz", trust_env=False).status_code == 503)
            assert waiting.result().status_code == 202
            assert process.wait(20) == 0
        finally:
            process.kill()


def is_served(url: str) -> bool:
    with contextlib.suppress(httpx.HTTPError):
        return health(url).is_success
    return False
