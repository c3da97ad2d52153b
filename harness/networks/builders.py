"""Builds the networks of this project; each library is imported only when one of its networks is built."""

from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from harness.networks.architecture import NetworkArguments
from harness.networks.graph_pes_package import graph_pes_models

if TYPE_CHECKING:
    from torch.nn import Module

ANGULAR_ORDER: Final = 2
"""Maximum spherical harmonic degree of the edges in NequIP and MACE; the other networks have no such parameter."""


def painn(arguments: NetworkArguments, _elements: tuple[int, ...], _traceable: bool) -> "Module":
    """PaiNN of graph-pes."""
    network: Module = graph_pes_models().PaiNN(
        channels=arguments.channels, radial_features=arguments.radial_features, **_common(arguments)
    )
    return network


def schnet(arguments: NetworkArguments, _elements: tuple[int, ...], _traceable: bool) -> "Module":
    """SchNet of graph-pes."""
    network: Module = graph_pes_models().SchNet(
        channels=arguments.channels, expansion_features=arguments.radial_features, **_common(arguments)
    )
    return network


def tensornet(arguments: NetworkArguments, _elements: tuple[int, ...], _traceable: bool) -> "Module":
    """TensorNet of graph-pes."""
    network: Module = graph_pes_models().TensorNet(
        channels=arguments.channels, radial_features=arguments.radial_features, **_common(arguments)
    )
    return network


def nequip(arguments: NetworkArguments, elements: tuple[int, ...], traceable: bool) -> "Module":
    """NequIP of graph-pes; it contains TorchScript unless it will be compiled."""
    models = graph_pes_models()
    from harness.networks.equivariant import build_equivariant

    features = {"channels": arguments.channels, "l_max": ANGULAR_ORDER, "use_odd_parity": True}
    symbols = _symbols(elements)
    make = partial(
        models.NequIP, symbols, features=features, radial_features=arguments.radial_features, **_common(arguments)
    )
    return build_equivariant(make, traceable)


def mace(arguments: NetworkArguments, elements: tuple[int, ...], traceable: bool) -> "Module":
    """MACE of graph-pes; it contains TorchScript unless it will be compiled."""
    models = graph_pes_models()
    from harness.networks.equivariant import build_equivariant

    sizes = {"channels": arguments.channels, "n_radial": arguments.radial_features, "l_max": ANGULAR_ORDER}
    symbols = _symbols(elements)
    return build_equivariant(partial(models.MACE, symbols, **sizes, **_common(arguments)), traceable)


def dimenet(arguments: NetworkArguments, _elements: tuple[int, ...], _traceable: bool) -> "Module":
    """DimeNet++ of PyTorch Geometric."""
    from harness.networks.pyg import DimeNet

    return DimeNet(arguments)


def visnet(arguments: NetworkArguments, _elements: tuple[int, ...], _traceable: bool) -> "Module":
    """ViSNet of PyTorch Geometric."""
    from harness.networks.pyg import ViSNet

    return ViSNet(arguments)


def gemnet(arguments: NetworkArguments, _elements: tuple[int, ...], _traceable: bool) -> "Module":
    """GemNet-T of fairchem-core 1."""
    from harness.networks.fairchem1 import GemNet

    return GemNet(arguments)


def esen(arguments: NetworkArguments, _elements: tuple[int, ...], _traceable: bool) -> "Module":
    """The conservative eSEN of fairchem-core 1."""
    from harness.networks.fairchem1 import ESEN

    return ESEN(arguments)


def ani(arguments: Mapping[str, Any], _elements: tuple[int, ...], _traceable: bool) -> "Module":
    """The first network of a TorchANI ensemble."""
    from harness.networks.trainable_ani import build_ani

    return build_ani(arguments)


def mace_torch(arguments: Mapping[str, Any], _elements: tuple[int, ...], _traceable: bool) -> "Module":
    """A MACE model of mace-torch."""
    from harness.networks.trainable_mace import build_mace

    return build_mace(arguments)


def so3lr(arguments: Mapping[str, Any], _elements: tuple[int, ...], _traceable: bool) -> "Module":
    """An SO3LR model of so3krates-torch."""
    from harness.networks.trainable_so3lr import build_so3lr

    return build_so3lr(arguments)


def _common(arguments: NetworkArguments) -> dict[str, Any]:
    return {"layers": arguments.layers, "cutoff": arguments.cutoff}


def _symbols(elements: tuple[int, ...]) -> list[str]:
    from ase.data import chemical_symbols

    return [str(chemical_symbols[number]) for number in elements]
