"""The whole life of a deployment on one machine: made, used, grown, shrunk, renewed under load, and removed."""

import ssl
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import httpx

from deployment.access import key_text
from deployment.deployments import Deployment
from deployment.release import own_version
from deployment.smoke import PERSON, client
from deployment.steps import DeployError
from face_client import FaceClient, FaceServiceError
from local import cloud
from local.samples import samples

_COLLECTION = "rehearsal"
_PROBES = (("obama2.jpg", PERSON), ("obama3.jpg", PERSON), ("biden.jpg", "Joe Biden"), ("astronaut.png", None))
_BURST = 150
_STEADY_CLIENTS = 3
_PAUSE_SECONDS = 1.0
_PATIENCE_SECONDS = 300.0


def rehearse(deployment: Deployment) -> None:
    """Make a deployment on LocalStack and put it through its life; DeployError at the first thing that goes wrong."""
    if cloud.running() is not None:
        raise DeployError("a deployment runs on this machine already: make destroy TARGET=localstack")
    deployment.options = replace(
        deployment.options, target="localstack", env="localstack", deployment="rehearsal", auto_approve=True
    )
    rehearsal = Rehearsal(deployment)
    try:
        deployment.prepare()
        rehearsal.make()
        rehearsal.enrol()
        rehearsal.shrink()
        rehearsal.grow()
        rehearsal.shrink()
        rehearsal.renew()
        rehearsal.go_back()
        deployment.destroy()
    finally:
        deployment.stop_localstack()


@dataclass
class Rehearsal:
    """A deployment that is put through its life."""

    deployment: Deployment

    def make(self) -> None:
        """From the sources to a photo that is answered; a second time nothing changes."""
        deployment = self.deployment
        built = deployment.build()
        deployment.apply()
        deployment.configure(built)
        deployment.smoke()
        if deployment.plan():
            raise DeployError("a second plan changes something")
        if changed := deployment.configure(built):
            raise DeployError(f"a second run of the playbooks changes {changed} things")

    def enrol(self) -> None:
        """The people whom the photos show."""
        with self._client() as face:
            face.enrol(PERSON, [samples() / "obama.jpg"])
            face.enrol("Joe Biden", [samples() / "biden.jpg"])

    def grow(self) -> None:
        """Many photos at once and no worker: the scaling loop brings hosts, which answer them."""
        with self.deployment.steps.step(f"burst of {_BURST} photos, from no worker"), self._client() as face:
            load = Load(face)
            with ThreadPoolExecutor(_BURST) as clients:
                list(clients.map(load.send, range(_BURST)))
            print(f"   {load.summary()}")
            for decision in reversed(self._get("/v1/fleet/decisions?limit=50")["decisions"]):
                if decision["action"] == "start":
                    print(f"   {decision['reason']}")

    def shrink(self) -> None:
        """The fleet goes home when nobody sends anything: its hosts shut down, which drains their workers."""
        with self.deployment.steps.step("scale-in"):
            self._wait("no worker runs", lambda now: not now["running"] + now["booting"] + now["draining"])

    def renew(self) -> None:
        """A new version while photos keep coming: none fails, and in the end workers of that version answer them."""
        version = f"{own_version()}.post1"
        built = self.deployment.build(version)
        with self._client() as face, self.deployment.steps.step("second deploy, photos keep coming"):
            load = Load(face)
            with load.kept_up():
                self.deployment.configure(built)
                self._wait("new workers run, and no others", lambda now: now["running"] and not now["outdated"])
            print(f"   {load.summary()}")
        self._expect(version)

    def go_back(self) -> None:
        """The release before is back with its workers, and answers."""
        self.deployment.roll_back()
        self._expect(own_version())
        self.deployment.smoke()

    def _expect(self, version: str) -> None:
        running = self._get("/healthz")["version"]
        if running != version:
            raise DeployError(f"the web host runs {running}, not {version}")
        print(f"   the web host runs {running}")

    @cached_property
    def _address(self) -> tuple[str, Path | None, Path]:
        """Where the service answers, the certificate to trust there, and the file of the key to use."""
        return self.deployment.url, self.deployment.certificate, self.deployment.key

    def _client(self) -> FaceClient:
        return client(*self._address, _COLLECTION)

    def _get(self, path: str) -> dict[str, Any]:
        url, certificate, key = self._address
        context = ssl.create_default_context(cafile=str(certificate))
        headers = {"Authorization": f"Bearer {key_text(key)}"}
        answer: dict[str, Any] = httpx.get(f"{url}{path}", headers=headers, verify=context, trust_env=False).json()
        return answer

    def _wait(self, what: str, so: Callable[[dict[str, int]], object]) -> None:
        """Wait until the fleet's numbers are as they should be."""
        deadline = time.monotonic() + _PATIENCE_SECONDS
        while not so(workers := self._get("/v1/fleet")["workers"]):
            if time.monotonic() > deadline:
                raise DeployError(f"after {_PATIENCE_SECONDS:.0f} s it is still not so that {what}: {workers}")
            time.sleep(1)
        print(f"   {what}: {workers}")


class Load:
    """Photos that are sent, each checked for the right answer."""

    def __init__(self, face: FaceClient) -> None:
        """`face` may be used by many threads."""
        self._face = face
        self._answered: list[tuple[float, str]] = []
        """Seconds and worker of each answer."""

    def send(self, number: int) -> None:
        """Send the photo of a number; DeployError when the answer is wrong or does not come."""
        name, person = _PROBES[number % len(_PROBES)]
        began = time.monotonic()
        try:
            result = self._face.identify(samples() / name, wait=60)
            while result["state"] not in ("done", "failed"):
                time.sleep(0.5)
                result = self._face.identification(result["id"])
        except (httpx.HTTPError, FaceServiceError) as error:
            raise DeployError(f"photo {number} failed: {error}") from error
        named = [face["person"] for face in result.get("faces", [])]
        if named != [person]:
            raise DeployError(f"photo {number} shows {person}, and the service says {named}")
        self._answered.append((time.monotonic() - began, result["worker"]))

    @contextmanager
    def kept_up(self) -> Iterator[None]:
        """Send photos, several at a time, until the block ends."""
        ended = threading.Event()

        def go_on(first: int) -> None:
            number = first
            while not ended.wait(_PAUSE_SECONDS):
                self.send(number)
                number += 1

        with ThreadPoolExecutor(_STEADY_CLIENTS) as threads:
            clients = [threads.submit(go_on, first) for first in range(_STEADY_CLIENTS)]
            try:
                yield
            finally:
                ended.set()
            for one in clients:
                one.result()

    def summary(self) -> str:
        """What became of the photos."""
        workers = {worker for _, worker in self._answered}
        slowest = max(seconds for seconds, _ in self._answered)
        return f"{len(self._answered)} photos, all answered rightly, by {len(workers)} workers; slowest {slowest:.1f} s"
