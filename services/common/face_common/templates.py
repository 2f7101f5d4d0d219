"""What a gallery holds. Pure.

A million templates are searched by every worker, so a snapshot is a handful of arrays and keeps no Python object for
a template or a person: about 1.2 times the bytes of the encodings themselves.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

DIMENSIONS = 128
"""Length of an encoding, in floats."""
_DIGEST = 32  # bytes of SHA-256
_LAYERS = 32  # templates of one person that lie in layers; further ones lie behind them, person after person
_NAMES = 2**12  # strings that are gathered at a time

Encodings = NDArray[np.float32]
Indices = NDArray[np.intp]


@dataclass(frozen=True, slots=True)
class Template:
    """A stored encoding with where it came from."""

    person: str
    photo: str
    """The id of the photo, which lies at `photos/<photo>`."""
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


class PersonPhotos(NamedTuple):
    """How many photos a person has, and the id of the first."""

    photos: int
    first: str


class TemplateIdentity(NamedTuple):
    """What tells a template from others: a photo has one of each model, and a file is enrolled once for a person."""

    person: str
    photo: str
    digest: str
    model: str


@dataclass(frozen=True, slots=True)
class GalleryExport:
    """Everything that a collection holds at one version."""

    version: int
    models: dict[str, int]
    """How many templates each model made."""
    templates: Iterator[Template]


@dataclass(frozen=True, slots=True)
class GalleryVersion:
    """A version of a collection that can be gone back to."""

    version: int
    at: float
    """When it was written, in seconds since the epoch, by the clock of whoever wrote it."""
    templates: int


@dataclass(frozen=True, slots=True)
class Restoration:
    """What going back to an earlier version has changed."""

    version: int
    """From which on it is so."""
    removed: list[str]
    """Photos that are not enrolled any more."""
    added: list[str]
    """Photos that are enrolled again."""


@dataclass(frozen=True, slots=True)
class PurgeReport:
    """What became of a collection's history."""

    versions: int
    """Earlier versions that were removed."""
    files: int
    """Files that went with them."""
    pending: int
    """Files that belong to no version but are younger than an hour: of writes under way, or of failed ones."""


@dataclass(frozen=True, slots=True, eq=False)
class Strings:
    """Many strings in one buffer of UTF-8, as Arrow lays them out: string i is text[offsets[i]:offsets[i + 1]]."""

    text: NDArray[np.uint8]
    offsets: NDArray[np.int32]

    @classmethod
    def of(cls, strings: Iterable[str]) -> "Strings":
        """A column of these strings."""
        encoded = [string.encode() for string in strings]
        offsets = np.cumsum([0, *map(len, encoded)], dtype=np.int32)
        return cls(np.frombuffer(b"".join(encoded), dtype=np.uint8), offsets)

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def __getitem__(self, index: int) -> str:
        return self.text[self.offsets[index] : self.offsets[index + 1]].tobytes().decode()

    def __iter__(self) -> Iterator[str]:
        return (self[index] for index in range(len(self)))

    def index(self, string: str, first: int, last: int) -> int | None:
        """Where the string is between these two indices, where the strings are sorted by code point."""
        end = last
        while first < last:
            middle = (first + last) // 2
            if self[middle] < string:
                first = middle + 1
            else:
                last = middle
        return first if first < end and self[first] == string else None

    def starting_with(self, prefix: str) -> Indices:
        """The indices of the strings that begin so, ascending."""
        wanted = np.frombuffer(prefix.encode(), dtype=np.uint8)
        found = np.flatnonzero(np.diff(self.offsets) >= len(wanted))
        for place, letter in enumerate(wanted):  # most strings are out after the first letter
            found = found[self.text[self.offsets[found] + place] == letter]
        return found

    def take(self, order: Indices) -> "Strings":
        """The strings at these indices, in this order."""
        offsets = np.zeros(len(order) + 1, dtype=np.int32)
        np.cumsum(np.diff(self.offsets)[order], out=offsets[1:])
        text = np.empty(offsets[-1], dtype=np.uint8)
        for first in range(0, len(order), _NAMES):  # in blocks: an index for every byte takes eight times the text
            ends = offsets[first : first + _NAMES + 1]
            shifts = np.repeat(self.offsets[order[first : first + _NAMES]] - ends[:-1], np.diff(ends))
            text[ends[0] : ends[-1]] = self.text[shifts + np.arange(ends[0], ends[-1])]
        return Strings(text, offsets)

    def fixed(self, width: int) -> NDArray[np.uint8]:
        """The strings' bytes, (strings, width), padded with zeros; longer strings are cut."""
        lengths = np.diff(self.offsets)
        text = self.text[self.offsets[0] : self.offsets[-1]]
        if (lengths == width).all():
            return text.reshape(len(lengths), width)
        filled = np.zeros((len(lengths), width), dtype=np.uint8)
        places = np.arange(len(text)) - np.repeat(self.offsets[:-1] - self.offsets[0], lengths)
        rows = np.repeat(np.arange(len(lengths)), lengths)
        fits = places < width
        filled[rows[fits], places[fits]] = text[fits]
        return filled


