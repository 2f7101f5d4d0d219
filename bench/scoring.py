"""How far apart faces are, by face_recognition's own rule and by the worker's, and where each draws its line."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from bench.engines import LIBRARY
from bench.measures import Floats
from face_app.engine.fast import PROFILES
from face_app.enrolled import Enrolled, Policy, preparing
from face_app.matching import distances_to_people, pair_distances
from face_app.population import population
from face_app.settings import WorkerSettings
from face_common.templates import GallerySnapshot, Template

Encodings = NDArray[np.float32]
Gallery = Mapping[str, Encodings]
"""Each person's enrolled encodings, (templates, 128)."""


@dataclass(frozen=True, slots=True)
class Line:
    """Up to which distance a face is named, and the share of strangers that the rule expects to name so."""

    name: str
    threshold: float
    margin: float
    """How much farther the second person must be."""
    promised: float | None


class Rule(Protocol):
    """A metric, and what is decided by it."""

    @property
    def pair_threshold(self) -> float:
        """Largest distance of the same person where two photos are compared."""

    @property
    def pair_promise(self) -> float | None:
        """The share of pairs of different people that the rule expects to come as near."""

    def between(self, first: Encodings, second: Encodings) -> Floats:
        """Distances row by row; either may be one row for all."""

    def to_people(self, gallery: Gallery, probes: Encodings) -> Floats:
        """(probes, people), people in the gallery's order."""

    def lines(self, gallery: Gallery) -> list[Line]:
        """Where faces are named in this gallery, strictest first."""


class LibraryRule:
    """face_recognition's: the nearest enrolled encoding by plain distance, up to 0.6."""

    pair_threshold = 0.6
    pair_promise = None

    def between(self, first: Encodings, second: Encodings) -> Floats:
        """See Rule."""
        return np.asarray(np.linalg.norm(first - second, axis=-1), dtype=np.float64)

    def to_people(self, gallery: Gallery, probes: Encodings) -> Floats:
        """See Rule. One person after the other: by subtraction, as the library does it."""
        columns = [
            self.between(probes[:, None, :], encodings[None, :, :]).min(axis=1) for encodings in gallery.values()
        ]
        return np.column_stack(columns)

    def lines(self, gallery: Gallery) -> list[Line]:
        """See Rule."""
        return [Line("its 0.6", self.pair_threshold, 0.0, None)]


class WorkerRule:
    """The worker's, by its own code and with its default settings."""

    _RATES = (0.001, 0.003, 0.01)

    def __init__(self, model: str) -> None:
        """For encodings of this model."""
        defaults = {name: field.default for name, field in WorkerSettings.model_fields.items()}
        self._population = population(model)
        self._margin = float(defaults["margin"])
        self._usual = float(defaults["false_positive_rate"])
        self.pair_promise = float(defaults["false_match_rate"])
        self.pair_threshold = self._population.pair_threshold(self.pair_promise)

    def between(self, first: Encodings, second: Encodings) -> Floats:
        """See Rule."""
        return np.asarray(pair_distances(first, second), dtype=np.float64)

    def to_people(self, gallery: Gallery, probes: Encodings) -> Floats:
        """See Rule."""
        index = self._enrolled(gallery, self._usual).index
        places = {person: place for place, person in enumerate(index.people)}
        return distances_to_people(index, probes)[:, [places[person] for person in gallery]].astype(np.float64)

    def lines(self, gallery: Gallery) -> list[Line]:
        """See Rule."""
        named = {rate: f"{100 * rate:g} %" for rate in self._RATES}
        named[self._usual] = f"{100 * self._usual:g} %, default"
        rules = {rate: self._enrolled(gallery, rate).rule for rate in sorted(named)}
        return [Line(named[rate], rule.threshold, rule.margin, rule.expected_rate) for rate, rule in rules.items()]

    def _enrolled(self, gallery: Gallery, rate: float) -> Enrolled:
        templates = [
            Template(person, f"{person}/{number}", "", "", "", tuple(encoding.tolist()), 0.0)
            for person, encodings in gallery.items()
            for number, encoding in enumerate(encodings)
        ]
        return preparing(self._population, Policy(rate, self._margin))(GallerySnapshot.of(0, templates))


def rule(engine: str) -> Rule:
    """The rule that goes with an engine."""
    return LibraryRule() if engine == LIBRARY else WorkerRule(PROFILES[engine].model)
