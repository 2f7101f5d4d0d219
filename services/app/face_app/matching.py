"""Exact search over a gallery. Pure.

A person is the mean of their templates, each scaled to unit length first, which tells strangers better than the nearest
template does (docs/adr/0010). The means need not be stored: similarity is linear in them, so the products of the
probe with all templates are summed up by person.

Rejected faces (distractors) lie among the people of a snapshot and are nobody: they are measured by themselves.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from face_app.metric import Metric
from face_common.contract import DISTRACTOR_PREFIX
from face_common.templates import DIMENSIONS, Encodings, GallerySnapshot, Indices, Strings, unit_length

Floats = NDArray[np.float32]

_PEOPLE = 2**12  # whose means are made at a time: 2 MiB
_PRODUCTS = 2**24  # of probes with templates, computed at a time: 64 MiB
_DIGITS = 6  # of a distance; what lies behind is rounding
_NO_DIRECTION = math.sqrt(2)  # the distance of what is neither like nor unlike


@dataclass(frozen=True, slots=True)
class Neighbour:
    """A person and how far the probe is from them."""

    person: str
    distance: float
    """To the person's mean, in the index's metric: 0 to 2."""
    l2_distance: float
    """face_recognition's: to the person's nearest template."""


@dataclass(frozen=True, slots=True, eq=False)
class GalleryIndex:
    """A snapshot with what a metric needs to search it: a float a person."""

    snapshot: GallerySnapshot
    metric: Metric
    scales: Floats
    """(P,): 1 / |W s| of the sum s of each person's unit templates, 0 where that has no direction."""
    distractors: Indices
    """(D,): where in `people` the rejected faces are."""
    rejected: Encodings
    """(D, 128): their directions in the metric."""

    @classmethod
    def of(cls, snapshot: GallerySnapshot, metric: Metric) -> "GalleryIndex":
        """Measure everybody's templates once."""
        scales = np.zeros(len(snapshot.people), dtype=np.float32)
        for first in range(0, len(scales), _PEOPLE):
            block = scales[first : first + _PEOPLE]
            lengths = metric.lengths(snapshot.summed(snapshot.units, first, first + len(block)))
            np.divide(1, lengths, out=block, where=lengths > 0)
        distractors = snapshot.people.starting_with(DISTRACTOR_PREFIX)
        sums = [snapshot.units[snapshot.rows_of(place)].sum(axis=0) for place in distractors]
        rejected = metric.directions(np.array(sums, dtype=np.float32).reshape(-1, DIMENSIONS))
        return cls(snapshot, metric, scales, distractors, rejected)

    @property
    def version(self) -> int:
        """Of the collection."""
        return self.snapshot.version

    @property
    def people(self) -> Strings:
        """Everybody, in the order of the columns of distances, the rejected faces among them."""
        return self.snapshot.people

    @property
    def headcount(self) -> int:
        """How many people there are, without the rejected faces."""
        return len(self.snapshot.people) - len(self.distractors)


def distances_to_people(index: GalleryIndex, probes: Encodings) -> Floats:
    """Distance of each probe (M, 128) to each person: (M, P), in the order of index.people."""
    units, _ = unit_length(probes)
    blocks = [np.empty((0, len(index.people)), np.float32), *(block for _, block in _similarities(index, units))]
    return _chords(np.concatenate(blocks))


def nearest_people(index: GalleryIndex, probes: Encodings, count: int) -> list[list[Neighbour]]:
    """For each probe (M, 128) its `count` nearest people, nearest first; fewer when the gallery has fewer."""
    units, _ = unit_length(probes)
    most = min(count, index.headcount)
    return [
        _neighbours(index, probes[first + offset], units[first + offset], _largest(row, most))
        for first, block in _similarities_to_people(index, units)
        for offset, row in enumerate(block)
    ]


def nearest_distractors(index: GalleryIndex, probes: Encodings) -> list[float | None]:
    """For each probe (M, 128) how far the nearest rejected face is; None where no face was ever rejected."""
    if not len(index.rejected):
        return [None] * len(probes)
    units, _ = unit_length(probes)
    nearest = (units @ index.metric.matrix @ index.rejected.T).argmax(axis=1)
    distances = _between(index.metric, units, index.rejected[nearest])
    return [round(float(distance), _DIGITS) for distance in distances]


def pair_distances(ones: Encodings, others: Encodings) -> Floats:
    """Distance of each encoding (M, 128) to its partner (M, 128), at unit length: (M,). As verifications compare."""
    distances: Floats = np.linalg.norm(unit_length(ones)[0] - unit_length(others)[0], axis=-1)
    return distances


def own_distances(index: GalleryIndex, encodings: Encodings, person: str) -> Floats | None:
    """Distance of each encoding (M, 128) to one person: (M,); None when nobody has this name."""
    place = index.snapshot.place_of(person)
    if place is None:
        return None
    units, _ = unit_length(encodings)
    sums = index.snapshot.units[index.snapshot.rows_of(place)].sum(axis=0, keepdims=True)
    return _between(index.metric, units, sums)


