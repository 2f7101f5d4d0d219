"""Starts the web service: reads the environment, serves until SIGTERM."""

import logging
import os
import signal
import sys
import warnings

import PIL.Image
from pydantic import ValidationError

from face_common import logs
from face_common.systemd import Systemd
from face_web.access import is_loopback
from face_web.application import create_app
from face_web.assembly import build
from face_web.server import Server
from face_web.settings import WebSettings

_STOP_SIGNALS = frozenset({signal.SIGTERM, signal.SIGINT})


def main() -> int:
    """Run the web service; 0 after SIGTERM, 1 when the server ended by itself, 2 when the settings are wrong."""
    try:
        settings = WebSettings()
    except ValidationError as error:
        print(error, file=sys.stderr)
        return 2
    logs.set_up(settings.log_level)
    # Pillow only reads headers here, and the service has a pixel limit of its own.
    warnings.simplefilter("ignore", PIL.Image.DecompressionBombWarning)
    signal.pthread_sigmask(signal.SIG_BLOCK, _STOP_SIGNALS)  # before there are threads, which inherit it
    systemd = Systemd(os.environ, os.getpid())
    sockets = systemd.sockets()
    if settings.access == "open" and not all(is_loopback(str(held.getsockname()[0])) for held in sockets):
        print("access without keys is for loopback addresses only", file=sys.stderr)
        return 2
    door = build(settings)
    server = Server(create_app(door.services), settings, sockets)
    door.start()
    server.start()
    logging.getLogger("face_web").info("ready", extra={"addresses": server.addresses})
    systemd.ready()
    while server.is_running:
        if door.is_turning:
            systemd.alive()
        if signal.sigtimedwait(_STOP_SIGNALS, min(1.0, systemd.watchdog_seconds / 2)) is not None:
            systemd.stopping()
            door.leave(server, settings.drain_seconds)
            return 0
    door.abandon()  # whose threads would keep the process from ending
    return 1


if __name__ == "__main__":
    sys.exit(main())
