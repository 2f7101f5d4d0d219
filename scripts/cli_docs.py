"""Writes what the commands in docs/cli.md print: each `$ face ...` in a console block is run against a running service.

FACE_URL is its address; it must be open to this machine, and the collection `docs` is made anew in it. The words of the
page are written by hand, the answers are not.
"""

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

from local.samples import samples

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "cli.md"
_BLOCK = re.compile(r"(?<=```console\n).*?(?=```)", re.DOTALL)
_SECRET = re.compile(r"face_([a-z0-9]+)_[A-Za-z0-9_-]{20,}")
_LONGEST = 180
_PHOTOS = ("obama2.jpg", "obama3.jpg", "astronaut.png", "chelsea.png")
_PEOPLE = {
    "Barack Obama": ("obama.jpg", "obama_partial_face.jpg", "chelsea.png"),
    "Joe Biden": ("biden.jpg",),
}


def main() -> int:
    """Write the page; 1 when there is no service."""
    with tempfile.TemporaryDirectory() as folder:
        _lay_out(Path(folder))
        face = _Face(Path(folder))
        if not face.answers():
            return 1
        face.run("face gallery erase --yes")
        text = PAGE.read_text()
        PAGE.write_text(_BLOCK.sub(lambda block: "".join(_answered(face, block[0])), text))
    return 0


class _Face:
    """Runs commands in a folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        path = f"{ROOT / '.venv' / 'bin'}:{os.environ['PATH']}"
        self._environment = os.environ | {"PATH": path, "FACE_COLLECTION": "docs", "COLUMNS": "120", "NO_COLOR": "1"}

    def run(self, line: str) -> str:
        """What the command prints, both ways; the page's variables are what was made last."""
        environment = self._environment | (self._made() if "$" in line else {})
        done = subprocess.run(
            ["bash", "-c", line],
            cwd=self._folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        return done.stdout

    def answers(self) -> bool:
        """Whether there is a service that lets these commands in; if not, it is said why."""
        asked = subprocess.run(["face", "me"], env=self._environment, capture_output=True, text=True, check=False)
        print(asked.stderr, end="", file=sys.stderr)
        return asked.returncode == 0

    def _made(self) -> Mapping[str, str]:
        wanted = {
            "BATCH": ("batches --limit 1", "id"),
            "CLUSTER": ("clusters list", "cluster"),
            "KEY": ("keys list", "key"),
        }
        return {name: self._first(command, field) for name, (command, field) in wanted.items()}

    def _first(self, command: str, field: str) -> str:
        lines = self.run(f"face --json {command}").splitlines()
        return str(json.loads(lines[-1 if field == "key" else 0])[field]) if lines else "none"


def _lay_out(folder: Path) -> None:
    """The photos that the page speaks of."""
    for person, names in _PEOPLE.items():
        (folder / "people" / person).mkdir(parents=True)
        for name in names:
            shutil.copy(samples() / name, folder / "people" / person / name)
    (folder / "photos").mkdir()
    for name in _PHOTOS:
        shutil.copy(samples() / name, folder / "photos" / name)


def _answered(face: _Face, block: str) -> Iterator[str]:
    """A block's commands, each followed by what it prints now."""
    for line in block.splitlines():
        if not line.startswith("$ "):
            continue
        print(line, flush=True)
        yield f"{line}\n"
        printed = _SECRET.sub(r"face_\1_...", face.run(line[2:]))
        yield from (f"{_cut(one)}\n" for one in printed.splitlines())


def _cut(line: str) -> str:
    return line if len(line) <= _LONGEST else f"{line[:_LONGEST]} ..."


if __name__ == "__main__":
    sys.exit(main())
