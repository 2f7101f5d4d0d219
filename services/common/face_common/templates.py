"""What a gallery holds. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

DIMENSIONS = 128
"""Length of an encoding, in floats."""

Encodings = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Template:
    """A stored encoding with where it came from."""

    person: str
    photo: str
    """The id of the photo, which lies at `images/<photo>`."""
    name: str
    """The photo's file name when it was enrolled."""
    digest: str
    """SHA-256 of the photo's bytes, in hex: the same file is not enrolled twice."""
    model: str
    encoding: tuple[float, ...]
    enrolled_at: float
    """Seconds since the epoch."""


@dataclass(frozen=True, slots=True)
class EnrolledPhotoRow:
    """A template without its encoding, for listings: an encoding never leaves the gallery by accident."""

    person: str
    photo: str
    name: str
    enrolled_at: float


@dataclass(frozen=True, slots=True)
class GallerySnapshot:
    """A collection at one version, laid out for searching: rows sorted by person.

    people: P names, sorted; starts: (P,) first row of each person; encodings: (N, 128); squared_norms: (N,).
    """

    version: int
    people: tuple[str, ...]
    starts: NDArray[np.intp]
    encodings: Encodings
    squared_norms: NDArray[np.float32]
    photos: Mapping[tuple[str, str], str]
    """Photo id by (person, digest), of every enrolled photo."""

    @classmethod
    def of(cls, version: int, templates: Sequence[Template]) -> "GallerySnapshot":
        """Lay templates out for searching. A photo that was written twice (a job delivered twice) counts once."""
        rows = sorted({template.photo: template for template in templates}.values(), key=lambda row: row.person)
        encodings = np.array([row.encoding for row in rows], dtype=np.float32).reshape(len(rows), DIMENSIONS)
        people, starts = np.unique([row.person for row in rows], return_index=True)
        return cls(
            version=version,
            people=tuple(str(person) for person in people),
            starts=starts,
            encodings=encodings,
            squared_norms=np.einsum("nd,nd->n", encodings, encodings),
            photos={(row.person, row.digest): row.photo for row in rows},
        )

    def photo_with(self, person: str, digest: str) -> str | None:
        """The id of the person's photo with this digest, if it is enrolled."""
        return self.photos.get((person, digest))
