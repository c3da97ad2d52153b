"""Small molecules and a small MACE for the tests of potentials."""

import copy
import functools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from dataset_builders.chemistry.mmff94 import atomic_numbers_of
from dataset_builders.chemistry.sampling import embed
from dataset_builders.core.arrays import FloatArray, IntArray
from dataset_builders.tasks.words import Word, word
from harness.core.batch import StructureBatch
from harness.networks.mace_package import importing_mace

WORDS = (word("OH", 1, "H"), word("CHO", 1, "H"), word("NH2", 2, "H"))
"""Methanol, acetaldehyde and ethylamine: H, C, N and O, and three sizes."""


def packed(parts: Sequence[tuple[IntArray, FloatArray, str]]) -> StructureBatch:
    """A read-only batch of (atomic_numbers, positions, smiles)."""
    atomic_numbers = np.concatenate([numbers for numbers, _, _ in parts])
    positions = np.concatenate([coordinates for _, coordinates, _ in parts])
    n_atoms = np.array([len(numbers) for numbers, _, _ in parts], dtype=np.int64)
    for array in (atomic_numbers, positions, n_atoms):
        array.flags.writeable = False
    return StructureBatch(atomic_numbers, positions, n_atoms, tuple(smiles for _, _, smiles in parts))


def unpacked(batch: StructureBatch) -> list[tuple[IntArray, FloatArray, str]]:
    """The structures of a batch, one by one."""
    bounds = batch.offsets[1:-1]
    return list(
        zip(np.split(batch.atomic_numbers, bounds), np.split(batch.positions, bounds), batch.smiles, strict=True)
    )


def molecules(words: Sequence[Word] = WORDS, seed: int = 7) -> StructureBatch:
    """Molecules shaken by 0.05 Å, so that no force is zero by symmetry or relaxation."""
    random = np.random.default_rng(seed)
    parts = []
    for each in words:
        positions = embed(each.smiles, seed)
        positions += random.normal(scale=0.05, size=positions.shape)
        parts.append((atomic_numbers_of(each.smiles), positions, each.smiles))
    return packed(parts)


def small_mace(**changes: Any) -> Any:
    """A random ScaleShiftMACE for H, C, N and O in float64, saved nowhere yet."""
    return _new_mace(**changes) if changes else copy.deepcopy(_unchanged_mace())


@functools.cache
def _unchanged_mace() -> Any:
    return _new_mace()


def _new_mace(**changes: Any) -> Any:
    import torch

    with importing_mace() as modules:
        from e3nn import o3
        from mace.tools.torch_tools import default_dtype

    heads = changes.get("heads") or ["Default"]
    arguments: dict[str, Any] = {
        "r_max": 3.0,
        "num_bessel": 4,
        "num_polynomial_cutoff": 5,
        "max_ell": 1,
        "interaction_cls": modules.interaction_classes["RealAgnosticResidualInteractionBlock"],
        "interaction_cls_first": modules.interaction_classes["RealAgnosticInteractionBlock"],
        "num_interactions": 2,
        "num_elements": 4,
        "hidden_irreps": o3.Irreps("4x0e+4x1o"),
        "MLP_irreps": o3.Irreps("4x0e"),
        "atomic_energies": np.outer(1.0 + np.arange(len(heads)), [-10.7, -1029.3, -1484.3, -2041.4]),
        "avg_num_neighbors": 6.0,
        "atomic_numbers": [1, 6, 7, 8],
        "correlation": 2,
        "gate": torch.nn.functional.silu,
        "radial_MLP": [8],
        "atomic_inter_scale": [1.0] * len(heads),
        "atomic_inter_shift": [0.1] * len(heads),
    }
    torch.manual_seed(3)
    with default_dtype("float64"):
        return modules.ScaleShiftMACE(**(arguments | changes))


def saved(model: object, path: Path) -> Path:
    """The path of the model, saved whole as mace-torch does."""
    import torch

    torch.save(model, path)
    return path
