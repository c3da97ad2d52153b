"""What predictions depend on, and the run folder named after it."""

import functools
import json
import re
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Final

from dataset_builders.core.hashes import SHORT_HASH, document_sha256
from dataset_builders.tasks.regions import TaskName
from harness.compute.arithmetic import deciding_variables
from harness.core import source_code
from harness.core.potential import PotentialTraits
from harness.data.dataset import PinnedDataset
from harness.models.registry import families

_PREDICTS: Final = "harness.evaluation.run"
"""Packages that make predictions, with everything they import."""

AFTER_PREDICTIONS: Final = frozenset(
    {
        "dataset_builders.tasks.drawn",
        "harness.scoring.cluster_variance",
        "harness.scoring.clusters",
        "harness.scoring.group_rows",
        "harness.scoring.influences",
        "harness.scoring.intervals",
        "harness.scoring.score_interval",
        "harness.scoring.task_result",
        "harness.scoring.joining",
        "harness.inference.stopwatch",
        "harness.results.cost",
        "harness.results.manifest",
        "harness.results.result",
    }
)
"""Modules that process existing predictions or record what was done; only the evaluation uses them."""


@functools.cache
def code_hash(family: str) -> str:
    """sha256 over the code that can change a prediction of a family: shared prediction code and the family's adapter.

    Everything that this code imports counts, at any depth, including the modules of a plug-in. Code of other families
    does not count, so that adding a family does not invalidate finished runs.

    Args:
        family: Name of a family; if it is not registered, only the code shared by all families counts.

    Raises:
        SetupError: If the source of its adapter cannot be found.
    """
    own = sorted(each.module for each in families() if each.name == family)
    return document_sha256(
        {"family": family, "code": source_code.code_hash(_PREDICTS, *own, without=AFTER_PREDICTIONS)}
    )


def model_hash(traits: PotentialTraits) -> str:
    """sha256 over family, files and readout head; the name replaces the files for a method that has none."""
    return document_sha256(
        {"family": traits.family, "files": dict(traits.files) or traits.model_id, "head": traits.head}
    )


def package_versions(traits: PotentialTraits) -> dict[str, str]:
    """Versions of the packages that compute predictions."""
    return {name: traits.versions.get(name) or version(name) for name in sorted(traits.packages)}


def run_identity(
    traits: PotentialTraits, dataset: PinnedDataset, tasks: Sequence[TaskName], batch_atoms: int
) -> dict[str, str]:
    """Everything that the predictions of a run depend on, to the last bit.

    The tasks count, since they decide which frames share a batch. So do the versions of the packages
    that compute, since a run resumed after an upgrade would mix two versions.
    """
    identity = {
        "model_hash": model_hash(traits),
        "dataset_hash": dataset.content_hash,
        "code_hash": code_hash(traits.family),
        "dtype": traits.dtype,
        "device": traits.device.split(":")[0],
        "packages": json.dumps(package_versions(traits), sort_keys=True),
        "tasks": " ".join(tasks),
        "batch_atoms": str(batch_atoms),
    }
    # The number of threads is left out: the result records it, and a run may be resumed with another.
    arithmetic = {**traits.precision, **deciding_variables(traits.variables, threads=False)}
    if arithmetic:
        identity["arithmetic"] = json.dumps(arithmetic, sort_keys=True)
    if traits.training == "stated":
        # Predictions do not depend on this statement, but the result does; another statement makes another result.
        identity["stated"] = " ".join(filter(None, (traits.protocol, traits.trained_on, traits.base)))
    return identity | {"compiled": "yes"} if traits.is_compiled else identity


def run_directory(output: Path, model_id: str, identity: Mapping[str, str]) -> Path:
    """The folder of a run: `OUTPUT/<model>/<12 hex digits of its identity>`."""
    return output / model_slug(model_id) / document_sha256(identity)[:SHORT_HASH]


def model_slug(model_id: str) -> str:
    """A folder name for a model: the last two parts of a path, with `-` in place of other than word characters."""
    parts = [part for part in re.split(r"[/\\]+", model_id) if part not in ("", ".", "..")]
    slug = re.sub(r"[^\w.@+-]+", "-", "-".join(parts[-2:])).strip("-.")
    return slug or "model"
