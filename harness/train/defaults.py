"""Names of networks on the command line, and shapes with a limited receptive field."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from dataset_builders.core.errors import UsageError
from harness.networks.added import LOCAL, added_names, find_architecture
from harness.networks.architectures import BUILT_IN, FOUNDATIONS
from harness.networks.arguments import ArgumentsError, with_values

_Shape = TypeVar("_Shape", bound=Any)

LOCAL_FIELD: Final = 3.0
"""Å. From the middle of a spacer of four or more CH2, it reaches heavy atoms of at most one terminal fragment."""

FINE_TUNING_SHARE: Final = 0.3
"""Share of an architecture's learning rate that is used to train further from a checkpoint of that network."""


@dataclass(frozen=True, slots=True)
class ArchitectureName:
    """A network, as the user names it.

    Attributes:
        architecture: The network.
        is_local: Whether its receptive field is limited to `LOCAL_FIELD`.
    """

    architecture: str
    is_local: bool


def parse_architecture(text: str) -> ArchitectureName:
    """Parses the name of a network in any case, with the suffix `-local` for a strictly local one.

    Raises:
        UsageError: If the network is unknown.
        SetupError: If its plug-in cannot be used.
    """
    lower = text.lower()
    own = {each.name.lower(): each.name for each in BUILT_IN}
    is_local, bare = lower.endswith(LOCAL), lower.removesuffix(LOCAL)
    name = own.get(bare)
    if name is None and bare in (added.lower() for added in added_names()):
        name = find_architecture(bare).name
    if name is None or (is_local and name in FOUNDATIONS):
        known = " ".join(each.lower() for each in (*own, *added_names()))
        raise UsageError(
            f"unknown --arch {text}; expected one of {known}, with {LOCAL} for a local network, or the name of an "
            "architecture that an installed package adds (docs/architectures.md)"
        )
    return ArchitectureName(name, is_local)


def can_be_local(architecture: str) -> bool:
    """Whether `LOCAL_FIELD` can limit the receptive field of a network with its default shape."""
    shape = find_architecture(architecture).arguments
    if shape is None:
        return False
    try:
        limited_to(architecture, shape, LOCAL_FIELD)
    except UsageError:
        return False
    return True


def limited_to(architecture: str, shape: _Shape, field: float) -> _Shape:
    """Limits the receptive field of a shape.

    If the cutoff is within the limit, it is kept, with as many rounds of message passing as fit. Otherwise one round
    remains, with the limit as its cutoff.

    Args:
        architecture: The architecture.
        shape: Shape to change.
        field: Limit of the receptive field, Å.

    Raises:
        UsageError: If the limit is not above 0, or the network always reaches further.
    """
    if not field > 0.0:
        raise UsageError(f"--receptive-field {field:g}; expected a length in Å above 0")
    found = find_architecture(architecture)
    if found.sees_all:
        raise UsageError(
            f"--receptive-field {field:g} cannot limit {architecture}, in which each atom sees all others; choose "
            "another network"
        )
    before, cutoff, layers = found.hops_of_embedding, float(shape.cutoff), getattr(shape, "layers", None)
    if layers is None:
        return _changed(shape, {"cutoff": min(cutoff, field / before)})
    # A length such as 0.3 is not an exact multiple of 0.1 in binary arithmetic.
    hops = int(field / cutoff + 1e-9)
    smallest = before + found.hops_per_layer
    if hops >= smallest:
        return _changed(shape, {"layers": min(layers, (hops - before) // found.hops_per_layer)})
    if before:
        raise UsageError(
            f"--receptive-field {field:g} with a cutoff of {cutoff:g} Å; {architecture} has "
            f"{'one hop' if before == 1 else f'{before} hops'} before its first message-passing layer, so it "
            f"reaches {smallest * cutoff:g} Å or more. Lower --cutoff, or choose another network"
        )
    return _changed(shape, {"layers": 1, "cutoff": field / found.hops_per_layer})


def _changed(shape: _Shape, values: Mapping[str, Any]) -> _Shape:
    try:
        changed: _Shape = with_values(shape, values)
    except ArgumentsError as cause:
        raise UsageError(f"--receptive-field: {cause}") from cause
    return changed
