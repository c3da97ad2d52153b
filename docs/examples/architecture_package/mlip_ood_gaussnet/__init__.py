"""An architecture that lives in a package of its own: a network of Gaussian densities of the neighbours.

This file is all that is imported before a network is built, so PyTorch is imported in `build`.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from harness.networks.architecture import Architecture

if TYPE_CHECKING:
    from torch.nn import Module


@dataclass(frozen=True, slots=True)
class GaussNetArguments:
    """What determines the shape of the network; `--set NAME=VALUE` changes a value, a checkpoint holds them all.

    Attributes:
        gaussians: How many functions a distance is expanded in.
        hidden: Width of the hidden layers.
        cutoff: Distance within which atoms are neighbours, Å.
    """

    gaussians: int = 24
    hidden: int = 48
    cutoff: float = 5.0

    def __post_init__(self) -> None:
        if self.gaussians < 2 or self.hidden < 1:
            raise ValueError(f"gaussians {self.gaussians}, hidden {self.hidden}; expected 2 or more, and 1 or more")


def build(arguments: GaussNetArguments, elements: tuple[int, ...], _traceable: bool) -> "Module":
    """Builds the network for some elements."""
    from mlip_ood_gaussnet.network import GaussNet

    return GaussNet(arguments, elements)


ARCHITECTURE = Architecture(
    "gaussnet",
    build,
    GaussNetArguments(),
    batch_size=8,
    learning_rate=3e-3,
    hops_of_embedding=1,  # it sees its neighbours, and has no rounds of message passing
    can_compile=True,
)
