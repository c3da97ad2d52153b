"""Tells which trainings run in an environment of their own, since the packages of their network conflict with ours."""

import argparse

from harness.models.resolve import resolve_model
from harness.networks.architectures import FOUNDATIONS, IN_ENVIRONMENTS
from harness.networks.control_checkpoints import CONTROL_ARCHITECTURES
from harness.train.defaults import parse_architecture


def needed_environment(options: argparse.Namespace) -> str | None:
    """The environment that a training needs; `None` if it runs beside the harness.

    Raises:
        UsageError: If the architecture or the initial model is unknown.
        ModelError: If the initial model has no checkpoint of a known family.
        SetupError: If the Hub cannot be reached, or a plug-in cannot be used.
    """
    if options.init is not None:
        environment = resolve_model(options.init, options.family).family.environment
        return environment if environment in IN_ENVIRONMENTS.values() else None
    if options.arch is None or options.arch.lower() in CONTROL_ARCHITECTURES:
        return None
    architecture = parse_architecture(options.arch).architecture
    # A foundation model is no architecture to train from scratch, which the training itself says.
    return None if architecture in FOUNDATIONS else IN_ENVIRONMENTS.get(architecture)
