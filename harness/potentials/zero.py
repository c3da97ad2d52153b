"""Zero energy and zero forces: the guess without any knowledge, which sets the scale of every score."""

from typing import Final

import numpy as np

from harness.compute.device import require_cpu_and_float64
from harness.core.batch import Prediction, StructureBatch
from harness.core.family import Family
from harness.core.potential import LoadOptions, Potential, PotentialTraits

FAMILY: Final = Family("zero", __name__, "numpy", methods=("zero",))

_TRAITS: Final = PotentialTraits(model_id="zero", family="zero", elements=None, packages=("numpy",), protocol="control")


class Zero:
    """Predicts only zeros."""

    @property
    def traits(self) -> PotentialTraits:
        """What is known about the potential."""
        return _TRAITS

    def compute(self, batch: StructureBatch) -> Prediction:
        """Zero energies and zero forces."""
        return Prediction(np.zeros(batch.n_structures), np.zeros((len(batch.atomic_numbers), 3)), {})


def load(method: str, options: LoadOptions) -> Potential:
    """The zero-force baseline.

    Raises:
        UsageError: If a device other than the CPU or a precision other than float64, or a readout head, was requested.
    """
    require_cpu_and_float64(method, options)
    options.require_no_head(method)
    return Zero()
