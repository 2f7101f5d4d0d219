"""A worker's host as image.yml leaves it, booted from the image."""

import pytest
from testinfra.host import Host

from tests.hosts.checks import host_is_closed, release_is_roots, unit_runs_confined
from tests.hosts.units import comes_back, exposure, fill_memory, listening, main_pid, properties

UNIT = "face-worker"
_WATCHDOG_SECONDS = 90.0  # two periods, and a start


def test_the_host_is_closed(worker: Host) -> None:
    host_is_closed(worker)


def test_the_service_runs_confined(worker: Host) -> None:
    unit_runs_confined(worker, UNIT)


def test_the_instances_settings_were_read(worker: Host) -> None:
    assert worker.service("face-host").is_running
    assert exposure(worker, "face-host") <= 2.0
    settings = worker.file("/run/face/host.env")
    assert settings.mode == 0o600
    lines = settings.content_string.splitlines()
    names = {line.partition("=")[0] for line in lines}
    assert {"FACE_INSTANCE_ID", "FACE_WORKER_NAME", "FACE_SLOTS", "FACE_BUCKET", "FACE_REQUEST_QUEUE_URL"} <= names


def test_nothing_but_ssh_listens(worker: Host) -> None:
    # The metadata service is in the network of a host that is a container.
    outside = {port for address, port in listening(worker) if not address.startswith(("127.", "::1", "169.254."))}
    assert outside == {22}


def test_the_release_is_roots(worker: Host) -> None:
    release_is_roots(worker, "worker")


def test_the_models_are_in_the_image(worker: Host) -> None:
    assert worker.check_output("find /opt/face/models -name '*.onnx' -user root ! -perm /022 -printf x") != ""


def test_nothing_of_the_builder_is_left(worker: Host) -> None:
    assert worker.file("/var/log/journal").listdir() == [worker.check_output("cat /etc/machine-id")]
    assert not worker.file("/root/.ansible").exists
    assert not worker.file("/root/.bash_history").exists


def test_it_stops_after_the_longest_job(worker: Host) -> None:
    stop = properties(worker, UNIT, "TimeoutStopUSec", "KillMode")
    assert stop == {"TimeoutStopUSec": "1min 30s", "KillMode": "mixed"}


@pytest.mark.timeout(300)
def test_it_is_started_again_when_it_dies_or_hangs(worker: Host) -> None:
    for signal, seconds in (("KILL", 60.0), ("STOP", _WATCHDOG_SECONDS)):
        pid = main_pid(worker, UNIT)
        worker.check_output("kill -%s %s", signal, str(pid))
        assert comes_back(worker, UNIT, pid, seconds), signal


def test_its_memory_is_limited(worker: Host) -> None:
    worker.check_output("systemctl set-property --runtime %s.service MemoryMax=1G", UNIT)
    try:
        pid = main_pid(worker, UNIT)
        assert fill_memory(worker, UNIT, main_dies=False) == 137
        assert main_pid(worker, UNIT) == pid
        fill_memory(worker, UNIT, main_dies=True)
        assert comes_back(worker, UNIT, pid, 90)
    finally:
        worker.check_output("systemctl revert %s.service", UNIT)
