"""Builds the network of a checkpoint from its description, with random weights."""

import logging
from collections.abc import Mapping
from dataclasses import is_dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from dataset_builders.core.errors import MissingPackageError, ModelError, SetupError, UsageError
from harness.networks.added import find_architecture, installed_plugin
from harness.networks.architecture import Architecture, NetworkArguments
from harness.networks.arguments import ArgumentsError, with_values
from harness.networks.checkpoint_format import CheckpointConfig, require_own_weights, symbol_of
from harness.trust.errors_of_others import cause_of, must_propagate
from harness.trust.surroundings import Surroundings, inside

if TYPE_CHECKING:
    from torch.nn import Module

_LOG: Final = logging.getLogger(__name__)


def build_network(
    architecture: str,
    arguments: NetworkArguments | Mapping[str, Any],
    elements: tuple[int, ...],
    *,
    traceable: bool = False,
) -> "Module":
    """Builds a network with random weights, drawn from torch's global generator.

    It takes a `MoleculeGraph` and returns the energies of its atoms as `local_energies`.

    Args:
        architecture: Name of an architecture of this project or of a plug-in; no other code is loaded.
        arguments: Its shape.
        elements: Atomic numbers of the task; most networks do not need them.
        traceable: Whether the network will be compiled. Otherwise NequIP and MACE contain TorchScript; tensors and
            results are the same.

    Raises:
        ModelError: If the architecture is unknown, its arguments are invalid, or a plug-in cannot build it.
        SetupError: If a plug-in cannot be used, or the library of the network is not installed.
    """
    try:
        found = find_architecture(architecture)
    except UsageError as cause:
        raise ModelError(str(cause)) from cause
    if found.plugin is not None:
        return _built_by_plugin(found, arguments, elements, traceable)
    _require_elements(found, elements)
    try:
        return found.build(arguments, elements, traceable)
    except ImportError as cause:
        raise _missing_package(found, cause) from cause


def require_plugin(directory: Path, config: CheckpointConfig) -> Architecture | None:
    """Finds the plug-in that a checkpoint was trained with; `None` for a network of this project.

    Another version of the plug-in is accepted with a warning: only its authors know whether the network is the same.

    Args:
        directory: Checkpoint folder.
        config: Config of the checkpoint.

    Raises:
        ModelError: If the plug-in is not installed, or the weights belong to another network.
        SetupError: If the plug-in cannot be used.
    """
    if config.plugin is None:
        return None
    found = installed_plugin(config.architecture, config.plugin.package, str(directory))
    require_own_weights(directory, config)
    assert found.plugin is not None
    if found.plugin.version != config.plugin.version:
        _LOG.warning(
            "%s was trained with %s %s, but %s is installed; if their networks differ, predictions differ too",
            directory,
            config.plugin.package,
            config.plugin.version,
            found.plugin.version,
        )
    return found


def _missing_package(architecture: Architecture, cause: ImportError) -> SetupError:
    purpose, environment = f"A {architecture.name} network", architecture.environment
    if architecture.extra is not None:
        return MissingPackageError(architecture.packages[0], architecture.extra, purpose)
    return SetupError(
        f"{purpose} is computed in the environment {environment} alone ({cause_of(cause)}). Create it with: python -m "
        f"harness env create {environment}; `python -m harness train` and `--model` then use it"
    )


def _built_by_plugin(
    architecture: Architecture, arguments: Any, elements: tuple[int, ...], traceable: bool
) -> "Module":
    """The network that a plug-in builds, in single precision; global settings that it changes are restored."""
    from torch.nn import Module

    from harness.networks.added_network import AddedNetwork

    title = architecture.title
    _require_elements(architecture, elements)
    try:
        values = arguments if is_dataclass(arguments) else with_values(architecture.arguments, arguments, whole=True)
    except ArgumentsError as cause:
        raise ModelError(f"{title}: {cause}. Install the plug-in version that the checkpoint names") from cause
    try:
        with inside(Surroundings(title)):
            network = architecture.build(values, elements, traceable)
    except BaseException as cause:
        if must_propagate(cause):
            raise
        if isinstance(cause, ImportError):
            raise SetupError(f"{title} needs a package that is not installed: {cause_of(cause)}; install it") from cause
        raise ModelError(
            f"{title} cannot be built with {values} for {' '.join(map(symbol_of, elements))}: {cause_of(cause)}; "
            "correct the arguments or the plug-in"
        ) from cause
    if not isinstance(network, Module):
        found = type(network).__name__
        raise ModelError(f"{title} builds an object of type {found}; expected a torch.nn.Module; correct the plug-in")
    return AddedNetwork(network.float(), title)


def _require_elements(architecture: Architecture, elements: tuple[int, ...]) -> None:
    known = architecture.elements
    missing = [] if known is None else [symbol_of(number) for number in elements if number not in known]
    if known is not None and missing:
        raise ModelError(
            f"{architecture.title} has no embedding for {' '.join(missing)}; it supports "
            f"{' '.join(map(symbol_of, sorted(known)))}. Choose a task without these elements, or another architecture"
        )
