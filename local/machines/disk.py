"""A machine's disk: a writable layer of its own over read-only ones that it shares with others."""

import os
import shutil
from collections.abc import Sequence
from pathlib import Path

from local.machines.metadata import hostname
from local.machines.network import NAME
from local.machines.shell import run, succeeds


class Disk:
    """The overlay of one machine in a folder of its own."""

    def __init__(self, name: str, folder: Path, lowers: Sequence[Path]) -> None:
        """`name` is the mount's; `lowers` are the shared layers, the topmost first."""
        self._name = name
        self.folder = folder
        self.root = folder / "root"
        self.upper = folder / "upper"
        self.lowers = tuple(lowers)

    def mount(self) -> None:
        """Make `root` the machine's root folder."""
        if os.path.ismount(self.root):
            return
        work = self.folder / "work"
        for path in (self.root, self.upper, work):
            path.mkdir(parents=True, exist_ok=True)
        layers = f"lowerdir={':'.join(map(str, self.lowers))},upperdir={self.upper},workdir={work}"
        run("mount", "-t", "overlay", self._name, "-o", layers, str(self.root))

    def unmount(self) -> None:
        """Leave the layers as they are, unused."""
        unmount(self.root)

    def personalise(self, address: str, public_key: str) -> None:
        """Write what EC2 gives an instance: its host name, and root's key. The disk is mounted."""
        name = hostname(address)
        (self.root / "etc" / "hostname").write_text(f"{name}\n")
        (self.root / "etc" / "hosts").write_text(f"127.0.0.1 localhost\n::1 localhost\n{address} {name}\n")
        folder = self.root / "root" / ".ssh"
        folder.mkdir(mode=0o700, exist_ok=True)
        (folder / "authorized_keys").write_text(f"{public_key}\n")

    def remove(self) -> None:
        """Remove it with all that was written to it."""
        self.unmount()
        shutil.rmtree(self.folder, ignore_errors=True)


def mounts() -> list[Path]:
    """Where machines' disks are mounted, whoever has mounted them."""
    lines = [line.split() for line in Path("/proc/self/mounts").read_text().splitlines()]
    roots = [fields[1] for fields in lines if fields[2] == "overlay" and NAME.fullmatch(fields[0])]
    return [Path(root.encode().decode("unicode_escape")) for root in roots]


def unmount(root: Path) -> None:
    """Unmount, if it is mounted; what is still open there keeps it in the dark until it is closed."""
    if os.path.ismount(root) and not succeeds("umount", str(root)):
        run("umount", "--lazy", str(root))
