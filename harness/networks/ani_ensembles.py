"""The ensembles that TorchANI publishes, and how TorchANI assembles their networks."""

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final

from harness.core.known_checkpoints import known_models

PADDING: Final = -1
"""The atomic number that TorchANI uses for padding."""


@dataclass(frozen=True, slots=True)
class Ensemble:
    """A published ensemble.

    Attributes:
        atomic_numbers: Elements, in the order of the networks.
        architecture: TorchANI's name for the features and the layers.
        level_of_theory: Level of the training labels.
    """

    atomic_numbers: tuple[int, ...]
    architecture: str
    level_of_theory: str


_ARCHITECTURES: Final = {
    "ani2x_state_dict.pt": ((1, 6, 7, 8, 16, 9, 17), "ani2x"),
    "ani1x_state_dict.pt": ((1, 6, 7, 8), "ani1x"),
    "ani1ccx_state_dict.pt": ((1, 6, 7, 8), "ani1x"),
}

ENSEMBLES: Final[Mapping[str, Ensemble]] = MappingProxyType(
    {
        name: Ensemble(elements, architecture, known_models("torchani")[name])
        for name, (elements, architecture) in _ARCHITECTURES.items()
    }
)
"""Keyed by the file name that TorchANI publishes: nothing inside the file tells ANI-1x from ANI-1ccx."""


def assembled(ensemble: Ensemble) -> Any:
    """The networks with random weights, assembled as in TorchANI's own functions."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="The extensions")  # optional CUDA kernels, which are unused here
        from torchani.arch import Assembler
    from ase.data import chemical_symbols

    assembler = Assembler(neighborlist="all_pairs")
    assembler.set_symbols([chemical_symbols[number] for number in ensemble.atomic_numbers])
    assembler.set_global_cutoff_fn("cosine")
    assembler.set_aev_computer(radial=ensemble.architecture, angular=ensemble.architecture, strategy="pyaev")
    assembler.set_atomic_networks(ctor=ensemble.architecture)
    assembler.set_zeros_as_self_energies()
    return assembler.assemble(_N_NETWORKS)


_N_NETWORKS: Final = 8
