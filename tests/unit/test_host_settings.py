"""The program that writes a worker's settings when its instance boots, run as its unit runs it."""

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PROGRAM = ROOT / "ansible" / "roles" / "worker_runtime" / "files" / "host_settings.py"
FEATURES = ("avx", "avx2", "fma")
HASWELL = "processor\t: 0\nflags\t\t: fpu sse4_2 avx avx2 bmi1 bmi2 f16c fma\n"
USER_DATA = b"""# settings of face-worker
FACE_BUCKET=photos

FACE_REQUEST_QUEUE_URL=https://sqs.eu-central-1.amazonaws.com/1/face-requests?a=b
"""


class FakeMetadata:
    """EC2's metadata service, as far as instances of ours ask it. It refuses who has no session token."""

    def __init__(self, user_data: bytes | None, failures: int = 0) -> None:
        self.failures = failures
        """How many requests it will not be ready for."""
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        self._documents = {
            "/latest/meta-data/instance-id": b"i-0123456789abcdef0",
            "/latest/meta-data/placement/region": b"eu-central-1",
        }
        if user_data is not None:
            self._documents["/latest/user-data"] = user_data
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()

    def answer(self, method: str, path: str, token: str | None) -> tuple[int, bytes]:
        if self.failures:
            self.failures -= 1
            return 503, b""
        if (method, path) == ("PUT", "/latest/api/token"):
            return 200, b"secret"
        if token != "secret":
            return 401, b""
        return (200, self._documents[path]) if path in self._documents else (404, b"")

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        fake = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                status, body = fake.answer(self.command, self.path, self.headers["X-aws-ec2-metadata-token"])
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def do_PUT(self) -> None:
                self.do_GET()

            def log_message(self, *_: object) -> None: ...

        return Handler


@pytest.fixture
def metadata(request: pytest.FixtureRequest) -> Iterator[FakeMetadata]:
    fake = FakeMetadata(*getattr(request, "param", (USER_DATA,)))
    yield fake
    fake.close()


def run(metadata: FakeMetadata, folder: Path, cpuinfo: str = HASWELL) -> tuple[subprocess.CompletedProcess[str], Path]:
    output = folder / "host.env"
    (folder / "cpuinfo").write_text(cpuinfo)
    options = ["--cpu-features", *FEATURES, "--cpuinfo", str(folder / "cpuinfo")]
    done = subprocess.run(
        [sys.executable, "-S", str(PROGRAM), str(output), *options],
        env={"FACE_METADATA_URL": metadata.url},
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )
    return done, output


def test_settings_of_the_instance_and_of_its_user_data(metadata: FakeMetadata, tmp_path: Path) -> None:
    done, output = run(metadata, tmp_path)
    assert done.returncode == 0, done.stderr
    assert output.read_text() == (
        'FACE_BUCKET="photos"\n'
        'FACE_INSTANCE_ID="i-0123456789abcdef0"\n'
        'FACE_REGION="eu-central-1"\n'
        'FACE_REQUEST_QUEUE_URL="https://sqs.eu-central-1.amazonaws.com/1/face-requests?a=b"\n'
        f'FACE_SLOTS="{len(os.sched_getaffinity(0))}"\n'
        'FACE_WORKER_NAME="i-0123456789abcdef0"\n'
    )
    assert output.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("metadata", [(b"FACE_SLOTS=7\nFACE_WORKER_NAME=seven\nFACE_REGION=mars",)], indirect=True)
def test_user_data_wins(metadata: FakeMetadata, tmp_path: Path) -> None:
    done, output = run(metadata, tmp_path)
    assert done.returncode == 0, done.stderr
    lines = output.read_text().splitlines()
    assert {'FACE_SLOTS="7"', 'FACE_WORKER_NAME="seven"', 'FACE_REGION="mars"'} < set(lines)


@pytest.mark.parametrize("metadata", [(None,)], indirect=True)
def test_an_instance_without_user_data_has_its_own_settings(metadata: FakeMetadata, tmp_path: Path) -> None:
    done, output = run(metadata, tmp_path)
    assert done.returncode == 0, done.stderr
    assert 'FACE_INSTANCE_ID="i-0123456789abcdef0"' in output.read_text()


@pytest.mark.parametrize("metadata", [(USER_DATA, 2)], indirect=True)
def test_a_service_that_is_not_ready_is_waited_for(metadata: FakeMetadata, tmp_path: Path) -> None:
    done, output = run(metadata, tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("trying again") == 2
    assert output.exists()


@pytest.mark.parametrize(
    "metadata",
    [
        (b"FACE_BUCKET=photos\nexport SECRET=1\n",),
        (b"FACE_BUCKET=photos\nLD_PRELOAD=/tmp/x.so\n",),
        (b"FACE_A=1\n\xff",),
    ],
    indirect=True,
)
def test_user_data_that_is_no_settings_is_refused(metadata: FakeMetadata, tmp_path: Path) -> None:
    done, output = run(metadata, tmp_path)
    assert done.returncode == 1
    assert "user data, line 2: not FACE_NAME=value" in done.stderr or "user-data is not text" in done.stderr
    assert "SECRET" not in done.stderr
    assert not output.exists()


@pytest.mark.parametrize("metadata", [(b'FACE_BUCKET=a"b\\c',)], indirect=True)
def test_values_are_quoted_as_the_service_manager_reads_them(metadata: FakeMetadata, tmp_path: Path) -> None:
    _, output = run(metadata, tmp_path)
    assert 'FACE_BUCKET="a\\"b\\\\c"\n' in output.read_text()


def test_an_old_processor_is_refused_by_name(metadata: FakeMetadata, tmp_path: Path) -> None:
    done, output = run(metadata, tmp_path, HASWELL.replace(" avx2", "").replace(" fma", ""))
    assert done.returncode == 1
    assert "this processor has no avx2, fma" in done.stderr
    assert not output.exists()