def impostor_distances(index: GalleryIndex, most: int, seed: int) -> Floats:
    """How near enrolled faces come to somebody else: the distance of templates, (k,), to the nearest other person.

    `most` of them are drawn at random, all where there are fewer; none where nobody else is enrolled. Rejected faces
    are strangers, too, but were chosen for being near: they would have every stranger come nearer than strangers do.
    """
    snapshot = index.snapshot
    if index.headcount < 2:
        return np.empty(0, dtype=np.float32)
    count = len(snapshot.units)
    rows = np.random.default_rng(seed).choice(count, min(most, count), replace=False, shuffle=False)
    places = snapshot.places_of(rows)
    of_people = ~np.isin(places, index.distractors)
    rows, places = rows[of_people], places[of_people]
    best = np.empty(len(rows), dtype=np.float32)
    for first, block in _similarities_to_people(index, snapshot.units[rows]):
        each = np.arange(len(block))
        block[each, places[first + each]] = -np.inf
        best[first + each] = block.max(axis=1)
    return _chords(best)


def genuine_distances(index: GalleryIndex, most: int, seed: int) -> Floats:
    """How far faces are from the person they are of: distances of templates, (k,), to that person's other templates.

    `most` of them are drawn at random, all where there are fewer, of the people who have two at least. A template has
    no part in what it is compared with, exactly: the mean of the others has the direction of the sum less the template.
    """
    snapshot = index.snapshot
    if len(snapshot.layers) < 2:
        return np.empty(0, dtype=np.float32)
    second = snapshot.starts[1]
    eligible = snapshot.layers[1] + len(snapshot.units) - second  # who has a second template comes first in each layer
    rows = np.random.default_rng(seed).choice(eligible, min(most, eligible), replace=False, shuffle=False)
    rows = np.where(rows < snapshot.layers[1], rows, rows - snapshot.layers[1] + second)
    places = snapshot.places_of(rows)
    of_people = ~np.isin(places, index.distractors)
    rows, places = rows[of_people], places[of_people]
    whose, person = np.unique(places, return_inverse=True)
    sums = [snapshot.units[snapshot.rows_of(place)].sum(axis=0) for place in whose]
    others = np.array(sums, dtype=np.float32).reshape(-1, DIMENSIONS)[person] - snapshot.units[rows]
    return _between(index.metric, snapshot.units[rows], others)


def _similarities(index: GalleryIndex, units: Encodings) -> Iterator[tuple[int, Floats]]:
    """Cosines of unit probes (M, 128) with all people, (k, P), so many probes at a time, with the first one's index."""
    snapshot = index.snapshot
    directions = index.metric.directions(units) @ index.metric.matrix
    step = max(1, _PRODUCTS // max(len(snapshot.units), 1))
    for first in range(0, len(units), step):
        products = snapshot.units @ directions[first : first + step].T
        sums = snapshot.summed(products, 0, len(snapshot.people))
        sums *= index.scales[:, None]
        yield first, np.ascontiguousarray(sums.T)


def _similarities_to_people(index: GalleryIndex, units: Encodings) -> Iterator[tuple[int, Floats]]:
    """The same, with the rejected faces farther than anybody."""
    for first, block in _similarities(index, units):
        block[:, index.distractors] = -np.inf
        yield first, block


def _chords(cosines: Floats) -> Floats:
    chords: Floats = np.sqrt(np.maximum(2 - 2 * cosines, 0))
    return chords


def _largest(values: Floats, count: int) -> Indices:
    """Indices of the `count` largest values; of equal ones the first."""
    if count == 0 or count >= len(values):
        return np.arange(count and len(values))
    least = np.partition(values, -count)[-count]
    candidates = np.flatnonzero(values >= least)
    return candidates[np.argsort(-values[candidates], kind="stable")[:count]]


def _neighbours(index: GalleryIndex, probe: Floats, unit: Floats, places: Sequence[int] | Indices) -> list[Neighbour]:
    """The people at these places, nearest first and by name where equally near.

    They are measured once more by subtraction, which tells small distances exactly where 2 - 2 cos does not.
    """
    snapshot = index.snapshot
    rows = [snapshot.rows_of(place) for place in places]
    sums = np.array([snapshot.units[own].sum(axis=0) for own in rows], dtype=np.float32).reshape(len(rows), DIMENSIONS)
    distances = _between(index.metric, unit[None], sums)
    found = [
        Neighbour(snapshot.people[place], round(float(distance), _DIGITS), _l2_distance(snapshot, own, probe))
        for place, distance, own in zip(places, distances, rows, strict=True)
    ]
    return sorted(found, key=lambda near: (near.distance, near.person))


def _between(metric: Metric, vectors: Encodings, others: Encodings) -> Floats:
    """Distances between vectors (M, 128) and others (M, 128), pair by pair; either may be one for all."""
    left, right = metric.directions(vectors), metric.directions(others)
    known = left.any(axis=1) & right.any(axis=1)
    return np.where(known, metric.lengths(left - right), np.float32(_NO_DIRECTION))


def _l2_distance(snapshot: GallerySnapshot, rows: Indices, probe: Floats) -> float:
    differences = snapshot.units[rows] * snapshot.lengths[rows, None] - probe
    return float(np.sqrt(np.einsum("nd,nd->n", differences, differences).min()))
