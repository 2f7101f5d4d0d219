"""Installs what a target needs into virtual environments of this checkout, from the hashed locks.

    python3 scripts/setup.py run      web, app and client in .venv, LocalStack in .venv-localstack
    python3 scripts/setup.py dev      the same, with the tools for testing and linting
    python3 scripts/setup.py deploy   what `run` installs, and Ansible in .venv-deploy
    python3 scripts/setup.py hosts    what `dev` and `deploy` install
    python3 scripts/setup.py checks   all of these, and checkov in .venv-checkov

Only the standard library is used. A second call sees by checksum that nothing has changed and ends at once.
"""

import fcntl
import hashlib
import os
import subprocess
import sys
import threading
import time
import venv
from collections.abc import Callable, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
OWN = ("common", "web", "app", "client")
LOCKS = {"run": ("build", "web", "app", "client"), "dev": ("dev",)}
APART = ("localstack", "deploy", "checkov")
"""Each in a virtual environment of its own, by a lock of the same name: their pins would hold the services' back."""
KINDS = {
    "run": ("run", "localstack"),
    "dev": ("dev", "localstack"),
    "deploy": ("run", "localstack", "deploy"),
    "hosts": ("dev", "localstack", "deploy"),
    "checks": ("dev", "localstack", "deploy", "checkov"),
}
_print_lock = threading.Lock()


def main() -> int:
    """Install; 1 when a package could not be."""
    kind = sys.argv[1]
    lock = (ROOT / ".setup.lock").open("w")
    fcntl.flock(lock, fcntl.LOCK_EX)  # `make run` and `make demo` may be started at the same time
    parts = [part for part in KINDS[kind] if part != "localstack" or os.environ.get("LOCALSTACK", "host") != "docker"]
    install = {part: _install_apart if part in APART else _install_services for part in parts}
    jobs = [threading.Thread(target=_guarded, args=(install[part], part)) for part in parts]
    for job in jobs:
        job.start()
    for job in jobs:
        job.join()
    return 1 if _failures else 0


_failures: list[str] = []


def _guarded(install: Callable[[str], None], kind: str) -> None:
    try:
        install(kind)
    except Exception as error:
        _failures.append(str(error))
        _say("failed", str(error))


def _install_services(kind: str) -> None:
    folder = ROOT / ".venv"
    # What the tools need includes what running needs: `make run` keeps what `make test` has installed.
    if any(_is_current(folder, sufficient) for sufficient in {kind, "dev"}):
        return
    _make(folder)
    locks = [argument for lock in _locks(kind) for argument in ("-r", str(lock))]
    _pip(folder, "services", ["--require-hashes", *locks])
    editable = [argument for name in OWN for argument in ("--editable", str(ROOT / "services" / name))]
    _pip(folder, "services", ["--no-build-isolation", "--no-index", *editable])
    _stamp(folder, kind).write_text(_checksum(kind))


def _install_apart(kind: str) -> None:
    folder = ROOT / f".venv-{kind}"
    if _is_current(folder, kind):
        return
    _make(folder)
    _pip(folder, kind, ["--require-hashes", *(f"-r{lock}" for lock in _locks(kind))])
    _stamp(folder, kind).write_text(_checksum(kind))


def _locks(kind: str) -> list[Path]:
    return [ROOT / "requirements" / f"{name}.txt" for name in LOCKS.get(kind, (kind,))]


def _is_current(folder: Path, kind: str) -> bool:
    """Whether the folder holds exactly what this kind of installation would put there."""
    stamp = _stamp(folder, kind)
    return stamp.exists() and stamp.read_text() == _checksum(kind)


def _stamp(folder: Path, kind: str) -> Path:
    return folder / f".installed-{kind}"


def _checksum(kind: str) -> str:
    """Of all that decides what is installed: place, interpreter, locks and the distributions' own declarations."""
    digest = hashlib.sha256(f"{ROOT} {sys.version}".encode())
    for file in (*_locks(kind), *(ROOT / "services" / name / "pyproject.toml" for name in OWN)):
        digest.update(file.read_bytes())
    return digest.hexdigest()


def _make(folder: Path) -> None:
    """Make the virtual environment, unless there is one for this interpreter in this place: a service may run on it."""
    mark, identity = folder / ".made-for", f"{ROOT} {sys.executable} {sys.version}"
    if not mark.exists() or mark.read_text() != identity:
        _say(folder.name, f"virtual environment for Python {sys.version.split()[0]}")
        venv.EnvBuilder(clear=True, with_pip=True, symlinks=True).create(folder)
        mark.write_text(identity)


def _pip(folder: Path, name: str, arguments: Sequence[str]) -> None:
    """Run pip install, with a line for each package; RuntimeError with the end of its output when it fails."""
    command = [str(folder / "bin" / "python"), "-m", "pip", "install", "--no-deps", "--no-input", "--progress-bar=off"]
    command += ["--disable-pip-version-check", "--root-user-action=ignore"]
    began = time.monotonic()
    output: list[str] = []
    with subprocess.Popen(
        [*command, *arguments], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        assert process.stdout is not None  # it is a pipe
        for line in process.stdout:
            output.append(line.rstrip())
            if line.startswith(("Collecting ", "Obtaining ", "Installing ")):
                _say(name, line.split(" (from")[0].strip()[:100])
    if process.returncode:
        raise RuntimeError(f"pip could not install into {folder.name}:\n" + "\n".join(output[-15:]))
    _say(name, f"installed in {time.monotonic() - began:.0f} s")


def _say(name: str, text: str) -> None:
    with _print_lock:
        print(f"  {name:<10}  {text}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
