"""Photos of given sizes to time the pipeline on: scaled from a folder's photos, or collages of the sample photos."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import PIL.Image
import PIL.ImageOps

from local.samples import samples

_QUALITY = 92


@dataclass(frozen=True, slots=True)
class Sheet:
    """A photo to make: its size, and what it is made of, side by side."""

    name: str
    width: int
    height: int
    shared: tuple[str, ...]
    """Photos under FACE_DATA."""
    sample: tuple[str, ...]
    """Sample photos, for where there is no FACE_DATA."""


SHEETS = (
    Sheet("250x250", 250, 250, ("lfw-dev/people/Bill_Clinton/0001.jpg",), ("obama.jpg",)),
    Sheet("640x480", 640, 480, ("knn_examples/test/alex_lacamoire1.jpg",), ("astronaut.png",)),
    Sheet("1280x720", 1280, 720, ("knn_examples/test/obama1.jpg",), ("biden.jpg", "obama.jpg")),
    Sheet(
        "1920, 5 faces",
        1920,
        948,
        ("groups/bbt5.jpg",),
        ("obama.jpg", "biden.jpg", "obama2.jpg", "astronaut.png", "obama3.jpg"),
    ),
    Sheet("12 MP", 4000, 3000, ("knn_examples/test/obama_and_biden.jpg",), ("obama3.jpg", "biden.jpg")),
)


@dataclass(frozen=True, slots=True)
class Made:
    """A photo as it was made, and of what."""

    sheet: Sheet
    file: Path
    source: str


def make(sheet: Sheet, shared: Path | None, target: Path) -> Made:
    """Write the photo into the folder `target`, of the shared photos where there are, else of the samples."""
    sources = [shared / name for name in sheet.shared] if shared else []
    if not sources or not all(source.exists() for source in sources):
        sources = [samples() / name for name in sheet.sample]
    file = target / f"{sheet.name}.jpg"
    collage(sources, sheet.width, sheet.height).save(file, quality=_QUALITY)
    return Made(sheet, file, " + ".join(f"{source.parent.name}/{source.name}" for source in sources))


def collage(sources: Sequence[Path], width: int, height: int) -> PIL.Image.Image:
    """The pictures side by side in equal parts, each scaled to fill its part and cut where it is longer than that."""
    sheet = PIL.Image.new("RGB", (width, height))
    for number, source in enumerate(sources):
        left, right = width * number // len(sources), width * (number + 1) // len(sources)
        with PIL.Image.open(source) as picture:
            upright = PIL.ImageOps.exif_transpose(picture).convert("RGB")
        # Heads are above the middle of a portrait.
        part = PIL.ImageOps.fit(upright, (right - left, height), PIL.Image.Resampling.LANCZOS, centering=(0.5, 0.2))
        sheet.paste(part, (left, 0))
    return sheet
