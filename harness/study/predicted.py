"""Reads the predictions of a finished run; the only module of the study that depends on their file format."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, get_args

from dataset_builders.core.errors import DataError
from dataset_builders.core.hashes import SHORT_HASH
from dataset_builders.tasks.regions import TaskName
from harness.data.dataset import PinnedDataset, open_dataset
from harness.data.rows import stream_split
from harness.data.scan import scan_dataset
from harness.evaluation.run import SHARDS_NAME
from harness.inference.batching import make_plan
from harness.inference.shards import PredictionReader
from harness.results.manifest import Manifest
from harness.scoring.joining import TestSplit, join_task
from harness.scoring.paired_frames import TaskFrames

TEST_SPLITS: Final[tuple[TestSplit, ...]] = get_args(TestSplit)


@dataclass(frozen=True, slots=True)
class PredictedTask:
    """Predictions of a task with its labels.

    Attributes:
        frames: Predictions and labels; failed frames are separate.
        smiles: SMILES of every test molecule, by its id.
    """

    frames: TaskFrames
    smiles: Mapping[str, str]


def predicted_task(run: Path, task: TaskName, dataset: PinnedDataset | None = None) -> PredictedTask:
    """Reads the predictions of one task.

    Args:
        run: Folder of a finished run.
        task: One of the tasks of that run.
        dataset: Data set of the run; if `None`, it is opened from the location that the run used.

    Raises:
        DataError: If the run is not finished, used another data set, or lacks the task.
    """
    manifest = Manifest.load(run)
    if task not in manifest.tasks:
        raise DataError(f"the run in {run} contains {' '.join(manifest.tasks)}; expected {task} among them")
    dataset = dataset or open_dataset(manifest.dataset_directory, manifest.dataset.level)
    if dataset.content_hash != manifest.dataset.content_hash:
        of_run, now = manifest.dataset.content_hash[:SHORT_HASH], dataset.content_hash[:SHORT_HASH]
        raise DataError(
            f"the run in {run} is on data with content {of_run}, but {dataset.id} has {now}; evaluate the model again"
        )
    plan = make_plan(scan_dataset(dataset, manifest.tasks), manifest.batch_atoms)
    reader = PredictionReader(plan, run / SHARDS_NAME, manifest.identity)
    smiles = {
        str(name): str(text)
        for split in TEST_SPLITS
        for rows in stream_split(dataset, task, split)
        for name, text in zip(rows.molecule_id, rows.smiles, strict=True)
    }
    return PredictedTask(join_task(dataset, task, manifest.model.protocol, plan, reader), smiles)