@dataclass(frozen=True, slots=True, eq=False)
class TemplateColumns:
    """All of a collection's templates but for their encodings, in the order they were written."""

    people: Strings
    """Everybody, once, sorted."""
    owners: NDArray[np.int32]
    """(n,): the person of each template, as an index of `people`."""
    photos: NDArray[np.bytes_]
    """(n,): ids of the photos."""
    digests: NDArray[np.uint8]
    """(n, 32): SHA-256 of the photos' bytes."""


EncodingBlocks = Iterable[tuple[Indices, Encodings]]
"""Encodings (k, 128), a block at a time, each with the indices (k,) of the templates that they belong to."""


@dataclass(frozen=True, slots=True, eq=False)
class GallerySnapshot:
    """A collection at one version, laid out for searching.

    Templates lie in layers: first one of each of the P people, then a second one of those who have two, and so on, with
    people ordered by how many they have. What belongs to a person is then summed up by adding a few long vectors, which
    takes a tenth of the time that summing row after row would.
    """

    version: int
    people: Strings
    """P names: those with the most templates first, and sorted among those who have as many."""
    layers: tuple[int, ...]
    """How many people have a first template, a second, and so on up to 32; they are the first of `people`."""
    starts: Indices
    """The row in which each layer begins."""
    rest: Indices
    """The row in which the rest of a person's templates begins, for the people who have more than 32."""
    units: Encodings
    """(n, 128): encodings scaled to unit length; zeros for one that has no direction."""
    lengths: NDArray[np.float32]
    """(n,): the lengths that the encodings had."""
    photos: NDArray[np.bytes_]
    """(n,)"""
    digests: NDArray[np.uint8]
    """(n, 32)"""

    @classmethod
    def of(cls, version: int, templates: Sequence[Template]) -> "GallerySnapshot":
        """Lay out templates that are at hand as objects."""
        people = sorted({row.person for row in templates})
        places = {person: place for place, person in enumerate(people)}
        columns = TemplateColumns(
            people=Strings.of(people),
            owners=np.array([places[row.person] for row in templates], dtype=np.int32),
            photos=np.array([row.photo for row in templates], dtype=np.bytes_),
            digests=parsed_digests(Strings.of(row.digest for row in templates)),
        )
        encodings = np.array([row.encoding for row in templates], dtype=np.float32).reshape(-1, DIMENSIONS)
        return cls.laid_out(version, columns, [(np.arange(len(templates)), encodings)])

    @classmethod
    def laid_out(cls, version: int, columns: TemplateColumns, encodings: EncodingBlocks) -> "GallerySnapshot":
        """Lay templates out. A photo that was written twice (a job delivered twice) counts once, as last written.

        The encodings are copied block by block, so that there need never be two of all of them in memory.
        """
        kept = _last_written(columns.photos)
        order, layers, rest, targets = _layout(columns.owners[kept], len(columns.people))
        count = len(kept)
        photos, digests = np.empty(count, columns.photos.dtype), np.empty((count, _DIGEST), np.uint8)
        photos[targets] = columns.photos[kept]
        digests[targets] = columns.digests[kept]
        rows = np.full(len(columns.photos), -1, dtype=np.intp)
        rows[kept] = targets
        units, lengths = np.zeros((count, DIMENSIONS), np.float32), np.zeros(count, np.float32)
        for places, block in encodings:
            wanted = rows[places]
            scaled, norms = unit_length(block)
            units[wanted[wanted >= 0]] = scaled[wanted >= 0]
            lengths[wanted[wanted >= 0]] = norms[wanted >= 0]
        starts = np.cumsum((0, *layers), dtype=np.intp)[: len(layers)]
        return cls(version, columns.people.take(order), layers, starts, rest, units, lengths, photos, digests)

    def place_of(self, person: str) -> int | None:
        """The index in `people`, if the person is enrolled."""
        for first, last in pairwise(sorted({0, len(self.rest), *self.layers})):  # who have as many templates
            place = self.people.index(person, first, last)
            if place is not None:
                return place
        return None

    def rows_of(self, place: int) -> Indices:
        """The rows of the person at this place, in the order they were written."""
        rows = self.starts[: sum(size > place for size in self.layers)] + place
        if place >= len(self.rest):
            return rows
        end = self.rest[place + 1] if place + 1 < len(self.rest) else len(self.units)
        return np.concatenate([rows, np.arange(self.rest[place], end)])

    def places_of(self, rows: Indices) -> Indices:
        """The places of the people that these rows belong to."""
        places = rows - self.starts[np.searchsorted(self.starts, rows, side="right") - 1]
        if len(self.rest):
            places = np.where(rows >= self.rest[0], np.searchsorted(self.rest, rows, side="right") - 1, places)
        return places

    def summed(self, values: NDArray[np.float32], first: int, last: int) -> NDArray[np.float32]:
        """The sum of each person's rows of `values`, (n, k), for the people at `first` to `last`: (last - first, k)."""
        sums = values[first:last].copy()
        for start, size in zip(self.starts[1:], self.layers[1:], strict=True):
            if size <= first:
                break
            sums[: min(size, last) - first] += values[start + first : start + min(size, last)]
        rest = self.rest[first:last]
        if len(rest):
            end = self.rest[last] if last < len(self.rest) else len(values)
            sums[: len(rest)] += np.add.reduceat(values[rest[0] : end], rest - rest[0], axis=0)
        return sums

    def photo_with(self, person: str, digest: str) -> str | None:
        """The id of the person's photo with this digest, if it is enrolled."""
        place = self.place_of(person)
        wanted = parsed_digests(Strings.of([digest]))
        if place is None or not wanted.any():
            return None
        rows = self.rows_of(place)
        same = rows[(self.digests[rows] == wanted).all(axis=1)]
        return bytes(self.photos[same[-1]]).decode() if len(same) else None


