"""A population of round numbers."""

import numpy as np

from face_app.calibration import Population
from face_common.templates import DIMENSIONS

POPULATION = Population(
    whitening=np.eye(DIMENSIONS, dtype=np.float32),
    people=np.array([1.0, 10.0, 100.0]),
    nearest_mean=np.array([1.3, 1.1, 0.9]),
    nearest_spread=np.array([0.1, 0.08, 0.06]),
    pair_rates=np.array([1e-4, 1e-3, 1e-2, 1e-1]),
    pair_distances=np.array([0.4, 0.5, 0.6, 0.7]),
)
