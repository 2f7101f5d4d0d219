"""Photos packed into one file for sending."""

import tempfile
import zipfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO


@contextmanager
def archive(photos: Iterable[tuple[str, Path]], tell: Callable[[int], None] = lambda _: None) -> Iterator[BinaryIO]:
    """A zip of the photos under the given names, in a temporary file that is gone after the block.

    It is written photo by photo, in bits; photos are compressed already, and are not again. `tell` hears how many
    are in.
    """
    with tempfile.TemporaryFile(prefix="face-") as file:
        with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED, strict_timestamps=False) as packed:
            for number, (name, path) in enumerate(photos, 1):
                packed.write(path, name)
                tell(number)
        file.seek(0)
        yield file