def unit_length(encodings: Encodings) -> tuple[Encodings, NDArray[np.float32]]:
    """Encodings (n, 128) scaled to unit length, and the lengths (n,) that they had.

    One without a direction, or with a number that is none, becomes zeros: it is equally far from everybody.
    """
    lengths = np.sqrt(np.einsum("nd,nd->n", encodings, encodings))
    good = np.isfinite(lengths) & (lengths > 0)
    if good.all():
        return encodings / lengths[:, None], lengths
    units = np.zeros_like(encodings)
    units[good] = encodings[good] / lengths[good, None]
    return units, np.where(good, lengths, np.float32(0))


_HEX = np.full(256, 255, dtype=np.uint8)
_HEX[np.frombuffer(b"0123456789abcdef", dtype=np.uint8)] = np.arange(16)


def parsed_digests(column: Strings) -> NDArray[np.uint8]:
    """SHA-256 from lower-case hex: (n, 32); a string that is no such thing becomes zeros, which match nothing."""
    digits = _HEX[column.fixed(2 * _DIGEST)]
    parsed = (digits[:, 0::2] << 4 | digits[:, 1::2]).astype(np.uint8, copy=False)
    parsed[(np.diff(column.offsets) != 2 * _DIGEST) | (digits == 255).any(axis=1)] = 0
    return parsed


def _last_written(photos: NDArray[np.bytes_]) -> Indices:
    """Where each photo was written last, ascending."""
    _, from_the_end = np.unique(photos[::-1], return_index=True)
    return np.sort(len(photos) - 1 - from_the_end)


def _layout(owners: NDArray[np.int32], people: int) -> tuple[Indices, tuple[int, ...], Indices, Indices]:
    """Where rows go: the people's order, the layers, the starts of the rest, and for each row its target."""
    counts = np.bincount(owners, minlength=people)
    order = np.argsort(-np.minimum(counts, _LAYERS + 1), kind="stable")
    order = order[: np.count_nonzero(counts)]  # whose only photo was written again under another name has none
    places = np.empty(people, dtype=np.intp)
    places[order] = np.arange(len(order))
    layers = tuple(int((counts > layer).sum()) for layer in range(min(_LAYERS, int(counts.max(initial=0)))))
    by_person = np.argsort(owners, kind="stable")
    firsts = np.cumsum(counts) - counts
    nth = np.empty(len(owners), dtype=np.intp)  # which of its person's templates each row is
    nth[by_person] = np.arange(len(owners)) - firsts[owners[by_person]]
    surplus = counts[order] - _LAYERS
    surplus = surplus[surplus > 0]
    rest = sum(layers) + np.cumsum(surplus) - surplus
    targets = np.cumsum([0, *layers])[np.minimum(nth, _LAYERS)] + places[owners]
    behind = nth >= _LAYERS
    targets[behind] = rest[places[owners[behind]]] + nth[behind] - _LAYERS
    return order, layers, rest, targets
