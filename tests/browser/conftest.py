"""A service with something on every page, and a Chromium that looks at it."""

import os
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import Browser, expect, sync_playwright
from werkzeug.serving import make_server

from face_client import FaceClient
from face_common.contract import Job, Operation, image_key
from face_web.assembly import new_id
from local.localstack import free_port
from local.resources import s3_client, sqs_client
from local.stack import ROOT, Stack
from tests.browser.places import Known
from tests.browser.visits import PATIENCE_MS, Visits
from tests.stacks import give_first_time, running_stack
from tests.unit.test_http import Service, running

SCREENSHOTS = ROOT / "build" / "screenshots"
_SETTINGS = {"FACE_KEEP_UNKNOWN": "true", "FACE_WAIT_SECONDS": "20"}
_CHROMIUM = (
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--use-fake-device-for-media-stream",
    "--use-fake-ui-for-media-stream",
)
_FIRST_SECONDS = 420  # a stack, and perhaps Chromium to install


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The first test waits for the service and the browser."""
    give_first_time(items, Path(__file__).parent, _FIRST_SECONDS)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say where the screenshots are."""
    if SCREENSHOTS.is_dir():
        terminalreporter.write_line(f"screenshots: {SCREENSHOTS}")


# What follows ends with this folder's last test: Playwright leaves an event loop running as long as it lives.
@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    """Debian's Chromium, with a camera that shows a test picture."""
    found = subprocess.run([ROOT / "scripts" / "find-chromium"], stdout=subprocess.PIPE, text=True, check=True)
    arguments = [*_CHROMIUM, *(["--no-sandbox"] if os.geteuid() == 0 else [])]
    expect.set_options(timeout=PATIENCE_MS)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found.stdout.strip(), args=arguments)
        yield browser
        browser.close()


@pytest.fixture(scope="package")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """The service that all tests share; one that is asked more gets its second worker."""
    with running_stack(tmp_path_factory.mktemp("browser"), _SETTINGS, min_workers=1, max_workers=2) as running:
        yield running


@pytest.fixture(scope="package")
def known(stack: Stack, samples: Path) -> Known:
    """Something for every page, in the usual collection."""
    with FaceClient(stack.url) as face:
        face.enrol("Barack Obama", [samples / "obama.jpg", samples / "obama_partial_face.jpg"])
        imported = face.imports.submit_photos([("Joe Biden/biden.jpg", samples / "biden.jpg")])["id"]
        batch = face.batches.submit_photos([(name, samples / name) for name in ("obama3.jpg", "chelsea.png")])["id"]
        for bulk, of in ((face.imports, imported), (face.batches, batch)):
            for _ in bulk.follow(of):
                pass
        identified = face.identify(samples / "obama2.jpg")["id"]
        stranger = face.identify(samples / "astronaut.png")["id"]
        face.enrol("Somebody", [samples / "obama_partial_face2.jpg"], insist=True)
        erased = face.erase("Somebody")["id"]
        _reject(stack, face.identify(samples / "biden.jpg")["id"])
    return Known(
        person="Barack Obama",
        identification=identified,
        stranger=stranger,
        batch=batch,
        imported=imported,
        erased=erased,
        dead=_leave_a_dead_letter(stack, samples / "astronaut.png"),
    )


def _reject(stack: Stack, identification: str) -> None:
    body = {"identification": identification, "face": 0}
    httpx.post(f"{stack.url}/v1/rejections", json=body, trust_env=False, timeout=30).raise_for_status()


def _leave_a_dead_letter(stack: Stack, photo: Path) -> str:
    """A job that is taken for one that no worker could finish; its id."""
    assert stack.resources is not None
    resources, job_id = stack.resources, new_id()
    job = Job(
        id=job_id,
        operation=Operation.IDENTIFY,
        key=image_key(job_id),
        name=photo.name,
        collection="default",
        gallery_version=0,
        reply_queue=resources.response_queue_urls[0],
        submitted_at=time.time(),
        width=512,
        height=512,
    )
    s3_client(resources.endpoint).put_object(Bucket=resources.bucket, Key=job.key, Body=photo.read_bytes())
    sqs_client(resources.endpoint).send_message(QueueUrl=resources.dead_letter_queue_url, MessageBody=job.encode())
    return job_id


@pytest.fixture
def visit(browser: Browser, stack: Stack) -> Iterator[Visits]:
    """Pages of the service; the test fails if one of them does what it must not."""
    yield from _visits(browser, stack.url)


@pytest.fixture(scope="package")
def guarded() -> Iterator[Service]:
    """A service in memory that asks for keys."""
    with running(Service("keys")) as service:
        yield service


@pytest.fixture(scope="package")
def guarded_home(guarded: Service) -> Iterator[str]:
    """Where it listens."""
    server = make_server("127.0.0.1", free_port(), guarded.app, threaded=True)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def visit_guarded(browser: Browser, guarded_home: str) -> Iterator[Visits]:
    """Pages of the service that asks for keys."""
    yield from _visits(browser, guarded_home)


def _visits(browser: Browser, home: str) -> Iterator[Visits]:
    visits = Visits(browser, home)
    yield visits
    visits.close()
    assert visits.faults == []
