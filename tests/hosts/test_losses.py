"""What becomes of photos when their worker's host is stopped, killed, or cut off."""

import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest
from testinfra.host import Host

from deployment.rehearsal import Load
from deployment.smoke import PERSON, client
from face_client import FaceClient
from tests.hosts.units import eventually
from tests.hosts.where import Where

_PHOTOS = 60
_CLIENTS = 20


@pytest.fixture
def face(where: Where, samples: Path) -> Iterator[FaceClient]:
    """The service, with the people of the load enrolled."""
    with client(where.url, where.certificate, where.key, "losses") as face:
        face.enrol(PERSON, [samples / "obama.jpg"])
        face.enrol("Joe Biden", [samples / "biden.jpg"])
        yield face


def test_a_worker_that_is_stopped_in_the_middle_of_jobs_finishes_them(face: FaceClient, worker: Host) -> None:
    with photos_under_way(face):
        began = time.monotonic()
        worker.check_output("systemctl stop face-worker")
        assert time.monotonic() - began < 60
        result = worker.check_output("systemctl show face-worker --property=Result --value")
        worker.check_output("systemctl start --no-block face-worker")
    assert result == "success"
    assert "drained" in worker.check_output("journalctl --unit=face-worker --since=-2min --output=cat --no-pager")


@pytest.mark.timeout(300)
def test_a_host_that_is_killed_loses_no_photo(face: FaceClient, where: Where) -> None:
    with photos_under_way(face):
        disturb("kill", where.worker_instance())


@pytest.fixture
def impatient() -> Iterator[None]:
    """Connections that fall silent end in half a minute, not in a quarter of an hour.

    As at S3: LocalStack keeps an object locked for whoever began to write it, and would let nobody else write it.
    """
    setting = Path("/proc/sys/net/ipv4/tcp_retries2")
    before = setting.read_text()
    setting.write_text("6")
    yield
    setting.write_text(before)


@pytest.mark.timeout(400)
@pytest.mark.usefixtures("impatient")
def test_a_host_that_is_cut_off_is_replaced_and_loses_no_photo(face: FaceClient, where: Where) -> None:
    lost = where.worker_instance()
    with photos_under_way(face):
        disturb("cut", lost)
    assert eventually(lambda: lost not in where.instances(), 300)
    assert where.worker_instance() != lost


@contextmanager
def photos_under_way(face: FaceClient) -> Iterator[None]:
    """Many photos are sent, and some are answered, when the block begins; all of them rightly before it has ended."""
    load = Load(face)
    with ThreadPoolExecutor(_CLIENTS) as clients:
        sent = [clients.submit(load.send, number) for number in range(_PHOTOS)]
        assert eventually(lambda: sum(one.done() for one in sent) >= _CLIENTS // 2, 60)
        yield
        for one in sent:
            one.result()


def disturb(how: str, instance: str) -> None:
    """Take a machine's power or network."""
    subprocess.run([sys.executable, "-m", "local.cloud", how, instance], check=True)
