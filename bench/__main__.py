"""`make bench`: all measurements of the running system, one after the other."""

import os
import sys
from pathlib import Path

from bench import burst, open_set
from bench.target import target
from local.samples import samples


def main() -> int:
    """Measure; 1 when an answer was lost or went astray."""
    people, strangers = _folder("PEOPLE", "lfw-dev/people"), _folder("STRANGERS", "lfw-dev/strangers")
    right = True
    with target() as service:
        if people and strangers:
            right = open_set.run(service, people, strangers)
            photos = sorted(strangers.glob("*.jpg"))
        else:
            print("  open set skipped: set FACE_DATA, or PEOPLE and STRANGERS, to folders with photos")
            photos = sorted(samples().glob("*.jpg"))
        right = burst.run(service, photos) and right
    return 0 if right else 1


def _folder(variable: str, usual: str) -> Path | None:
    """The folder that a make variable names, or the usual one under FACE_DATA."""
    if named := os.environ.get(variable):
        return Path(named)
    shared = os.environ.get("FACE_DATA")
    return Path(shared, usual) if shared else None


if __name__ == "__main__":
    sys.exit(main())
