"""The record of an architecture: how its network is built, and the default training settings."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, TypeAlias

if TYPE_CHECKING:
    from torch.nn import Module

PLUGIN_FAMILY: Final = "plugin"
"""Family of potentials that reads the networks of plug-ins."""

Build: TypeAlias = "Callable[[Any, tuple[int, ...], bool], Module]"
"""Builds a network with random weights from its arguments, the atomic numbers of the task, and whether it will be
compiled. Imports are made when it is called."""


@dataclass(frozen=True, slots=True)
class NetworkArguments:
    """The shape of a network.

    Attributes:
        channels: Features per atom.
        radial_features: Radial basis functions of a distance.
        layers: Rounds of message passing.
        cutoff: Distance within which atoms are neighbours, Å.
    """

    channels: int
    radial_features: int
    layers: int
    cutoff: float


@dataclass(frozen=True, slots=True)
class Plugin:
    """The installed package that adds an architecture.

    Attributes:
        package: Its name in pip.
        version: Its version.
    """

    package: str
    version: str


@dataclass(frozen=True, slots=True)
class Architecture:
    """A network that `harness train` trains.

    The network takes a `MoleculeGraph` and returns the energy of each atom, eV, as `local_energies`; reference energies
    of elements and forces are added outside the network.

    Attributes:
        name: Value of `--arch`, in any case.
        build: Builds the network with random weights, drawn from torch's global generator.
        arguments: Default arguments of `build`: a frozen dataclass of numbers, strings and booleans, including
            `cutoff`, the neighbour cutoff in Å, and `layers` if there are rounds of message passing.
            `None` if the network is only trained further, from the description in a checkpoint.
        batch_size: Frames per step.
        learning_rate: Peak of the schedule.
        family: Family of potentials that reads its checkpoints.
        packages: Python packages that compute it, apart from PyTorch and the plug-in.
        extra: Extra of this project that installs the first of them.
        hops_of_embedding: Cutoffs that the initial embedding of an atom reaches, before any round of message passing.
        hops_per_layer: Cutoffs that each round of message passing adds.
        sees_all: Whether the energy of an atom may depend on all other atoms, however distant.
        can_compile: Whether PyTorch's compiler supports the whole network.
        elements: Atomic numbers that it supports; `None` for all.
        environment: The environment in which alone it is trained and evaluated, since its packages conflict with those
            of the harness; `None` if it runs beside the harness.
        plugin: The package that adds it, filled in on discovery; `None` for architectures of this project.
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
    hops_per_layer: int = 1
    sees_all: bool = False
    can_compile: bool = False
    elements: frozenset[int] | None = None
    environment: str | None = None
    plugin: Plugin | None = None

    @property
    def computes_with(self) -> tuple[str, ...]:
        """Python packages whose versions can change its results."""
        own = () if self.plugin is None else (self.plugin.package,)
        return (*own, *self.packages, "torch", "safetensors")

    @property
    def title(self) -> str:
        """Name for messages, with the package that adds it."""
        if self.plugin is None:
            return self.name
        return f"the architecture {self.name} of the plug-in {self.plugin.package} {self.plugin.version}"

    def receptive_field(self, cutoff: float, layers: int) -> float | None:
        """Distance beyond which the energy of an atom depends on no other atom, Å; `None` if there is no such limit."""
        return None if self.sees_all else (self.hops_of_embedding + self.hops_per_layer * layers) * cutoff
