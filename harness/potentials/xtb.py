"""GFN2-xTB and GFN1-xTB as controls.

GFN2-xTB is the method of the labels, so it must reproduce them; GFN1-xTB is another physics method
that was not trained on these molecules.
"""

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from types import MappingProxyType
from typing import Any, Final

import numpy as np

from dataset_builders.chemistry.xtb import XtbMethod, cold_singlepoint
from dataset_builders.core.arrays import FloatArray
from dataset_builders.core.errors import ConvergenceError, UsageError
from harness.compute.device import require_cpu_and_float64
from harness.compute.elements import require_elements_of_batch
from harness.core.batch import Prediction, StructureBatch
from harness.core.family import Family
from harness.core.potential import LoadOptions, Potential, PotentialTraits

FAMILY: Final = Family("xtb", __name__, "tblite", methods=("gfn2-xtb", "gfn1-xtb"))

METHODS: Final[Mapping[str, XtbMethod]] = MappingProxyType({"gfn2-xtb": "GFN2-xTB", "gfn1-xtb": "GFN1-xTB"})
_ELEMENTS: Final = frozenset(range(1, 87))
"""H to Rn, for which both methods have parameters."""


class XtbPotential:
    """One of the xTB methods; as for the labels, each structure starts from a fresh SCF guess.

    Args:
        method: Name of the potential, a key of `METHODS`.
        threads: Number of structures computed at a time.
    """

    def __init__(self, method: str, threads: int) -> None:
        import tblite.interface  # noqa: F401 - loads the OpenMP library, which the controller must find
        from threadpoolctl import ThreadpoolController  # type: ignore[import-untyped]

        self._method = METHODS[method]
        self._threads = threads
        self._controller: Any = ThreadpoolController()
        self._traits = PotentialTraits(
            model_id=method,
            family="xtb",
            elements=_ELEMENTS,
            packages=("tblite",),
            protocol="control",
            level_of_theory=self._method,
            threads=threads,
        )

    @property
    def traits(self) -> PotentialTraits:
        """What is known about the potential."""
        return self._traits

    def compute(self, batch: StructureBatch) -> Prediction:
        """Energies (eV) and forces (eV/Å); an SCF that does not converge is a failure.

        Raises:
            ModelError: If an element is beyond radon.
        """
        require_elements_of_batch(self._traits, batch)
        energy = np.full(batch.n_structures, np.nan)
        forces = np.full((len(batch.atomic_numbers), 3), np.nan)
        failures: dict[int, str] = {}
        offsets = batch.offsets

        def compute_one(index: int) -> tuple[float, FloatArray] | str:
            atoms = slice(offsets[index], offsets[index + 1])
            try:
                return cold_singlepoint(self._method, batch.atomic_numbers[atoms], batch.positions[atoms])
            except ConvergenceError as cause:
                return str(cause)

        # Worker threads even for one structure: the OpenMP limit of the caller's own thread stays unchanged.
        with ThreadPoolExecutor(self._threads, initializer=self._one_openmp_thread) as executor:
            for index, outcome in enumerate(executor.map(compute_one, range(batch.n_structures))):
                if isinstance(outcome, str):
                    failures[index] = outcome
                else:
                    energy[index], forces[offsets[index] : offsets[index + 1]] = outcome
        return Prediction(energy, forces, failures)

    def _one_openmp_thread(self) -> None:
        # OpenMP stores its number of threads per calling thread, and more than one changes the last bits.
        self._controller.limit(limits=1, user_api="openmp")


def load(method: str, options: LoadOptions) -> Potential:
    """Loads GFN2-xTB or GFN1-xTB.

    Args:
        method: A key of `METHODS`.
        options: Only `threads` is used.

    Raises:
        UsageError: If the number of threads is below one, or a device other than the CPU or a
            precision other than float64, or a readout head, was requested.
    """
    require_cpu_and_float64(method, options)
    options.require_no_head(method)
    if options.threads < 1:
        raise UsageError(f"{options.threads} threads for {method}; expected 1 or more")
    return XtbPotential(method, options.threads)
