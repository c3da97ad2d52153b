"""Delta learning: a network trained on the difference to a physics method, plus that method."""

from dataclasses import replace

from harness.core.batch import Prediction, StructureBatch
from harness.core.potential import LoadOptions, Potential, PotentialTraits
from harness.networks.checkpoint_format import BaselineName
from harness.potentials import mmff94, xtb


class DeltaPotential:
    """The sum of a physics method and a network.

    Args:
        baseline: The method; it computes on the CPU, in float64.
        correction: The network.
    """

    def __init__(self, baseline: Potential, correction: Potential) -> None:
        self._baseline = baseline
        self._correction = correction
        packages = (*correction.traits.packages, *baseline.traits.packages)
        self._traits = replace(correction.traits, packages=packages)

    @property
    def traits(self) -> PotentialTraits:
        """Traits of the network, with the packages of both."""
        return self._traits

    def compute(self, batch: StructureBatch) -> Prediction:
        """Energies (eV) and forces (eV/Å); a structure that either of the two cannot compute is a failure.

        Raises:
            ModelError: If the network has no parameters for an element.
            torch.OutOfMemoryError: If the batch does not fit on the device.
        """
        correction = self._correction.compute(batch)
        baseline = self._baseline.compute(batch)
        return Prediction(
            energy=baseline.energy + correction.energy,
            forces=baseline.forces + correction.forces,
            failures={**correction.failures, **baseline.failures},
        )


def load_baseline(name: BaselineName, threads: int) -> Potential:
    """Loads a physics method by name.

    Args:
        name: Name of the method.
        threads: Number of structures that it computes at a time, if it supports this.
    """
    options = LoadOptions(threads=threads)
    return mmff94.load(name, options) if name == "mmff94" else xtb.load(name, options)


def with_baseline(name: BaselineName, correction: Potential, options: LoadOptions) -> Potential:
    """A network that was trained on the difference between the labels and a physics method.

    Args:
        name: The method.
        correction: The network.
        options: Only `threads` is used; the network has its device and precision already.
    """
    return DeltaPotential(load_baseline(name, options.threads), correction)
