"""Arithmetic of recognition: error rates, ten-fold accuracy, open-set identification. Pure.

A distance of infinity stands for a photo in which no face was found: it is never accepted, never named.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]

FOLDS = 10


@dataclass(frozen=True, slots=True)
class PairDistances:
    """What a metric says of pairs of photos; three arrays of one length."""

    distances: Floats
    same: Flags
    """Whether the two photos show one person."""
    folds: NDArray[np.intp]

    def rates(self, threshold: float) -> tuple[float, float]:
        """False and true match rate when pairs up to this distance are taken for one person."""
        accepted = self.distances <= threshold
        return share(accepted[~self.same]), share(accepted[self.same])

    def true_matches_at(self, false_match_rate: float) -> float:
        """True match rate at the largest threshold whose false match rate is not above this one."""
        return share(self.distances[self.same] < threshold_below(self.distances[~self.same], false_match_rate))

    def roc(self) -> tuple[Floats, Floats]:
        """False and true match rate at every threshold at which either changes, in rising order."""
        thresholds = np.unique(self.distances[np.isfinite(self.distances)])
        different, same = np.sort(self.distances[~self.same]), np.sort(self.distances[self.same])
        return (
            np.searchsorted(different, thresholds, side="right") / max(len(different), 1),
            np.searchsorted(same, thresholds, side="right") / max(len(same), 1),
        )

    def accuracies(self) -> list[float]:
        """Share of right answers in each fold, at the threshold that does best on all other folds."""
        found = []
        for fold in np.unique(self.folds):
            here = self.folds == fold
            others = ~here if not here.all() else here
            accepted = self.distances[here] <= best_threshold(self.distances[others], self.same[others])
            found.append(share(accepted == self.same[here]))
        return found


def share(flags: Flags) -> float:
    """How many of them are true, from 0 to 1; 0 of none."""
    return float(flags.mean()) if flags.size else 0.0


def threshold_below(impostors: Floats, rate: float) -> float:
    """The distance that stays above no more than this share of the impostors' distances; accept what is nearer."""
    ordered = np.sort(impostors)
    allowed = int(rate * len(ordered) + 1e-9)
    return float(ordered[allowed]) if allowed < len(ordered) else float("inf")


def best_threshold(distances: Floats, same: Flags) -> float:
    """The middle of the widest range of thresholds that give the most right answers.

    Between two neighbouring distances every threshold gives the same answers, so the answers are counted once a range.
    """
    finite = np.isfinite(distances)
    values, places = np.unique(distances[finite], return_inverse=True)
    if not len(values):
        return 0.0
    gains = np.zeros(len(values))
    np.add.at(gains, places, np.where(same[finite], 1.0, -1.0))
    right = np.cumsum(gains)  # by accepting up to each value, against accepting nothing
    ends = np.append(values[1:], values[-1] + 1e-6)
    best = np.flatnonzero(right == right.max())
    widest = best[np.argmax(ends[best] - values[best])]
    return float((values[widest] + ends[widest]) / 2) if right.max() > 0 else float(values[0]) / 2


@dataclass(frozen=True, slots=True)
class OpenSet:
    """What a rule says of one gallery's probes (people who are enrolled) and of strangers (who are not)."""

    nearest: Floats
    """Distance of each probe to its nearest person."""
    right: Flags
    """Whether that person is the one whom the probe shows."""
    margins: Floats
    """How much farther each probe's second person is."""
    strangers: Floats
    stranger_margins: Floats

    def at(self, threshold: float, margin: float = 0.0) -> tuple[float, float, float]:
        """Shares of probes identified, of probes named wrongly, and of strangers named."""
        named = (self.nearest <= threshold) & (self.margins >= margin)
        return (
            share(named & self.right),
            share(named & ~self.right),
            share((self.strangers <= threshold) & (self.stranger_margins >= margin)),
        )


def joined(galleries: Sequence[OpenSet]) -> OpenSet:
    """All galleries' probes and strangers as if they were one's."""
    return OpenSet(
        *(
            np.concatenate([getattr(one, name) for one in galleries])
            for name in ("nearest", "right", "margins", "strangers", "stranger_margins")
        )
    )


def identified_at(found: OpenSet, strangers_named: float) -> float:
    """Share of probes identified at the largest threshold that names no more than this share of strangers."""
    return share((found.nearest < threshold_below(found.strangers, strangers_named)) & found.right)


def open_set(distances: Floats, owners: NDArray[np.intp], stranger_distances: Floats) -> OpenSet:
    """From distances to people (probes, people) and (strangers, people), and each probe's person as a column number."""
    order = np.argsort(distances, axis=1, kind="stable")
    rows = np.arange(len(distances))
    nearest = distances[rows, order[:, 0]]
    return OpenSet(
        nearest=nearest,
        right=(order[:, 0] == owners) & np.isfinite(nearest),
        margins=_margins(distances),
        strangers=stranger_distances.min(axis=1, initial=np.inf),
        stranger_margins=_margins(stranger_distances),
    )


def _margins(distances: Floats) -> Floats:
    """Infinite where there is no second person."""
    if distances.shape[1] < 2:
        return np.full(len(distances), np.inf)
    first, second = np.partition(distances, 1, axis=1)[:, :2].T
    margins: Floats = np.where(np.isfinite(first), second - np.where(np.isfinite(first), first, 0.0), np.inf)
    return margins
