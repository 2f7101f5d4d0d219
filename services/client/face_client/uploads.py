"""Files on their way to the service, read while they are sent."""

import io
import os
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Self

PHOTOS = frozenset({".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff", ".gif", ".heic", ".heif"})


class LateFile(io.RawIOBase):
    """A file that is opened when its first byte is needed and closed after its last, so that thousands may be sent."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: BinaryIO | None = None
        self._size = path.stat().st_size

    def readable(self) -> bool:
        """As of any file that is read."""
        return True

    def read(self, size: int = -1) -> bytes:
        """The next bytes; nothing at the end."""
        if self._file is None:
            self._file = self._path.open("rb")
        chunk = self._file.read(size)
        if not chunk:
            self._shut()
        return chunk

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Back to the start, or to the end to learn the size; nothing else is asked of it."""
        self._shut()
        return self._size if whence == os.SEEK_END else offset

    def tell(self) -> int:
        """Where the next byte is read, as long as nothing was."""
        return 0

    def close(self) -> None:
        """Close it for good."""
        self._shut()
        super().close()

    def _shut(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None


class Parts:
    """Photos as the parts of a form, named as given; closed at the end of a `with` block."""

    def __init__(self, photos: Iterable[tuple[str, Path]], field: str = "image") -> None:
        self.files: list[tuple[str, tuple[str, Any]]] = [(field, (name, LateFile(path))) for name, path in photos]

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for _, (_, file) in self.files:
            file.close()


def photos_under(places: Iterable[Path]) -> list[Path]:
    """The files among the places as they are, and the photos in the folders, however deep, by name."""
    found: list[Path] = []
    for place in places:
        found += sorted(filter(_is_photo, place.rglob("*"))) if place.is_dir() else [place]
    return found


def people_in(folder: Path) -> list[tuple[str, Path]]:
    """The photos of a folder of folders, each named after a person, as (person/photo, path)."""
    people = sorted(place for place in folder.iterdir() if place.is_dir() and not place.name.startswith("."))
    return [
        (f"{person.name}/{photo.name}", photo)
        for person in people
        for photo in sorted(filter(_is_photo, person.iterdir()))
    ]


def _is_photo(path: Path) -> bool:
    return path.suffix.lower() in PHOTOS and path.is_file() and not path.name.startswith(".")
