"""CHGNet with the weights in its package, evaluated in batches of boxed molecules.

Source: Deng et al., Nature Machine Intelligence 5, 1031 (2023). CHGNet was trained on periodic inorganic crystals and
requires a cell, so each molecule is put into a box in which it does not interact with its images.
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
from harness.compute.saved_precision import saved_dtype
from harness.compute.torch_potential import Output, PackedTensors, TorchPotential
from harness.core.family import Family
from harness.core.known_checkpoints import known_models
from harness.core.potential import LoadOptions, Potential, PotentialTraits
from harness.trust.pickles import sha256_of

FAMILY: Final = Family("chgnet", __name__, "chgnet", extra="chgnet", methods=("chgnet", "chgnet-r2scan"))

MIN_BOX: Final = 20.0
"""Smallest edge of a box, Å."""

_ELEMENTS: Final = frozenset(range(1, 95)) - frozenset(range(84, 89))
"""The 89 elements of MPtrj: H to Pu without Po, At, Rn, Fr and Ra, whose rows in the network are still random."""


@dataclass(frozen=True, slots=True)
class Weights:
    """Weights in the package.

    Attributes:
        version: CHGNet's name for them.
        level_of_theory: Level of theory of the training labels.
    """

    version: str
    level_of_theory: str


METHODS: Final[Mapping[str, Weights]] = MappingProxyType(
    {
        "chgnet": Weights("0.3.0", known_models("chgnet")["chgnet"]),
        "chgnet-r2scan": Weights("r2scan", known_models("chgnet")["chgnet-r2scan"]),
    }
)


@dataclass(frozen=True, slots=True)
class Graphs:
    """The input of the network for a batch.

    Attributes:
        made: Graph of each molecule that has one, by index, in the order of the batch.
        failures: Why the other molecules have no graph, by index.
    """

    made: dict[int, Any]
    failures: dict[int, str]


class ChgnetPotential(TorchPotential):
    """A CHGNet model.

    Args:
        network: The network on its device.
        traits: Its traits.
    """

    def __init__(self, network: Any, traits: PotentialTraits) -> None:
        super().__init__(traits)
        self._network = network
        self._cutoff = float(network.graph_converter.atom_graph_cutoff)

    def graph(self, batch: PackedTensors) -> Graphs:
        """A graph of each molecule; a molecule without one, such as an isolated atom, is a failure.

        Graphs are made one by one in CPU memory, whatever the device.
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
        """Energies and forces of the molecules that have a graph."""
        import torch

        energy = torch.zeros(batch.n_structures, dtype=torch.float64, device=batch.device)
        forces = torch.zeros_like(batch.positions)
        if graph.made:
            made = list(graph.made.values())
            # Atomic energies, since CHGNet rounds the energy of a molecule to single precision after the sum.
            sites = self._network(made, task="e", return_site_energies=True)["site_energies"]
            total = torch.stack([each.double().sum() for each in sites])
            # CHGNet's own forces keep the graph of second derivatives for training: twice the time and memory.
            gradients = torch.autograd.grad(total.sum(), [each.atom_frac_coord for each in made])
            # The gradients are by fractional coordinates in cubic boxes.
            edges = [each.lattice[0, 0].double() for each in made]
            cartesian = [gradient.double() / edge for gradient, edge in zip(gradients, edges, strict=True)]
            is_made = torch.zeros(batch.n_structures, dtype=torch.bool, device=batch.device)
            is_made[list(graph.made)] = True
            energy[is_made] = total.detach()
            forces[is_made[batch.system_idx]] = -torch.cat(cartesian)
        return Output(energy, forces, graph.failures)

    def _graph_of(self, atomic_numbers: IntArray, positions: FloatArray) -> Any:
        graph = self._network.graph_converter(boxed(atomic_numbers, positions, self._cutoff))
        graph.lattice = graph.lattice.detach()  # no stress is needed, and PyTorch warns of an unused gradient
        return graph.to(self._traits.device)


def boxed(atomic_numbers: IntArray, positions: FloatArray, cutoff: float) -> Any:
    """A molecule in a cubic box in which no atom is closer to an image than twice the cutoff.

    Args:
        atomic_numbers: Shape (n_atoms,).
        positions: Shape (n_atoms, 3), Å.
        cutoff: Å.

    Returns:
        A `Structure` of pymatgen. Its atoms surround the origin, where single precision is finest.
    """
    from pymatgen.core.lattice import Lattice
    from pymatgen.core.structure import Structure

    exact = np.asarray(positions, dtype=np.float64)
    lowest, highest = exact.min(axis=0), exact.max(axis=0)
    edge = max(MIN_BOX, float((highest - lowest).max()) + 2.0 * cutoff)
    species: list[Any] = atomic_numbers.tolist()
    return Structure(Lattice.cubic(edge), species, exact - (lowest + highest) / 2.0, coords_are_cartesian=True)


def load(method: str, options: LoadOptions) -> Potential:
    """CHGNet with one of the sets of weights in its package.

    Args:
        method: A key of `METHODS`.
        options: Only the device is used.

    Raises:
        ModelError: If the installed package lacks the weights.
        UsageError: If the device is absent, or a precision other than float32 or a readout head was requested.
    """
    import torch

    if options.dtype not in (None, "float32"):
        raise UsageError(f"{method} computes in float32 only, not in {options.dtype!r}; leave --dtype out")
    options.require_no_head(method)
    device = resolve_device(options.device)
    weights = METHODS[method]
    path = _weights_file(weights.version)
    # Standard output is reserved for the report, and CHGNet prints its number of parameters there.
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
        saved_dtype=saved_dtype(state["model"]["state_dict"].values()),
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
            f"{directory} contains {len(found)} files *.pth.tar; expected one. This version of chgnet keeps its "
            "weights elsewhere; install the version in constraints.txt"
        )
    return found[0]
