"""The networks that a checkpoint may hold: built from a description, with random weights."""

import importlib
import sys
from collections.abc import Mapping
from functools import partial
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

from dataset_builders.core.errors import MissingPackageError, ModelError
from harness.networks.checkpoint_format import (
    ARCHITECTURES,
    FAMILIES,
    Architecture,
    FamilyName,
    Foundation,
    NetworkArguments,
    symbol_of,
)

if TYPE_CHECKING:
    from torch.nn import Module

ANGULAR_ORDER: Final = 2
"""Highest spherical harmonic of the edges in NequIP and MACE; the other networks have no such choice."""

_PACKAGES: Final[Mapping[FamilyName, tuple[str, str]]] = MappingProxyType(
    {
        "graph-pes": ("graph-pes", "graph-pes"),
        "pyg": ("torch-geometric", "pyg"),
        "torchani-tuned": ("torchani", "torchani"),
        "mace-tuned": ("mace-torch", "mace"),
    }
)
"""Package and extra of each family."""


def build_network(
    architecture: Architecture | Foundation,
    arguments: NetworkArguments | Mapping[str, Any],
    elements: tuple[int, ...],
    *,
    traceable: bool = False,
) -> "Module":
    """Builds a network with random weights, drawn from torch's global generator.

    It takes a `MoleculeGraph` and gives the energies of its atoms as `local_energies`.

    Args:
        architecture: Its class, of those on the lists; no other class is ever looked up.
        arguments: Its shape.
        elements: Atomic numbers it will see; most networks do not need to know them beforehand.
        traceable: Whether it is to be compiled. NequIP and MACE hold TorchScript otherwise; their tensors and what
            they compute are the same.

    Raises:
        ModelError: If the architecture is not on the list, or its arguments do not fit it.
        MissingPackageError: If the library of the network is not installed.
    """
    if architecture not in FAMILIES:
        raise ModelError(f"unknown architecture {architecture!r}; expected one of {' '.join(FAMILIES)}")
    try:
        network: Module = _built(architecture, arguments, elements, traceable)
    except ImportError as cause:
        raise MissingPackageError(*_PACKAGES[FAMILIES[architecture]], f"A {architecture} network") from cause
    return network


def _built(
    architecture: Architecture | Foundation,
    arguments: NetworkArguments | Mapping[str, Any],
    elements: tuple[int, ...],
    traceable: bool,
) -> Any:
    if isinstance(arguments, NetworkArguments):
        if FAMILIES[architecture] != "pyg":
            return _from_graph_pes(architecture, arguments, elements, traceable)
        from harness.networks.pyg import DimeNet, ViSNet

        return DimeNet(arguments) if architecture == "DimeNet++" else ViSNet(arguments)
    if architecture == "ANI":
        from harness.networks.trainable_ani import build_ani

        return build_ani(arguments)
    from harness.networks.trainable_mace import build_mace

    return build_mace(arguments)


def _from_graph_pes(
    architecture: Architecture | Foundation, arguments: NetworkArguments, elements: tuple[int, ...], traceable: bool
) -> Any:
    models = _graph_pes_models()
    common: dict[str, Any] = {"layers": arguments.layers, "cutoff": arguments.cutoff}
    channels, radial = arguments.channels, arguments.radial_features
    symbols = [symbol_of(number) for number in elements]
    match architecture:
        case "PaiNN":
            return models.PaiNN(channels=channels, radial_features=radial, **common)
        case "SchNet":
            return models.SchNet(channels=channels, expansion_features=radial, **common)
        case "TensorNet":
            return models.TensorNet(channels=channels, radial_features=radial, **common)
        case "NequIP":
            from harness.networks.equivariant import build_equivariant

            features = {"channels": channels, "l_max": ANGULAR_ORDER, "use_odd_parity": True}
            make = partial(models.NequIP, symbols, features=features, radial_features=radial, **common)
            return build_equivariant(make, traceable)
        case "MACE":
            from harness.networks.equivariant import build_equivariant

            make = partial(models.MACE, symbols, channels=channels, n_radial=radial, l_max=ANGULAR_ORDER, **common)
            return build_equivariant(make, traceable)
    raise ModelError(f"graph-pes has no {architecture!r}; expected one of {' '.join(ARCHITECTURES)}")


def _graph_pes_models() -> Any:
    """`graph_pes.models`, where mpi4py counts as absent if it finds no MPI library.

    Lightning, which graph-pes 1.0 starts when it is imported, is prepared for an ImportError from it only; mpi4py 4.1
    raises RuntimeError. ASE takes an imported mpi4py for one that works, so it does not stay imported.
    """
    before = set(sys.modules)
    if "graph_pes" not in before:
        try:
            importlib.import_module("mpi4py.MPI")
        except ImportError:
            pass
        except RuntimeError:
            sys.modules["mpi4py.MPI"] = None  # type: ignore[assignment]  # importing it is an ImportError then
    try:
        from graph_pes import models

        return models
    finally:
        if sys.modules.get("mpi4py.MPI", ...) is None:
            for name in [name for name in sys.modules if name.partition(".")[0] == "mpi4py" and name not in before]:
                del sys.modules[name]
