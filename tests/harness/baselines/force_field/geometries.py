"""Molecules with every kind of term, shaken."""

from typing import Final

import numpy as np

from dataset_builders.chemistry.sampling import embed
from dataset_builders.core.arrays import FloatArray

MOLECULES: Final = ("CCO", "CC(N)=O", "CCC#N", "CCS", "O=CCCl")


def shaken(smiles: str, n_frames: int, seed: int, amplitude: float = 0.05) -> FloatArray:
    """Geometries, shape (n_frames, n_atoms, 3), Å."""
    rest = embed(smiles, 1)
    noise: FloatArray = np.random.default_rng(seed).normal(scale=amplitude, size=(n_frames, *rest.shape))
    return rest + noise
