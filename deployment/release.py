"""Builds what is installed on hosts: for each service one archive with all wheels, offline, from the hashed locks.

A release is named by version and content: building the same sources again gives the same name, and builds nothing.
"""

import hashlib
import json
import re
import shutil
import sys
import tarfile
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from packaging.requirements import Requirement

from deployment.options import ROOT
from deployment.steps import run

SERVICES = {"web": "web", "worker": "app"}
"""Services, and the distribution of each."""
_KEPT = 3
_PYTHON = "3.11"  # Debian 12's
_PLATFORMS = ("manylinux_2_28_x86_64", "manylinux_2_27_x86_64", "manylinux_2_17_x86_64", "manylinux2014_x86_64")
_HOST = {  # what a host's Python answers to environment markers, whatever builds the release
    "implementation_name": "cpython",
    "os_name": "posix",
    "platform_machine": "x86_64",
    "platform_python_implementation": "CPython",
    "platform_system": "Linux",
    "python_full_version": "3.11.2",
    "python_version": _PYTHON,
    "sys_platform": "linux",
}


@dataclass(frozen=True, slots=True)
class Release:
    """What is deployed together."""

    name: str
    version: str
    file: Path
    """What Ansible reads: the name, and each service's archive, which lies in the same folder, with its checksum."""


def build(folder: Path, version: str = "") -> Release:
    """The release of this checkout, made now unless the folder has it; `version` replaces the sources' own."""
    own = own_version()
    version = version or own
    name = f"{version}-{_checksum(version)}"
    archives: dict[str, dict[str, str]] = {}
    for service, distribution in SERVICES.items():
        path = folder / f"face-{service}-{name}.tar"
        if not path.exists():
            with tempfile.TemporaryDirectory(dir=_made(folder)) as scratch:
                told = {"service": service, "release": name, "version": version, "python": _PYTHON}
                (Path(scratch) / "release.json").write_text(json.dumps(told, indent=1) + "\n")
                _collect(Path(scratch), distribution, own, version)
                _pack(Path(scratch)).rename(path)
        archives[service] = {"path": path.name, "sha256": hashlib.sha256(path.read_bytes()).hexdigest()}
    _forget_old(folder)
    file = folder / f"{name}.json"
    file.write_text(json.dumps({"release": name, "version": version, "archives": archives}, indent=1) + "\n")
    return Release(name, version, file)


def _forget_old(folder: Path) -> None:
    """Hosts keep a few releases; what is older is of no use here either."""
    for service in SERVICES:
        newest_first = sorted(folder.glob(f"face-{service}-*.tar"), key=lambda path: path.stat().st_mtime, reverse=True)
        for path in newest_first[_KEPT:]:
            path.unlink()


def own_version() -> str:
    """The version that the sources state."""
    found = re.search(r'^version = "(.+)"$', (ROOT / "services/common/pyproject.toml").read_text(), re.MULTILINE)
    assert found is not None  # a test holds the four to one version
    return found[1]


def _checksum(version: str) -> str:
    """Of all that goes into the archives."""
    digest = hashlib.sha256(version.encode())
    sources = [
        file for name in ("common", *SERVICES.values()) for file in sorted((ROOT / "services" / name).rglob("*"))
    ]
    locks = [ROOT / "requirements" / f"{name}.txt" for name in SERVICES.values()]
    for file in (*sources, *locks):
        if file.is_file() and "__pycache__" not in file.parts:
            digest.update(f"{file.relative_to(ROOT)} ".encode() + file.read_bytes())
    return digest.hexdigest()[:12]


def _made(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _collect(folder: Path, distribution: str, own: str, version: str) -> None:
    """All wheels of a distribution, third parties' and our own, in the folder's `wheels`."""
    wheels = folder / "wheels"
    _download(ROOT / "requirements" / f"{distribution}.txt", folder, wheels)
    for source in ("common", distribution):
        copy = folder / source
        shutil.copytree(ROOT / "services" / source, copy, ignore=shutil.ignore_patterns("__pycache__"))
        _set_version(copy / "pyproject.toml", own, version)
        _pip("wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", str(wheels), str(copy))


def _download(lock: Path, folder: Path, wheels: Path) -> None:
    """All packages of a lock as wheels for a host; what comes as source is built here, and must be pure Python."""
    chosen = folder / lock.name
    chosen.write_text("".join(for_host(lock.read_text())))
    platforms = [f"--platform={platform}" for platform in _PLATFORMS]
    options = ["--no-deps", "--require-hashes", f"--python-version={_PYTHON}", "--implementation=cp", *platforms]
    _pip("download", *options, "--dest", str(wheels), "-r", str(chosen))
    for source in wheels.glob("*.tar.gz"):
        _pip("wheel", "--no-deps", "--wheel-dir", str(wheels), str(source))
        source.unlink()


def for_host(lock: str) -> Iterator[str]:
    """The entries of a lock that a host installs, without markers: pip would evaluate them for this machine."""
    for entry in re.split(r"(?m)^(?=[A-Za-z0-9])", lock):
        head, _, hashes = entry.partition("\\\n")
        if not hashes:
            continue  # the comment above the entries
        wanted = Requirement(head.strip())
        if wanted.marker is None or wanted.marker.evaluate(_HOST):
            yield f"{wanted.name}{wanted.specifier} \\\n{hashes}"


def _set_version(project: Path, own: str, version: str) -> None:
    """Give the copy of a distribution another version, and let it ask for the others of that version."""
    text = project.read_text()
    text = text.replace(f'version = "{own}"', f'version = "{version}"').replace(f"=={own}", f"=={version}")
    project.write_text(text)


def _pack(folder: Path) -> Path:
    """A tar of the wheels and release.json, the same bytes whenever and by whomever it is made."""

    def anonymous(entry: tarfile.TarInfo) -> tarfile.TarInfo:
        entry.uid = entry.gid = entry.mtime = 0
        entry.uname = entry.gname = "root"
        entry.mode = 0o644
        return entry

    target = folder / "archive.tar"
    with tarfile.open(target, "w") as archive:
        for file in (*sorted((folder / "wheels").iterdir()), folder / "release.json"):
            archive.add(file, str(file.relative_to(folder)), filter=anonymous)
    return target


def _pip(*arguments: str) -> None:
    quiet = ["--quiet", "--quiet", "--disable-pip-version-check", "--no-input"]
    command = [sys.executable, "-m", "pip", arguments[0], *quiet, *arguments[1:]]
    run(command, what=f"pip {arguments[0]}")
