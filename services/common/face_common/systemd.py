"""Talks to the service manager in systemd's way: tells how this process is, takes over the sockets held for it."""

import math
import socket
from collections.abc import Mapping
from contextlib import suppress

_FIRST_SOCKET = 3  # the descriptors that are handed over begin here, by the protocol
_PATIENCE_SECONDS = 1.0  # a manager that does not listen must not keep the service from its work


class Systemd:
    """The service manager that started this process. Where there is none, nothing is told and no socket is held."""

    def __init__(self, environment: Mapping[str, str], pid: int) -> None:
        """`environment` and `pid` are this process's own: what was meant for its parent is not for it."""
        address = environment.get("NOTIFY_SOCKET", "")
        self._address = f"\0{address[1:]}" if address.startswith("@") else address
        watched = environment.get("WATCHDOG_PID", str(pid)) == str(pid)
        microseconds = int(environment.get("WATCHDOG_USEC", 0)) if watched else 0
        self.watchdog_seconds = microseconds / 1e6 if microseconds else math.inf
        """A process that has not said for so long that it is alive is killed; infinite: nobody watches."""
        self._held = int(environment.get("LISTEN_FDS", 0)) if environment.get("LISTEN_PID") == str(pid) else 0

    def sockets(self) -> list[socket.socket]:
        """The listening sockets that the manager holds for this service. Call it once: they are the caller's."""
        sockets = [socket.socket(fileno=_FIRST_SOCKET + number) for number in range(self._held)]
        for one in sockets:
            one.set_inheritable(False)
        return sockets

    def ready(self) -> None:
        """The service serves."""
        self._tell("READY=1")

    def alive(self) -> None:
        """The service is well: say so at least every half of `watchdog_seconds`."""
        if self.watchdog_seconds < math.inf:
            self._tell("WATCHDOG=1")

    def stopping(self) -> None:
        """The service is about to end. From here on nobody watches; how long that may take is for the unit to say."""
        self._tell("STOPPING=1")

    def _tell(self, state: str) -> None:
        if not self._address:
            return
        with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as channel:
            channel.settimeout(_PATIENCE_SECONDS)
            channel.sendto(state.encode(), self._address)
