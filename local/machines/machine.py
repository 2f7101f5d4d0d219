"""One machine: Debian under systemd-nspawn, in its own network namespace and cgroups."""

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from local.hosts import Ending
from local.machines import cgroups
from local.machines.disk import Disk
from local.machines.metadata import Facts
from local.machines.network import Link, machine_name
from local.processes import Part, service_environment

_POWER_OFF = ("SIGRTMIN+4", signal.SIGRTMIN + 4)  # systemd(1): start poweroff.target
_REBOOTED = 133  # systemd-nspawn --keep-unit leaves it to others to boot the machine again
_ASK_AGAIN_SECONDS = 1.0  # a machine that is still booting does not hear it
# Enters the cgroups named before "--", then becomes the command after it.
_ENTER = 'until [ "$1" = -- ]; do echo $$ >"$1/cgroup.procs" || exit 1; shift; done; shift; exec "$@"'


class Machine:
    """The machine behind one instance; its disk and its cable stay while it is shut down."""

    def __init__(
        self, facts: Facts, folder: Path, *, user_data: Callable[[], bytes | None], public_key: str, log: Path
    ) -> None:
        """`folder` is for its disk; `user_data` is asked for at every boot; `public_key` lets root in."""
        self.name = facts.instance
        self.facts = facts
        self.disk: Disk | None = None
        """None until its image is known: see `insert`."""
        self.started_at = 0.0
        self._folder = folder
        self._user_data = user_data
        self._public_key = public_key
        self._log = log
        self._short = machine_name(facts.instance)
        self.link = Link(self._short, facts.address)
        self._part: Part | None = None
        self._leaves = False  # whether it may have left something in the system
        self._held = threading.Lock()
        self._asked_at = 0.0  # when it was last asked to shut down

    def insert(self, lowers: Sequence[Path]) -> None:
        """Give it a disk over these layers, the topmost first."""
        self.disk = Disk(self._short, self._folder, lowers)

    def start(self) -> None:
        """Boot it; StartError when the system does not let us."""
        assert self.disk is not None  # inserted before the first start
        with self._held:
            self._asked_at = 0.0
            self._clean()
            self._leaves = True
            self.facts = replace(self.facts, user_data=self._user_data())
            self.disk.mount()
            self.disk.personalise(self.facts.address, self._public_key)
            self.link.add()
            self._part = self._nspawn(cgroups.make(self._short), self.disk.root)
            self._part.start()
            self.started_at = self._part.started_at

    def terminate(self) -> None:
        """Shut it down as its power button does: services get SIGTERM, and their time to stop."""
        self._asked_at = time.monotonic()
        if (init := cgroups.init(self._short)) is not None:
            os.kill(init, _POWER_OFF[1])

    def kill(self) -> None:
        """End it at once, as if its power failed: its init goes, and the kernel ends the rest.

        Never systemd-nspawn itself: the machine would go on without it.
        """
        if not kill(self._short) and self._part is not None:
            self._part.kill()  # it has no init yet, or no more

    def ended(self) -> int | None:
        """The exit status if it is down, else None."""
        status = self._part.ended() if self._part is not None else None
        if status is None and self._asked_at and time.monotonic() - self._asked_at > _ASK_AGAIN_SECONDS:
            self.terminate()
        return status

    def ending(self) -> Ending:
        """How it went down when nobody had asked from outside."""
        known: dict[int | None, Ending] = {0: "halted", _REBOOTED: "rebooted"}
        return known.get(self.ended(), "crashed")

    def log_tail(self) -> str:
        """The last lines of its console."""
        return self._part.log_tail() if self._part is not None else ""

    def cut(self) -> None:
        """Cut it off the network."""
        self.link.cut()

    def heal(self) -> None:
        """Connect it again."""
        self.link.heal()

    @property
    def is_held(self) -> bool:
        """Whether somebody needs it to stay down."""
        return self._held.locked()

    @contextmanager
    def held(self) -> Iterator[bool]:
        """Keep it from starting meanwhile; yields whether it has been up and is down, with its disk unmounted."""
        with self._held:
            down = self._part is not None and self._part.ended() is not None
            if down:
                self._clean()
            yield down

    def disconnect(self) -> None:
        """Take its cable and its namespace away. It is down, for ever."""
        self._clean()
        self.link.remove()

    def _clean(self) -> None:
        if not self._leaves:
            return
        cgroups.remove(self._short)
        if self.disk is not None:
            self.disk.unmount()
        self._leaves = False

    def _nspawn(self, groups: Sequence[Path], root: Path) -> Part:
        command = ["systemd-nspawn", "--quiet", f"--directory={root}", f"--machine={self._short}"]
        command += ["--register=no", "--keep-unit", f"--kill-signal={_POWER_OFF[0]}"]
        command += [f"--network-namespace-path={self.link.path}", "--capability=CAP_NET_ADMIN", "--resolv-conf=off"]
        command += ["--timezone=off", "--link-journal=no", "--setenv=TERM=dumb"]
        command += ["/usr/local/lib/machine/init"]
        enter = ["/bin/sh", "-c", _ENTER, "sh", *map(str, groups), "--"]
        return Part(self.name, [*enter, *command], service_environment({}), self._log)


def kill(short: str) -> bool:
    """Kill the init of the machine with this short name; whether there was one."""
    init = cgroups.init(short)
    if init is not None:
        os.kill(init, signal.SIGKILL)
    return init is not None
