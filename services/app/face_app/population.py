"""Reads what scripts/learn_population.py has learned."""

from functools import cache
from importlib.resources import files

import numpy as np

from face_app.calibration import Population


@cache
def population(model: str) -> Population:
    """What is known of people in general, for encodings of this model; FileNotFoundError for an unknown one."""
    with files("face_app").joinpath("population", f"{model}.npz").open("rb") as file, np.load(file) as arrays:
        return Population(**arrays)
