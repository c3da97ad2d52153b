"""The adapter: `load(source, options)` gives a potential with `traits` and `compute(batch)`."""

import hashlib
import json
from pathlib import Path

import numpy as np

from dataset_builders.core.errors import ModelError
from harness.core.batch import Prediction, StructureBatch
from harness.core.potential import LoadOptions, PotentialTraits


class Springs:
    """Every atom is tied to the centre of its molecule by a spring.

    Args:
        constant: Of the springs, eV/Å².
        traits: What is known of the potential.
    """

    def __init__(self, constant: float, traits: PotentialTraits) -> None:
        self._constant = constant
        self.traits = traits

    def compute(self, batch: StructureBatch) -> Prediction:
        """Energies (eV) and forces (eV/Å)."""
        centres = np.add.reduceat(batch.positions, batch.offsets[:-1]) / batch.n_atoms[:, None]
        stretched = batch.positions - centres[batch.system_idx]
        energy = 0.5 * self._constant * np.add.reduceat((stretched**2).sum(axis=1), batch.offsets[:-1])
        return Prediction(energy, -self._constant * stretched, {})


def load(source: Path | str, options: LoadOptions) -> Springs:
    """Reads `{"constant": 1.5}`; the name `springs` stands for a constant of 1 eV/Å²."""
    constant, files = 1.0, {}
    if isinstance(source, Path):
        content = source.read_bytes()
        files = {source.name: hashlib.sha256(content).hexdigest()}
        try:
            constant = float(json.loads(content)["constant"])
        except (ValueError, KeyError, TypeError) as cause:
            raise ModelError(f'{source} is {content[:40]!r}; expected {{"constant": NUMBER}}') from cause
    traits = PotentialTraits(
        model_id=str(source), family="springs", elements=None, files=files, packages=("mlip-ood-springs",)
    )
    return Springs(constant, traits)
