"""How far apart strangers are, and where to draw the line so that a chosen share of them is named. Pure.

Terms (ISO/IEC 19795): the false match rate is the share of pairs of different people that are taken for the same in a
verification; the false positive identification rate is the share of people who are not enrolled and are named all the
same. The second grows with the gallery, since a stranger has more people to resemble: a threshold that suits ten people
names most strangers among a thousand. So each collection's threshold follows from its own people.

The distance of a stranger to the nearest of many people is, in the metric that decides, close to normally distributed,
also in the tail that matters (docs/adr/0010). Its mean and spread are learned from the collection itself: each
template is a stranger to all the other people. Where there are few people, what was learned from others (Population)
stands in for them.
"""

from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]

_PRIOR_PEOPLE = 25  # people whose word counts as much as the population's
_LEAST_SPREAD = 1e-3


@dataclass(frozen=True, slots=True)
class Population:
    """What was learned from people outside any gallery, for one kind of encoding."""

    whitening: Floats
    """(128, 128), symmetric: the inverse of how one person's encodings vary. Identity where nothing was learned."""
    people: NDArray[np.float64]
    """(k,) ascending numbers of people in a gallery."""
    nearest_mean: NDArray[np.float64]
    """(k,) mean distance of a stranger to the nearest of so many people."""
    nearest_spread: NDArray[np.float64]
    """(k,) its standard deviation."""
    pair_rates: NDArray[np.float64]
    """(m,) ascending false match rates of a verification."""
    pair_distances: NDArray[np.float64]
    """(m,) the distances, between encodings of unit length, at which they are reached."""

    def nearest(self, people: int) -> NormalDist:
        """The distance of a stranger to the nearest of so many people; beyond the largest gallery seen, as in that."""
        at = np.log(max(people, 1))
        places = np.log(self.people)
        mean, spread = (float(np.interp(at, places, column)) for column in (self.nearest_mean, self.nearest_spread))
        return NormalDist(mean, spread)

    def pair_threshold(self, rate: float) -> float:
        """Largest distance of the same person in a verification, for this false match rate."""
        return float(np.interp(np.log(rate), np.log(self.pair_rates), self.pair_distances))

    def pair_rate(self, distance: float) -> float:
        """Share of pairs of different people that are this near or nearer; the learned range's end beyond it."""
        return float(np.exp(np.interp(distance, self.pair_distances, np.log(self.pair_rates))))


def strangers(population: Population, people: int, impostors: Floats) -> NormalDist:
    """How far strangers are from the nearest person of a collection.

    `people` is the number enrolled, `impostors` (k,) the distances of enrolled templates to the nearest other person.
    """
    expected = population.nearest(people)
    weight = own_weight(people, impostors)
    if not weight:
        return expected
    # An impostor from within was compared with one person less than a stranger is.
    shift = expected.mean - population.nearest(people - 1).mean
    own_mean, own_variance = float(impostors.mean()) + shift, float(impostors.var())
    mean = weight * own_mean + (1 - weight) * expected.mean
    between = weight * (1 - weight) * (own_mean - expected.mean) ** 2
    variance = weight * own_variance + (1 - weight) * expected.variance + between
    return NormalDist(mean, max(variance**0.5, _LEAST_SPREAD))


def own_weight(people: int, impostors: Floats) -> float:
    """How much a collection's own people count beside the population: 0 to 1; the parameters are those of strangers."""
    return people / (people + _PRIOR_PEOPLE) if people >= 2 and len(impostors) else 0.0


def threshold(distances: NormalDist, rate: float) -> float:
    """The distance up to which this share of strangers comes; never negative."""
    return max(distances.inv_cdf(rate), 0.0)
