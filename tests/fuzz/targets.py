"""All targets."""

from typing import Final

from tests.fuzz import checkpoint_targets, data_targets, hub_targets, result_targets
from tests.fuzz.planted import PLANTED
from tests.fuzz.target import Target

TARGETS: Final[tuple[Target, ...]] = (
    *checkpoint_targets.TARGETS,
    *data_targets.TARGETS,
    *hub_targets.TARGETS,
    *result_targets.TARGETS,
)


def target_named(name: str) -> Target:
    """The target of a name."""
    return next(each for each in (*TARGETS, PLANTED) if each.name == name)
