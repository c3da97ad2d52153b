"""What each network is trained with where the user does not say."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final

from dataset_builders.core.errors import UsageError
from harness.networks.checkpoint_format import (
    ARCHITECTURES,
    FOUNDATIONS,
    HOPS_OF_EMBEDDING,
    Architecture,
    Foundation,
    NetworkArguments,
)

LOCAL: Final = "-local"
"""End of the name of a strictly local network, such as `painn-local`."""

LOCAL_FIELD: Final = 3.0
"""Å. An atom in the middle of a spacer of four or more CH2 sees no heavy atom of both ends within it."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """Settings of a network.

    Attributes:
        arguments: Its shape.
        batch_size: Frames of a step.
        learning_rate: Peak of the schedule.
    """

    arguments: NetworkArguments | Mapping[str, Any]
    batch_size: int
    learning_rate: float


RECIPES: Final[Mapping[Architecture, Recipe]] = MappingProxyType(
    {
        "PaiNN": Recipe(NetworkArguments(64, 20, 3, 5.0), 4, 2e-3),
        "SchNet": Recipe(NetworkArguments(64, 25, 3, 5.0), 4, 3e-3),
        "TensorNet": Recipe(NetworkArguments(32, 16, 1, 5.0), 4, 3e-3),
        "NequIP": Recipe(NetworkArguments(16, 8, 2, 5.0), 4, 1e-2),
        "MACE": Recipe(NetworkArguments(16, 8, 2, 5.0), 4, 1e-2),
        "DimeNet++": Recipe(NetworkArguments(64, 6, 2, 5.0), 4, 1e-3),
        "ViSNet": Recipe(NetworkArguments(64, 32, 2, 5.0), 4, 1e-3),
    }
)

FINE_TUNING: Final[Mapping[Foundation, Recipe]] = MappingProxyType(
    {"ANI": Recipe({}, 8, 3e-4), "MACE-torch": Recipe({}, 4, 3e-4)}
)
"""Settings where the training starts from a foundation model, which has a shape of its own."""

FINE_TUNING_SHARE: Final = 0.3
"""Of the learning rate of a recipe, where the training starts from a checkpoint of such a network."""


@dataclass(frozen=True, slots=True)
class ArchitectureName:
    """A network as the user names it.

    Attributes:
        architecture: The network.
        is_local: Whether its receptive field is to be `LOCAL_FIELD`.
    """

    architecture: Architecture | Foundation
    is_local: bool


def parse_architecture(text: str) -> ArchitectureName:
    """Reads the name of a network in any case, with `-local` at its end for a strictly local one.

    Raises:
        UsageError: If there is no such network.
    """
    known: dict[str, Architecture | Foundation] = {name.lower(): name for name in (*ARCHITECTURES, *FOUNDATIONS)}
    lower = text.lower()
    name = known.get(lower.removesuffix(LOCAL))
    if name is None or (lower.endswith(LOCAL) and name in FOUNDATIONS):
        raise UsageError(f"unknown --arch {text}; expected one of {' '.join(known)}, with {LOCAL} for a local one")
    return ArchitectureName(name, lower.endswith(LOCAL))


def limited_to(architecture: Architecture, shape: NetworkArguments, field: float) -> NetworkArguments:
    """A shape whose receptive field is at most a length.

    The cutoff is kept where it fits into the length, with as many rounds of message passing as fit; else one round is
    left, with a cutoff of that length.

    Args:
        architecture: Kind of network.
        shape: Shape to change.
        field: Å.

    Raises:
        UsageError: If the length is not above 0, or the first embedding of the network reaches further by itself.
    """
    if not field > 0.0:
        raise UsageError(f"--receptive-field {field:g}; expected a length in Å above 0")
    before = HOPS_OF_EMBEDDING.get(architecture, 0)
    # A length such as 0.3 is no whole number of 0.1 in binary arithmetic.
    hops = int(field / shape.cutoff + 1e-9)
    if hops > before:
        return NetworkArguments(shape.channels, shape.radial_features, min(shape.layers, hops - before), shape.cutoff)
    if before:
        raise UsageError(
            f"--receptive-field {field:g} with a cutoff of {shape.cutoff:g} Å; {architecture} has one hop before its "
            f"first round of message passing, so it reaches {2 * shape.cutoff:g} Å or more. Lower --cutoff, or take "
            "another network"
        )
    return NetworkArguments(shape.channels, shape.radial_features, 1, field)
