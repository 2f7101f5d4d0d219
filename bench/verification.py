"""Two photos, one person or two? Over a list of pairs, and over every pair of the photos in that list."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from bench.engines import Encoded
from bench.folders import Pair
from bench.measures import PairDistances, share
from bench.scoring import Rule
from bench.tables import Row

_STRICT = 0.001
_MOST_PHOTOS = 2000  # whose every pair is compared

LISTED = "Pairs as listed ({same} same, {different} different); a photo without a face makes a rejected pair"
EVERY = "Every pair of the photos in that list ({same} same, {different} different), where both show a face"


def rows(pairs: Sequence[Pair], encoded: Mapping[str, Encoded], rules: Mapping[str, Rule]) -> list[Row]:
    """One for each engine, over the pairs as they are listed."""
    table = LISTED.format(same=sum(pair.same for pair in pairs), different=sum(not pair.same for pair in pairs))
    return [{"table": table, **_listed(name, pairs, encoded[name], one)} for name, one in rules.items()]


def _listed(name: str, pairs: Sequence[Pair], encoded: Encoded, one: Rule) -> Row:
    found = compared(pairs, encoded, one)
    folds = found.accuracies()
    fmr, tmr = found.rates(one.pair_threshold)
    photos = {photo for pair in pairs for photo in (pair.first, pair.second)}
    return {
        "engine": name,
        "accuracy %": 100 * float(np.mean(folds)),
        "+- %": 100 * float(np.std(folds)) / len(folds) ** 0.5,
        "threshold": one.pair_threshold,
        "FMR %": 100 * fmr,
        "TMR %": 100 * tmr,
        "right %": 100 * share((found.distances <= one.pair_threshold) == found.same),
        "TMR % at FMR 0.1 %": 100 * found.true_matches_at(_STRICT),
        "photos": len(photos),
        "without a face": sum(encoded[photo, True] is None for photo in photos),
    }


def compared(pairs: Sequence[Pair], encoded: Encoded, one: Rule) -> PairDistances:
    """The distance of each pair."""
    distances = np.full(len(pairs), np.inf)
    for number, pair in enumerate(pairs):
        first, second = encoded[pair.first, True], encoded[pair.second, True]
        if first is not None and second is not None:
            distances[number] = one.between(first[None], second[None])[0]
    return PairDistances(
        distances, np.array([pair.same for pair in pairs]), np.array([pair.fold for pair in pairs], dtype=np.intp)
    )


def every_pair(
    pairs: Sequence[Pair], encoded: Mapping[str, Encoded], rules: Mapping[str, Rule]
) -> dict[str, PairDistances]:
    """By engine. People are told by the photos' folders."""
    photos = sorted({photo for pair in pairs for photo in (pair.first, pair.second)})
    if len(photos) > _MOST_PHOTOS:
        photos = [photos[at] for at in np.random.default_rng(0).choice(len(photos), _MOST_PHOTOS, replace=False)]
    return {name: _every_pair(sorted(photos), encoded[name], one) for name, one in rules.items()}


def _every_pair(photos: Sequence[Path], encoded: Encoded, one: Rule) -> PairDistances:
    seen = [(photo, encoding) for photo in photos if (encoding := encoded[photo, True]) is not None]
    encodings = np.array([encoding for _, encoding in seen])
    people = np.unique([str(photo.parent) for photo, _ in seen], return_inverse=True)[1]
    distances = [one.between(encodings[at : at + 1], encodings[at + 1 :]) for at in range(len(seen))]
    same = [people[at] == people[at + 1 :] for at in range(len(seen))]
    joined = np.concatenate(distances)
    return PairDistances(joined, np.concatenate(same), np.zeros(len(joined), dtype=np.intp))


def every_pair_rows(found: Mapping[str, PairDistances], rules: Mapping[str, Rule]) -> list[Row]:
    """One for each engine, over every pair: enough different pairs to measure rare false matches."""
    most = max(found.values(), key=lambda one: len(one.same))
    table = EVERY.format(same=f"{most.same.sum():,}", different=f"{(~most.same).sum():,}")
    made: list[Row] = []
    for name, one in found.items():
        fmr, tmr = one.rates(rules[name].pair_threshold)
        promised = rules[name].pair_promise
        made.append(
            {
                "table": table,
                "engine": name,
                "threshold": rules[name].pair_threshold,
                "promised FMR %": None if promised is None else 100 * promised,
                "FMR %": 100 * fmr,
                "TMR %": 100 * tmr,
                "TMR % at FMR 1 %": 100 * one.true_matches_at(0.01),
                "TMR % at FMR 0.1 %": 100 * one.true_matches_at(0.001),
                "TMR % at FMR 0.01 %": 100 * one.true_matches_at(0.0001),
            }
        )
    return made
