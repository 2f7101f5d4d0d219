"""Installs what a target needs into virtual environments of this checkout, from the hashed locks.

    python3 scripts/setup.py run    web, app and client in .venv, LocalStack in .venv-localstack
    python3 scripts/setup.py dev    the same, with the tools for testing and linting

Only the standard library is used. A second call sees by checksum that nothing has changed and ends at once.
"""

import hashlib
import os
import subprocess
import sys
import threading
import time
import venv
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
OWN = ("common", "web", "app", "client")
LOCKS = {"run": ("build", "web", "app", "client"), "dev": ("dev",)}
_print_lock = threading.Lock()


def main() -> int:
    """Install; 1 when a package could not be."""
    kind = sys.argv[1]
    jobs = [threading.Thread(target=_guarded, args=(_install_services, kind))]
    if os.environ.get("LOCALSTACK", "host") != "docker":
        jobs.append(threading.Thread(target=_guarded, args=(_install_localstack,)))
    for job in jobs:
        job.start()
    for job in jobs:
        job.join()
    return 1 if _failures else 0


_failures: list[str] = []


def _guarded(install, *arguments) -> None:  # type: ignore[no-untyped-def]
    try:
        install(*arguments)
    except Exception as error:
        _failures.append(str(error))
        _say("failed", str(error))


def _install_services(kind: str) -> None:
    folder = ROOT / ".venv"
    locks = [ROOT / "requirements" / f"{name}.txt" for name in LOCKS[kind]]
    projects = [ROOT / "services" / name for name in OWN]
    checksum = _checksum([*locks, *(project / "pyproject.toml" for project in projects)])
    # What the tools need includes what running needs, so that `make run` keeps what `make test` installed.
    done = {_checksum_of(folder, "dev"), _checksum_of(folder, kind)}
    if checksum in done or (kind == "run" and _checksum_of(folder, "dev") == _dev_checksum(projects)):
        return
    _make(folder)
    _pip(folder, "services", [argument for lock in locks for argument in ("-r", str(lock))], hashes=True)
    editable = [argument for project in projects for argument in ("--editable", str(project))]
    _pip(folder, "services", ["--no-build-isolation", "--no-index", *editable], hashes=False)
    (folder / f".installed-{kind}").write_text(checksum)


def _install_localstack() -> None:
    folder, lock = ROOT / ".venv-localstack", ROOT / "requirements" / "localstack.txt"
    checksum = _checksum([lock])
    if _checksum_of(folder, "localstack") == checksum:
        return
    _make(folder)
    _pip(folder, "localstack", ["-r", str(lock)], hashes=True)
    (folder / ".installed-localstack").write_text(checksum)


def _dev_checksum(projects: Sequence[Path]) -> str:
    lock = ROOT / "requirements" / "dev.txt"
    return _checksum([lock, *(project / "pyproject.toml" for project in projects)])


def _checksum(files: Sequence[Path]) -> str:
    """Of the files' contents and the interpreter: another Python needs another environment."""
    digest = hashlib.sha256(sys.version.encode())
    for file in files:
        digest.update(file.read_bytes())
    return digest.hexdigest()


def _checksum_of(folder: Path, kind: str) -> str:
    stamp = folder / f".installed-{kind}"
    return stamp.read_text() if stamp.exists() else ""


def _make(folder: Path) -> None:
    _say(folder.name, f"virtual environment for Python {sys.version.split()[0]}")
    venv.EnvBuilder(clear=True, with_pip=True, symlinks=True).create(folder)


def _pip(folder: Path, name: str, arguments: Sequence[str], *, hashes: bool) -> None:
    """Run pip install, with a line for each package; RuntimeError with the end of its output when it fails."""
    command = [str(folder / "bin" / "python"), "-m", "pip", "install", "--no-deps", "--no-input", "--progress-bar=off"]
    command += ["--disable-pip-version-check", "--root-user-action=ignore", *(["--require-hashes"] if hashes else [])]
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
