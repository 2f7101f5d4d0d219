"""Learns what the worker knows of people in general, from photos of people: `learn_population.py PEOPLE STRANGERS`.

PEOPLE is a folder of person/photo, STRANGERS a folder of photos of other people, one each. For each kind of encoding it
writes services/app/face_app/population/<model>.npz: statistics over many people, from which nobody's encoding can be
had. See Population in face_app/calibration.py for what the arrays are. Prints what cross-validation over people says.
"""

import argparse
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from face_app.engine import load_engine
from face_app.recognition import Engine, PhotoRequest, read_photo

ROOT = Path(__file__).resolve().parent.parent
TARGET = ROOT / "services" / "app" / "face_app" / "population"
SHRINKAGE = 0.7  # of the within-class covariance towards its mean variance: the best of 0.3 to 0.9 by cross-validation
SIZES = (1, 2, 5, 10, 20, 50, 100)
ENROLLED = 3
ROUNDS = 60
RATES = (1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2, 0.1, 0.3)
PROFILES = ("balanced", "quick")  # one for each kind of encoding: quick's is exact's

Floats = NDArray[np.float64]


def main() -> None:
    """Encode, learn, check, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("people", type=Path)
    parser.add_argument("strangers", type=Path)
    options = parser.parse_args()
    TARGET.mkdir(exist_ok=True)
    for profile in PROFILES:
        engine = load_engine("fast", profile, Path("~/.cache/elastic-face").expanduser())
        people = Encoded(engine, sorted(folder for folder in options.people.iterdir() if folder.is_dir()))
        others = np.array([_encode(engine, photo, careful=False) for photo in sorted(options.strangers.iterdir())])
        others = unit(others[~np.isnan(others[:, 0])])
        print(f"{engine.model}: {len(people.careful)} people, {len(others)} others")
        check(people, others)
        np.savez(TARGET / f"{engine.model}.npz", **learn(people, others))


class Encoded:
    """Each person's photos as encodings of unit length: as they are enrolled, and as they are probed."""

    def __init__(self, engine: Engine, folders: Sequence[Path]) -> None:
        self.careful = [unit(_photos(engine, folder, careful=True)) for folder in folders]
        self.quick = [unit(_photos(engine, folder, careful=False)) for folder in folders]


def _photos(engine: Engine, folder: Path, *, careful: bool) -> Floats:
    found = np.array([_encode(engine, photo, careful=careful) for photo in sorted(folder.iterdir())])
    kept: Floats = found[~np.isnan(found[:, 0])]
    return kept


def _encode(engine: Engine, photo: Path, *, careful: bool) -> Sequence[float]:
    reading = read_photo(engine, PhotoRequest(photo.read_bytes(), 1, careful=careful))
    return reading.faces[0].encoding if reading.faces else [np.nan] * 128


def unit(vectors: Floats) -> Floats:
    """Scaled to length 1."""
    scaled: Floats = vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)
    return scaled


def whitening(people: Sequence[Floats]) -> Floats:
    """The inverse of the shrunken within-class covariance, scaled to a mean eigenvalue of 1."""
    deviations = [
        (photos - photos.mean(0)) * (len(photos) / (len(photos) - 1)) ** 0.5 for photos in people if len(photos) > 1
    ]
    stacked = np.vstack(deviations)
    covariance = stacked.T @ stacked / len(stacked)
    size = len(covariance)
    shrunken = (1 - SHRINKAGE) * covariance + SHRINKAGE * np.trace(covariance) / size * np.eye(size)
    inverse: Floats = np.linalg.inv(shrunken)
    return inverse / np.trace(inverse) * size


def distances(metric: Floats, probes: Floats, centroids: Floats) -> Floats:
    """(probes, centroids)."""
    lengths = np.sqrt(np.einsum("nd,de,ne->n", probes, metric, probes))
    spreads = np.sqrt(np.einsum("nd,de,ne->n", centroids, metric, centroids))
    similarity = probes @ metric @ centroids.T / lengths[:, None] / spreads
    found: Floats = np.sqrt(np.maximum(2 - 2 * similarity, 0))
    return found


def learn(people: Encoded, others: Floats) -> dict[str, NDArray[np.generic]]:
    """The arrays of a Population."""
    metric = whitening(people.careful)
    sizes = [size for size in SIZES if size <= len(people.careful)]
    nearest = [
        np.concatenate([distances(metric, others, gallery).min(1) for gallery in _galleries(people, size)])
        for size in sizes
    ]
    pairs = _pair_distances(people)
    return {
        "whitening": metric.astype(np.float32),
        "people": np.array(sizes, dtype=np.float64),
        "nearest_mean": np.array([found.mean() for found in nearest]),
        "nearest_spread": np.array([found.std() for found in nearest]),
        "pair_rates": np.array(RATES),
        "pair_distances": np.quantile(pairs, RATES),
    }


def _galleries(people: Encoded, size: int) -> Iterator[Floats]:
    """Random galleries of so many people: centroids (size, 128)."""
    for seed in range(ROUNDS):
        random = np.random.default_rng(seed)
        chosen = random.permutation(len(people.careful))[:size]
        yield np.array([random.permutation(people.careful[who])[:ENROLLED].mean(0) for who in chosen])


def _pair_distances(people: Encoded) -> Floats:
    """Between photos of different people, as a verification compares them."""
    owners = np.repeat(np.arange(len(people.careful)), [len(photos) for photos in people.careful])
    stacked = np.vstack(people.careful)
    found = np.sqrt(np.maximum(2 - 2 * stacked @ stacked.T, 0))
    different: Floats = found[owners[:, None] < owners]
    return different


def check(people: Encoded, others: Floats) -> None:
    """Identification with a metric learned on one half of the people, in galleries of the other half."""
    outcomes: dict[str, list[list[float]]] = {"plain": [], "whitened": []}
    for seed in range(20):
        random = np.random.default_rng(seed)
        order = random.permutation(len(people.careful))
        inside, outside = order[: len(order) // 2], order[len(order) // 2 :]
        learned = whitening([people.careful[who] for who in outside])
        for name, metric in (("plain", np.eye(len(learned))), ("whitened", learned)):
            outcomes[name].append(_identified(metric, people, inside, others))
    for name, rates in outcomes.items():
        shares = "  ".join(f"{share:.4f}" for share in np.mean(rates, axis=0))
        print(f"  {name}: identified when 0.3 % / 1 % / 3 % of strangers are named: {shares}")


def _identified(metric: Floats, people: Encoded, chosen: NDArray[np.intp], others: Floats) -> list[float]:
    centroids = np.array([people.careful[who][:ENROLLED].mean(0) for who in chosen])
    probes = np.vstack([people.quick[who][ENROLLED:] for who in chosen])
    owners = np.repeat(np.arange(len(chosen)), [max(len(people.quick[who]) - ENROLLED, 0) for who in chosen])
    found = distances(metric, probes, centroids)
    right, nearest = found.argmin(1) == owners, found.min(1)
    strangers = distances(metric, others, centroids).min(1)
    return [float((right & (nearest <= np.quantile(strangers, rate))).mean()) for rate in (0.003, 0.01, 0.03)]


if __name__ == "__main__":
    sys.exit(main())
