"""What predictions depend on, and the folder of a run that is named after it."""

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
"""What makes predictions, with all that it imports."""

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
        "harness.results.manifest",
        "harness.results.result",
    }
)
"""Modules that start from predictions which are there, or write down what was done; only the evaluation uses them."""


@functools.cache
def code_hash(family: str) -> str:
    """sha256 over the code that can change a prediction of a family: what makes predictions, and the family's adapter.

    All that these import counts, at whatever depth, the modules of a plug-in too. Code of other families does not, so
    that a new one leaves every finished run valid.

    Args:
        family: Name of a family; of one that is not registered only what all families share counts.

    Raises:
        SetupError: If the source of its adapter cannot be found.
    """
    own = sorted(each.module for each in families() if each.name == family)
    return document_sha256(
        {"family": family, "code": source_code.code_hash(_PREDICTS, *own, without=AFTER_PREDICTIONS)}
    )


def model_hash(traits: PotentialTraits) -> str:
    """sha256 over family, files and readout head; the name stands for a method that has no files."""
    return document_sha256(
        {"family": traits.family, "files": dict(traits.files) or traits.model_id, "head": traits.head}
    )


def package_versions(traits: PotentialTraits) -> dict[str, str]:
    """Versions of the packages that compute."""
    return {name: traits.versions.get(name) or version(name) for name in sorted(traits.packages)}


def run_identity(
    traits: PotentialTraits, dataset: PinnedDataset, tasks: Sequence[TaskName], batch_atoms: int
) -> dict[str, str]:
    """Everything that the predictions of a run depend on, down to their last bits.

    The tasks count, since they decide which frames share a batch; so do the versions of the packages
    that compute, since a run that goes on after an upgrade would mix two of them.
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
    # The number of threads is left out: it stands in the result, and a run may go on with another.
    arithmetic = {**traits.precision, **deciding_variables(traits.variables, threads=False)}
    if arithmetic:
        identity["arithmetic"] = json.dumps(arithmetic, sort_keys=True)
    if traits.training == "stated":
        # No prediction depends on it, but the result does, and one that is stated otherwise is another one.
        identity["stated"] = " ".join(filter(None, (traits.protocol, traits.trained_on, traits.base)))
    return identity | {"compiled": "yes"} if traits.is_compiled else identity


def run_directory(output: Path, model_id: str, identity: Mapping[str, str]) -> Path:
    """The folder of a run: `OUTPUT/<model>/<12 hex digits of its identity>`."""
    return output / model_slug(model_id) / document_sha256(identity)[:SHORT_HASH]


def model_slug(model_id: str) -> str:
    """A folder name for a model: of a path its last two parts, with `-` for what is not a word character."""
    parts = [part for part in re.split(r"[/\\]+", model_id) if part not in ("", ".", "..")]
    slug = re.sub(r"[^\w.@+-]+", "-", "-".join(parts[-2:])).strip("-.")
    return slug or "model"
