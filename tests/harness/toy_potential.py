"""A potential with analytic forces, where physics is not the point."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from harness.core.batch import Prediction, StructureBatch
from harness.core.potential import PotentialTraits

SPRING = 0.25
TRAITS = PotentialTraits(model_id="toy", family="toy", elements=None, packages=("numpy",))


@dataclass
class Harmonic:
    """Every atom is tied to the centroid by one spring: E = k/2 sum |r - c|^2, F = -k (r - c)."""

    traits: PotentialTraits = TRAITS
    delay: float = 0.0
    before: Callable[[StructureBatch], None] = lambda batch: None
    sizes: list[int] = field(default_factory=list)

    def compute(self, batch: StructureBatch) -> Prediction:
        self.before(batch)
        time.sleep(self.delay)
        self.sizes.append(batch.n_structures)
        energy, forces = [], []
        for start, stop in zip(batch.offsets[:-1], batch.offsets[1:], strict=True):
            arm = batch.positions[start:stop] - batch.positions[start:stop].mean(axis=0)
            energy.append(0.5 * SPRING * float((arm**2).sum()))
            forces.append(-SPRING * arm)
        return Prediction(np.array(energy), np.concatenate(forces), {})
