"""A collection as the worker works with it: searchable, with the threshold that its own people call for. Pure."""

from collections.abc import Callable
from dataclasses import dataclass
from statistics import NormalDist

from face_app.calibration import Floats, Population, strangers, threshold
from face_app.decision import DecisionRule
from face_app.matching import (
    GalleryIndex,
    Neighbour,
    impostor_distances,
    nearest_distractors,
    nearest_people,
    own_distances,
)
from face_app.metric import Metric
from face_common.templates import Encodings, GallerySnapshot

SAMPLE = 2000
"""Templates that are measured, at most: a sample, so that a large gallery loads in time."""
SEED = 1
"""Of the sample, so that it is the same on every worker."""
_MOST_PRODUCTS = 10**10  # multiply-adds that this may cost: some tenths of a second
_UNLIKE = 0.02  # share of strangers that resemble a person more than a photo that is called inconsistent with them


@dataclass(frozen=True, slots=True)
class Policy:
    """What the operator decides about naming."""

    rate: float
    """Share of strangers that may be named."""
    margin: float
    """See DecisionRule."""
    threshold: float | None = None
    """A fixed distance instead of a calibrated one."""


@dataclass(frozen=True, slots=True, eq=False)
class Enrolled:
    """The people of a collection at one version."""

    index: GalleryIndex
    rule: DecisionRule
    limit: float
    """Distance to a person beyond which a photo does not look like them."""
    policy: Policy
    """What the rule follows from, together with the impostors."""
    impostors: Floats
    """(k,): how near its templates, or a sample of them, come to somebody else."""

    @property
    def version(self) -> int:
        """Of the gallery."""
        return self.index.version

    def nearest(self, probes: Encodings, count: int) -> list[list[Neighbour]]:
        """For each probe (M, 128) its nearest people, nearest first."""
        return nearest_people(self.index, probes, count)

    def rejected(self, probes: Encodings) -> list[float | None]:
        """For each probe (M, 128) how far the nearest rejected face is."""
        return nearest_distractors(self.index, probes)

    def own_distance(self, probe: Encodings, person: str) -> float | None:
        """Distance of one probe (1, 128) to a person; None when nobody has this name."""
        found = own_distances(self.index, probe, person)
        return None if found is None else float(found[0])


def preparing(population: Population, policy: Policy) -> Callable[[GallerySnapshot], Enrolled]:
    """What makes a snapshot ready to work with."""
    metric = Metric("whitened", population.whitening)
    limit = threshold(population.nearest(1), _UNLIKE)

    def prepare(snapshot: GallerySnapshot) -> Enrolled:
        index = GalleryIndex.of(snapshot, metric)
        impostors = _impostors(index)
        found = strangers(population, index.headcount, impostors)
        return Enrolled(index, _rule(found, policy), limit, policy, impostors)

    return prepare


def _impostors(index: GalleryIndex) -> Floats:
    most = min(SAMPLE, _MOST_PRODUCTS // max(index.snapshot.units.size, 1))
    return impostor_distances(index, most, SEED)


def _rule(found: NormalDist, policy: Policy) -> DecisionRule:
    limit = threshold(found, policy.rate) if policy.threshold is None else policy.threshold
    return DecisionRule(limit, policy.margin, found.cdf(limit))
