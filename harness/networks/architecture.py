"""What is known of a network: how it is built, and what it is trained with where the user does not say."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, TypeAlias

if TYPE_CHECKING:
    from torch.nn import Module

PLUGIN_FAMILY: Final = "plugin"
"""Family of potentials that reads the networks of installed plug-ins."""

Build: TypeAlias = "Callable[[Any, tuple[int, ...], bool], Module]"
"""Builds a network with random weights from its arguments, the atomic numbers that it will see, and whether it is to be
compiled. It imports what it needs when it is called."""


@dataclass(frozen=True, slots=True)
class NetworkArguments:
    """What determines the shape of a network.

    Attributes:
        channels: Features of an atom.
        radial_features: Functions that a distance is expanded in.
        layers: Rounds of message passing.
        cutoff: Distance within which atoms are neighbours, Å.
    """

    channels: int
    radial_features: int
    layers: int
    cutoff: float


@dataclass(frozen=True, slots=True)
class Plugin:
    """The installed package that an architecture comes from.

    Attributes:
        package: Its name, as pip knows it.
        version: Its version.
    """

    package: str
    version: str


@dataclass(frozen=True, slots=True)
class Architecture:
    """A network that `harness train` trains.

    The network takes a `MoleculeGraph` and gives the energy of each atom, eV, as `local_energies`; energies of
    elements and forces are added outside of it.

    Attributes:
        name: What `--arch` takes, in any case.
        build: Builds it with random weights, drawn from torch's global generator.
        arguments: What `build` is given by default: a frozen dataclass with numbers, texts and booleans, among them
            `cutoff`, Å, within which neighbours are sought, and `layers` if there are rounds of message passing.
            `None` where the network is only trained further, and a checkpoint says what it is made of.
        batch_size: Frames of a step.
        learning_rate: Peak of the schedule.
        family: Family of potentials that reads its checkpoints.
        packages: Python packages that compute it, beside PyTorch and the plug-in.
        extra: Of this project, which installs the first of them.
        hops_of_embedding: Cutoffs that the first embedding of an atom reaches, before any round of message passing.
        sees_all: Whether the energy of an atom may depend on every other, however far.
        can_compile: Whether PyTorch's compiler takes it whole.
        elements: Atomic numbers that it can be built for; `None` for any.
        plugin: The package that adds it; set when it is found, and `None` for those of this project.
    """

    name: str
    build: Build
    arguments: Any
    batch_size: int
    learning_rate: float
    family: str = PLUGIN_FAMILY
    packages: tuple[str, ...] = ()
    extra: str | None = None
    hops_of_embedding: int = 0
    sees_all: bool = False
    can_compile: bool = False
    elements: frozenset[int] | None = None
    plugin: Plugin | None = None

    @property
    def computes_with(self) -> tuple[str, ...]:
        """Python packages whose versions belong to what it computes."""
        own = () if self.plugin is None else (self.plugin.package,)
        return (*own, *self.packages, "torch", "safetensors")

    @property
    def title(self) -> str:
        """What messages call it: its name, and the package that it comes from."""
        if self.plugin is None:
            return self.name
        return f"the architecture {self.name} of the plug-in {self.plugin.package} {self.plugin.version}"

    def receptive_field(self, cutoff: float, layers: int) -> float | None:
        """Distance beyond which the energy of an atom depends on no other atom, Å; `None` where there is none."""
        return None if self.sees_all else (self.hops_of_embedding + layers) * cutoff
