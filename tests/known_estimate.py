"""Estimates whose standard error is known."""

import math

import numpy as np

from bridgelab.statistics.estimate import Runs, Sample


def known(value, error, runs=None, number=400):
    """Return an estimate of one run with a standard error over images alone."""
    rng = np.random.default_rng(abs(hash((value, error))) % 2**32)
    own = rng.normal(size=number)
    return of(value, error * own / np.sqrt((own**2).sum()), runs)


def of(value, influence, runs=None):
    sample, runs = Sample(np.arange(len(influence))), runs or Runs((0,))
    scores = np.full((1, len(influence)), value) + influence * math.sqrt(
        len(influence) * (len(influence) - 1)
    )
    return sample.mean(scores - scores.mean() + value, runs, within_unit=False)
