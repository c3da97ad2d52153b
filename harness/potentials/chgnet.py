"""CHGNet with the weights that its package holds, evaluated in batches of boxed molecules.

Source: Deng et al., Nature Machine Intelligence 5, 1031 (2023). CHGNet was trained on periodic inorganic crystals and
knows no molecules without a cell, so each molecule is put into a box in which it does not meet its images.
"""

import contextlib
import importlib.resources
import io
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

import numpy as np

from dataset_builders.core.arrays import FloatArray, IntArray
from dataset_builders.core.errors import ModelError, UsageError
from harness.compute.device import resolve_device
from harness.compute.torch_potential import Output, PackedTensors, TorchPotential
from harness.core.family import Family
from harness.core.potential import LoadOptions, Potential, PotentialTraits
from harness.trust.pickles import sha256_of

FAMILY: Final = Family("chgnet", __name__, "chgnet", extra="chgnet", methods=("chgnet", "chgnet-r2scan"))

MIN_BOX: Final = 20.0
"""Smallest edge of a box, Å."""

_ELEMENTS: Final = frozenset(range(1, 95)) - frozenset(range(84, 89))
"""The 89 elements of MPtrj: H to Pu without Po, At, Rn, Fr and Ra, whose rows in the network are still random."""


@dataclass(frozen=True, slots=True)
class Weights:
    """Weights that the package holds.

    Attributes:
        version: CHGNet's name for them.
        level_of_theory: Level of the training labels.
    """

    version: str
    level_of_theory: str


METHODS: Final[Mapping[str, Weights]] = MappingProxyType(
    {
        "chgnet": Weights("0.3.0", "PBE/PBE+U (MPtrj)"),
        "chgnet-r2scan": Weights("r2scan", "r2SCAN (MP-r2SCAN)"),
    }
)


@dataclass(frozen=True, slots=True)
class Graphs:
    """The input of the network for a batch.

    Attributes:
        made: Graph of each molecule that makes one, by its number, in the order of the batch.
        failures: Why the others make none, by their numbers.
    """

    made: dict[int, Any]
    failures: dict[int, str]


class ChgnetPotential(TorchPotential):
    """A CHGNet.

    Args:
        network: The network on its device.
        traits: What is known of it.
    """

    def __init__(self, network: Any, traits: PotentialTraits) -> None:
        super().__init__(traits)
        self._network = network
        self._cutoff = float(network.graph_converter.atom_graph_cutoff)

    def graph(self, batch: PackedTensors) -> Graphs:
        """A graph of each molecule; one that makes none (an isolated atom, say) is a failure.

        They are made one by one in the memory of the CPU, whatever the device.
        """
        atomic_numbers, positions = batch.atomic_numbers.cpu().numpy(), batch.positions.cpu().numpy()
        graphs = Graphs({}, {})
        for index, (start, end) in enumerate(pairwise(batch.offsets.tolist())):
            try:
                graphs.made[index] = self._graph_of(atomic_numbers[start:end], positions[start:end])
            except ValueError as cause:
                graphs.failures[index] = str(cause)
        return graphs

    def forward(self, graph: Graphs, batch: PackedTensors) -> Output:
        """Energies and forces of the molecules that made a graph."""
        import torch

        energy = torch.zeros(batch.n_structures, dtype=torch.float64, device=batch.device)
        forces = torch.zeros_like(batch.positions)
        if graph.made:
            made = list(graph.made.values())
            # Energies for each atom, since one for each molecule is rounded to single precision after the sum.
            sites = self._network(made, task="e", return_site_energies=True)["site_energies"]
            total = torch.stack([each.double().sum() for each in sites])
            # CHGNet's own forces keep what training needs, the gradient of the gradient: twice the time and memory.
            gradients = torch.autograd.grad(total.sum(), [each.atom_frac_coord for each in made])
            # By fractional coordinates in cubic boxes.
            edges = [each.lattice[0, 0].double() for each in made]
            cartesian = [gradient.double() / edge for gradient, edge in zip(gradients, edges, strict=True)]
            is_made = torch.zeros(batch.n_structures, dtype=torch.bool, device=batch.device)
            is_made[list(graph.made)] = True
            energy[is_made] = total.detach()
            forces[is_made[batch.system_idx]] = -torch.cat(cartesian)
        return Output(energy, forces, graph.failures)

    def _graph_of(self, atomic_numbers: IntArray, positions: FloatArray) -> Any:
        graph = self._network.graph_converter(boxed(atomic_numbers, positions, self._cutoff))
        graph.lattice = graph.lattice.detach()  # no stress is asked for, and PyTorch warns of an unused gradient
        return graph.to(self._traits.device)


def boxed(atomic_numbers: IntArray, positions: FloatArray, cutoff: float) -> Any:
    """A molecule in a cubic box, in which no atom comes nearer to an image than twice the cutoff.

    Args:
        atomic_numbers: Shape (n_atoms,).
        positions: Shape (n_atoms, 3), Å.
        cutoff: Å.

    Returns:
        A `Structure` of pymatgen. Its atoms lie around the origin, where single precision is finest.
    """
    from pymatgen.core.lattice import Lattice
    from pymatgen.core.structure import Structure

    exact = np.asarray(positions, dtype=np.float64)
    lowest, highest = exact.min(axis=0), exact.max(axis=0)
    edge = max(MIN_BOX, float((highest - lowest).max()) + 2.0 * cutoff)
    species: list[Any] = atomic_numbers.tolist()
    return Structure(Lattice.cubic(edge), species, exact - (lowest + highest) / 2.0, coords_are_cartesian=True)


def load(method: str, options: LoadOptions) -> Potential:
    """CHGNet with some of the weights that its package holds.

    Args:
        method: A key of `METHODS`.
        options: Of which the device counts.

    Raises:
        ModelError: If the installed package lacks the weights.
        UsageError: If the device is absent, or another precision than float32 or a readout head was asked for.
    """
    import torch

    if options.dtype not in (None, "float32"):
        raise UsageError(f"{method} computes in float32 only, not in {options.dtype!r}; leave --dtype out")
    if options.head is not None:
        raise UsageError(f"{method} has no readout heads, so not {options.head!r} either; leave --head out")
    device = resolve_device(options.device)
    weights = METHODS[method]
    path = _weights_file(weights.version)
    # Standard output is the report's: CHGNet prints its number of parameters there.
    with contextlib.redirect_stdout(io.StringIO()):
        from chgnet.model.model import CHGNet

        state = torch.load(path, map_location="cpu", weights_only=True)
        network = CHGNet.from_dict(state["model"], version=weights.version)
    traits = PotentialTraits(
        model_id=method,
        family="chgnet",
        elements=_ELEMENTS,
        files={path.name: sha256_of(path)},
        packages=("chgnet", "pymatgen", "torch"),
        dtype="float32",
        device=str(device),
        level_of_theory=weights.level_of_theory,
        needs_cell=True,
    )
    return ChgnetPotential(network.to(device).eval().requires_grad_(False), traits)


def _weights_file(version: str) -> Path:
    directory = Path(str(importlib.resources.files("chgnet"))) / "pretrained" / version
    found = sorted(directory.glob("*.pth.tar"))
    if len(found) != 1:
        raise ModelError(
            f"{directory} holds {len(found)} files *.pth.tar; expected one. This version of chgnet keeps its weights "
            "elsewhere; install the one that constraints.txt names"
        )
    return found[0]
