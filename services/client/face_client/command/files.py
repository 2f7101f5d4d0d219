"""Files that commands write."""

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO, cast


def saved(place: Path, write: Callable[[BinaryIO], int]) -> int:
    """Let a file be written that appears under its name when it is whole; readable by its owner only. Its size."""
    with tempfile.NamedTemporaryFile(dir=place.parent, prefix=f".{place.name[:40]}.", delete=False) as file:
        part = Path(file.name)
        try:
            count = write(cast("BinaryIO", file))
            file.close()
            part.replace(place)
        finally:
            part.unlink(missing_ok=True)
    return count
