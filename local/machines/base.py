"""The root that every machine starts from: a small Debian, made once and kept in the user's cache."""

import fcntl
import hashlib
import os
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from local.machines.shell import run, succeeds
from local.processes import StartError

SUITE = "bookworm"
_COMMANDS = {"debootstrap": "debootstrap", "systemd-nspawn": "systemd-container", "ip": "iproute2"}
_FILES = Path(__file__).with_name("files")
# What Amazon's Debian image has, and what the roles would fetch from a package index that machines cannot reach.
_PACKAGES = (
    *("systemd", "systemd-sysv", "systemd-timesyncd", "dbus", "libpam-systemd", "openssh-server", "sudo", "procps"),
    *("python3", "python3-venv", "python3-apt", "python3-packaging", "libgomp1", "ca-certificates", "curl", "openssl"),
    *("nginx-light", "nftables", "unattended-upgrades", "iproute2", "rsync"),
)
_SERVICES = ("ssh-host-key", "user-data")
_NOT_STARTED = ("nginx",)  # started where a role says so
_NOT_NEEDED = (
    "var/cache/apt",
    "var/lib/apt/lists",
    "usr/share/doc",
    "usr/share/man",
    "usr/share/locale",
    "var/log/apt",
)
IDENTITY = ("var/log/journal", "var/lib/user-data", "etc/ssh/ssh_host_*", "var/lib/systemd/random-seed")
"""What makes one machine this machine and no other, beside its machine-id: never part of a base or an image."""

Tell = Callable[[str], None]


def base_root(tell: Tell, cache: Path | None = None) -> Path:
    """The base's root folder, built when there is none of this recipe yet (minutes; needs root and a Debian mirror).

    StartError when it cannot be had; the message says what to do.
    """
    prepare_host(tell)
    cache = cache or Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "elastic-face" / "machines"
    base = cache / f"base-{_checksum()}"
    cache.mkdir(parents=True, exist_ok=True)
    with _locked(cache / "lock", tell):
        if not base.exists():
            _build(base, tell)
    return base


def prepare_host(tell: Tell) -> None:
    """StartError unless machines can run here; missing packages are installed."""
    if os.geteuid() != 0:
        raise StartError("machines need root: they are mounts, network namespaces and cgroups")
    missing = [package for command, package in _COMMANDS.items() if shutil.which(command) is None]
    if not missing:
        return
    install = f"apt-get install --yes --no-install-recommends {' '.join(missing)}"
    tell(f"installing {', '.join(missing)}")
    try:
        run("apt-get", "update")
        run(*install.split())
    except StartError as error:
        raise StartError(f"machines need {', '.join(missing)}; run: apt-get update && {install}\n{error}") from error


def clear_identity(root: Path) -> None:
    """Make the root nobody's: the machine that boots from it makes its own identity."""
    for pattern in IDENTITY:
        for path in root.glob(pattern):
            shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
    if (root / "etc").is_dir():
        (root / "etc" / "machine-id").write_text("")  # systemd makes one; without the file it would reset all presets


def _checksum() -> str:
    digest = hashlib.sha256(repr((SUITE, _PACKAGES, _SERVICES, _NOT_STARTED, _NOT_NEEDED, IDENTITY)).encode())
    for file in _files():
        digest.update(str(file.relative_to(_FILES)).encode() + file.read_bytes())
    return digest.hexdigest()[:16]


def _files() -> list[Path]:
    return sorted(file for file in _FILES.rglob("*") if file.is_file())


def _build(base: Path, tell: Tell) -> None:
    """Build under another name: a base that was begun and not finished is none."""
    began, unfinished = time.monotonic(), base.with_suffix(".part")
    for name in ("proc", "sys"):
        succeeds("umount", "--lazy", str(unfinished / name))  # debootstrap's, when it was killed
    shutil.rmtree(unfinished, ignore_errors=True)
    tell("building the machines' Debian: once, some minutes")
    run("debootstrap", "--variant=minbase", f"--include={','.join(_PACKAGES)}", SUITE, str(unfinished), *_mirror())
    for name in _NOT_NEEDED:
        for path in (unfinished / name).glob("*"):
            shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
    for file in _files():
        target = unfinished / file.relative_to(_FILES)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(file, target)
        target.chmod(0o755 if file.read_bytes().startswith(b"#!") else 0o644)
    run("systemctl", f"--root={unfinished}", "--quiet", "enable", *_SERVICES)
    run("systemctl", f"--root={unfinished}", "--quiet", "disable", *_NOT_STARTED)
    (unfinished / "etc" / "resolv.conf").write_text("# no name server: everything is reached by its address\n")
    clear_identity(unfinished)
    dbus = unfinished / "var" / "lib" / "dbus" / "machine-id"
    dbus.unlink(missing_ok=True)
    dbus.symlink_to("/etc/machine-id")
    unfinished.rename(base)
    tell(f"built {base} in {time.monotonic() - began:.0f} s")


def _mirror() -> list[str]:
    """Where this machine's own packages of the suite come from; nothing for debootstrap's usual place."""
    targets = run("apt-get", "indextargets", "--format", "$(RELEASE) $(ORIGIN) $(SITE)", "Created-By: Packages")
    for line in targets.splitlines():
        match line.split():
            case [release, "Debian", site] if release == SUITE:
                return [site]
    return []


@contextmanager
def _locked(lock: Path, tell: Tell) -> Iterator[None]:
    with lock.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            tell("waiting for another build of the machines' Debian")
            fcntl.flock(file, fcntl.LOCK_EX)
        yield
