"""Adds to a model what the table of known checkpoints says of it: the level of theory that its files do not name."""

import logging
from dataclasses import replace
from pathlib import Path
from typing import Final

from dataset_builders.core.errors import UsageError
from harness.core.known_checkpoints import KnownCheckpoint, recognise
from harness.core.potential import PotentialTraits
from harness.models.registry import ModelSource

_LOG: Final = logging.getLogger(__name__)


def with_known_level(traits: PotentialTraits, model: ModelSource, stated: str | None) -> PotentialTraits:
    """The traits of a model that was not trained on a task, with its level of theory if it is a known checkpoint.

    The bytes of a file outweigh what the user states; a name does not.

    Args:
        traits: Traits of the model, with the training that was declared for it.
        model: The model as it was found.
        stated: Level of theory that the user stated, if any.

    Raises:
        UsageError: If the user stated that a published checkpoint, known by its bytes, was trained from scratch here.
    """
    found = None if traits.protocol == "control" else recognise(traits.files, _place(model), _method(model))
    if found is None:
        return traits
    checkpoint = found.checkpoint
    if traits.protocol != "zero-shot":
        _require_no_contradiction(traits, checkpoint, is_sure=found.by == "sha256")
        return traits
    level = checkpoint.level_of(traits.head)
    if found.by == "name" and (stated is not None or level is None):
        return traits
    if traits.level_of_theory not in (None, level):
        # The model names its own level, so a name that says otherwise is wrong.
        _LOG.warning(
            "%s has the name of %s (%s), but names %s itself, which counts",
            *(traits.model_id, checkpoint.name, level, traits.level_of_theory),
        )
        return traits
    return replace(traits, level_of_theory=level, known_as=checkpoint.name, known_by=found.by)


def _require_no_contradiction(traits: PotentialTraits, checkpoint: KnownCheckpoint, *, is_sure: bool) -> None:
    if is_sure and traits.protocol == "from-scratch" and traits.training == "stated":
        raise UsageError(
            f"{traits.model_id} is {checkpoint.name}, by the sha256 of its file, so it was not trained from scratch on "
            f"{traits.trained_on}. Evaluate it without --trained-on and without an mlip-ood.json beside it"
        )


def _method(model: ModelSource) -> str | None:
    return model.model_id if model.path is None else None


def _place(model: ModelSource) -> str | None:
    """The repo or folder that the user named; `None` if they named a file in it."""
    if model.path is None:
        return model.model_id
    named = model.model_id.rstrip("/")
    if model.revision is not None:
        return named if named.count("/") == 1 else None
    return str(Path(named).absolute()) if Path(named).is_dir() else None
