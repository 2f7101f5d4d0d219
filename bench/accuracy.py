"""How often faces are recognised rightly: pairs of photos, identification, detection; offline, by the engines alone."""

import os
from collections.abc import Iterator, Sequence

from bench import detection, identification, plots, verification
from bench.engines import Look, encode_all
from bench.identification import GalleryPlan
from bench.inputs import Inputs
from bench.scoring import rule
from bench.tables import Row

TITLE = "Accuracy"
DETECTION = "Detection: recall by the marked face's shorter side; false boxes meet no marked face"


def run() -> list[Row]:
    """The rows of all tables; prints what is skipped and why, and draws. InputError for what cannot be read."""
    inputs = Inputs.of(os.environ)
    for reason in inputs.missing:
        print(f"  skipped: {reason}")
    plans = identification.plan(inputs.people) if inputs.strangers else []
    if inputs.strangers and not plans:
        print("  skipped: open set: two people with four photos each are wanted")
    rows = _recognition(inputs, plans) if inputs.pairs or plans else []
    if inputs.boxes:
        found = detection.run(inputs.boxes)
        plots.detection(found)
        rows += [{"table": DETECTION, **row} for row in found]
    return rows


def _recognition(inputs: Inputs, plans: Sequence[GalleryPlan]) -> list[Row]:
    encoded = encode_all(set(_looks(inputs, plans)))
    rules = {name: rule(name) for name in encoded}
    rows: list[Row] = []
    if inputs.pairs:
        compared = verification.every_pair(inputs.pairs, encoded, rules)
        rows += verification.rows(inputs.pairs, encoded, rules) + verification.every_pair_rows(compared, rules)
        plots.roc(compared, rules)
        plots.distances(compared, rules)
    if plans:
        found = identification.measure(plans, inputs.strangers, encoded, rules)
        rows += identification.rows(found, plans)
        plots.open_set(found)
    return rows


def _looks(inputs: Inputs, plans: Sequence[GalleryPlan]) -> Iterator[Look]:
    """Photos that are enrolled or compared are read with care, probes are not; as the worker does."""
    for pair in inputs.pairs:
        yield from ((pair.first, True), (pair.second, True))
    for plan in plans:
        yield from ((photo, True) for photos in plan.enrolled.values() for photo in photos)
        yield from ((photo, False) for photo, _ in plan.probes)
    if plans:
        yield from ((photo, False) for photo in inputs.strangers)
