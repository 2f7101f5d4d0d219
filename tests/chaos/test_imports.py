"""An import outlives the death of the web service and of a worker in its middle; IMPORT_PHOTOS: how many photos."""

import io
import itertools
import json
import os
import signal
import threading
import time
import zipfile
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from statistics import quantiles
from typing import Any

import httpx
import pytest
from standardwebhooks import Webhook

from local.resources import s3_client
from local.stack import Stack
from tests.stacks import running_stack, wait_until

COUNT = int(os.environ.get("IMPORT_PHOTOS", "200"))
SECRET = "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="


@contextmanager
def receiver() -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """One of the operator's services, and the events that it was told of, once their signature was verified."""
    events: list[dict[str, Any]] = []

    class Receiver(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            events.append(Webhook(SECRET).verify(body, dict(self.headers.items())))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_: object) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Receiver)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", events
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def people(folder: Path, count: int) -> bytes:
    """A zip of so many photos of people, person by person, from the first again when there are no more."""
    photos = sorted(folder.glob("*/*.jpg"))
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w") as made:
        for number, photo in zip(range(count), itertools.cycle(photos), strict=False):
            made.writestr(f"{photo.parent.name}/{number:05d}.jpg", photo.read_bytes())
    return target.getvalue()


def stored(stack: Stack, prefix: str) -> list[str]:
    assert stack.resources is not None
    pages = s3_client(stack.resources.endpoint).get_paginator("list_objects_v2")
    found = pages.paginate(Bucket=stack.resources.bucket, Prefix=prefix)
    return [entry["Key"] for page in found for entry in page.get("Contents", ())]


def ask_meanwhile(url: str, photo: bytes, stopping: threading.Event, seconds: list[float]) -> None:
    """Somebody who asks about a single photo now and then."""
    while not stopping.wait(0.5):
        began = time.monotonic()
        try:
            answer = httpx.post(f"{url}/v1/identifications?wait=60", content=photo, timeout=70, trust_env=False)
        except httpx.HTTPError:  # the service is being killed
            continue
        if answer.status_code == 200:
            seconds.append(time.monotonic() - began)


@pytest.mark.timeout(180 + COUNT)
def test_an_import_outlives_the_web_service_and_a_worker(tmp_path: Path, face_data: Path) -> None:
    archive = people(face_data / "lfw-dev" / "people", COUNT)
    with receiver() as (address, events):
        told = {"FACE_WEBHOOKS": json.dumps({"till": {"url": address, "secret": SECRET}})}
        with running_stack(tmp_path / "stack", told) as stack, httpx.Client(base_url=stack.url, trust_env=False) as web:
            began = time.monotonic()
            taken = web.post("/v1/imports?webhook=till", content=archive, headers={"Content-Type": "application/zip"})
            assert taken.status_code == 202, taken.text
            where = taken.headers["Location"]

            def state() -> dict[str, Any]:
                found: dict[str, Any] = web.get(where).json()
                return found

            stopping, seconds = threading.Event(), list[float]()
            photo = (face_data / "lfw-dev" / "strangers").glob("**/*.jpg").__next__().read_bytes()
            asking = threading.Thread(target=ask_meanwhile, args=(stack.url, photo, stopping, seconds))
            asking.start()
            wait_until(lambda: state()["finished"] >= COUNT // 5, 60 + COUNT)
            stack.webs[0].kill()
            wait_until(lambda: stack.webs[0].ended() is not None, 10)
            stack.webs[0].start()
            wait_until(lambda: _is_ready(stack.url), 60)
            wait_until(lambda: state()["finished"] >= COUNT // 2, 60 + COUNT)
            os.kill(stack.workers[0].pid, signal.SIGKILL)
            wait_until(lambda: state()["state"] not in ("queued", "running"), 60 + COUNT)
            stopping.set()
            asking.join()
            middle, late = (quantiles(seconds, n=20)[at] for at in (9, 18))
            print(f"{COUNT} photos in {time.monotonic() - began:.1f} s; {len(seconds)} single ones meanwhile,", end=" ")
            print(f"p50 {middle:.2f} s, p95 {late:.2f} s, at most {max(seconds):.2f} s")

            ended = state()
            assert (ended["state"], ended["finished"], ended["error"]) == ("done", COUNT, None)
            lines = [json.loads(line) for line in web.get(f"{where}/results").text.splitlines()]
            assert [line["index"] for line in lines] == list(range(COUNT))
            assert [line["name"] for line in lines] == [f"{number:05d}.jpg" for number in range(COUNT)]
            assert len({line["id"] for line in lines}) == COUNT
            assert Counter(line["outcome"] for line in lines) == ended["outcomes"]
            assert ended["outcomes"]["accepted"] >= min(COUNT, 500) * 0.9
            assert not set(ended["outcomes"]) & {"failed", "unreadable", "not-found"}
            accepted = {line["id"] for line in lines if line["outcome"] == "accepted"}
            enrolled = web.get("/v1/people", params={"limit": 1000}).json()["people"]
            assert sum(entry["photos"] for entry in enrolled) == len(accepted)
            assert {key.removeprefix("photos/") for key in stored(stack, "photos/")} == accepted
            assert stored(stack, "batches/open/") == []
            assert not [key for key in stored(stack, "batches/") if key.endswith((".zip", ".jsonl"))]
            wait_until(lambda: events, 30)
            assert {(event["type"], event["data"]["id"]) for event in events} == {("import.done", ended["id"])}


def _is_ready(url: str) -> bool:
    try:
        return httpx.get(f"{url}/readyz", timeout=5, trust_env=False).is_success
    except httpx.HTTPError:
        return False
