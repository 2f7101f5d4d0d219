"""`make run`: the whole service on this machine until Ctrl-C."""

import fcntl
import os
import signal
import sys
import time
from pathlib import Path
from typing import TextIO

from local.processes import StartError, interrupt, on_stop_signals
from local.stack import ROOT, USUAL_PORT, Options, Stack

_READY = """
Elastic Face Recognition is up: open {url} in a browser. Or in another shell:

  make demo{port_note}
  curl -F image=@photo.jpg {url}/v1/identifications

{open_note}Logs are in {logs}. Ctrl-C stops everything.
"""
_OPEN = """\
No key is needed: it is open to everybody on this machine, and to nobody else. FACE_ACCESS=keys asks for keys.
"""


def main() -> int:
    """Run until Ctrl-C or SIGTERM; 1 when a part did not come up or died."""
    try:
        options = _options()
        lock = _lock(options.state)  # held until this process ends
    except StartError as error:
        print(f"make run: {error}", file=sys.stderr)
        return 2
    stack = Stack(options, tell=lambda line: print(f"  {line}", flush=True))
    on_stop_signals(interrupt)  # SIGINT too: a shell's background job starts with it ignored
    try:
        return _serve(stack, options)
    finally:
        on_stop_signals(signal.SIG_IGN)  # once is enough
        print("\nstopping", flush=True)
        stack.stop()
        lock.close()


def _serve(stack: Stack, options: Options) -> int:
    try:
        stack.start()
        port_note = "" if options.port == USUAL_PORT else f" PORT={options.port}"
        open_note = "" if options.settings.get("FACE_ACCESS") == "keys" else _OPEN
        logs = options.state / "logs"
        print(_READY.format(url=stack.url, port_note=port_note, open_note=open_note, logs=logs), flush=True)
        while True:
            time.sleep(0.5)
            stack.watch()
    except KeyboardInterrupt:
        return 0
    except StartError as error:
        print(f"\n{error}", file=sys.stderr, flush=True)
        return 1


def _options() -> Options:
    """From the make variables."""
    most = _whole("MAX_WORKERS", os.cpu_count() or 1, 1, 256)
    return Options(
        port=_whole("PORT", USUAL_PORT, 1, 65535),
        min_workers=_whole("MIN_WORKERS", 1, 0, most),
        max_workers=most,
        boot_seconds=_whole("BOOT_SECONDS", 0, 0, 3600),
        warm_boot_seconds=_whole("WARM_BOOT_SECONDS", 0, 0, 3600),
        state=Path(os.environ.get("STATE") or ROOT / ".local"),
        docker=os.environ.get("LOCALSTACK", "host") == "docker",
        settings={key: value for key, value in os.environ.items() if key.startswith("FACE_") and key != "FACE_KEY"},
    )


def _whole(name: str, default: int, low: int, high: int) -> int:
    text = os.environ.get(name) or str(default)
    if not text.isdecimal() or not low <= int(text) <= high:
        raise StartError(f"{name} is a whole number from {low} to {high}, not {text!r}")
    return int(text)


def _lock(state: Path) -> TextIO:
    """One run at a time over one state folder: two would overwrite each other's galleries."""
    state.mkdir(parents=True, exist_ok=True)
    lock = (state / "lock").open("w")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        raise StartError(f"another 'make run' is under way in {state.parent}") from error
    return lock


if __name__ == "__main__":
    sys.exit(main())
