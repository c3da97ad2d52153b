"""Puts predictions beside the labels of the data set: what the evaluation of a task starts from."""

from collections.abc import Mapping
from typing import Final

import numpy as np

from dataset_builders.editions import SplitName
from dataset_builders.errors import DataError
from dataset_builders.tasks import TaskName
from harness.batching import Plan, SplitKey, ragged_indices
from harness.dataset import PinnedDataset
from harness.frames import FrameIndex, Labels, SplitFrames, TaskFrames, TrainFrames, index_molecules
from harness.potentials.base import ProtocolName
from harness.predict import Predictions
from harness.rows import SplitRows, read_reference_rows, read_split

SPLITS_NEEDED: Final[tuple[SplitName, ...]] = ("train", "test_id", "test_ood")


def read_task(dataset: PinnedDataset, task: TaskName) -> dict[SplitKey, SplitRows]:
    """Rows of a task that an evaluation needs; of `train` only what the reference shift is fitted on.

    Raises:
        DataError: If they cannot be read, break the schema, or train and OOD test share a molecule.
    """
    rows: dict[SplitKey, SplitRows] = {(task, "train"): read_reference_rows(dataset, task)}
    for split in ("test_id", "test_ood"):
        rows[task, split] = read_split(dataset, task, split)
    seen = set(rows[task, "train"].molecule_id) | set(rows[task, "test_id"].molecule_id)
    shared = sorted(seen & set(rows[task, "test_ood"].molecule_id))
    if shared:
        raise DataError(
            f"{len(shared)} molecules of {task} in {dataset.directory} stand in training and in test_ood, first "
            f"{shared[0]}; expected none. Build the data set again"
        )
    return rows


def join_task(
    task: TaskName,
    protocol: ProtocolName,
    rows: Mapping[SplitKey, SplitRows],
    plan: Plan,
    predictions: Predictions,
) -> TaskFrames:
    """The frames of a task with their labels and predictions; failed frames are recorded apart."""
    train = rows[task, "train"]
    predicted, failures = _predicted(plan, predictions, (task, "train"))
    return TaskFrames(
        task=task,
        protocol=protocol,
        train=TrainFrames(_index(train, "train"), train.energy, predicted.energy).without_failures(failures),
        test_id=_join_split(rows, plan, predictions, (task, "test_id")),
        test_ood=_join_split(rows, plan, predictions, (task, "test_ood")),
    )


def _join_split(rows: Mapping[SplitKey, SplitRows], plan: Plan, predictions: Predictions, key: SplitKey) -> SplitFrames:
    split = rows[key]
    predicted, failures = _predicted(plan, predictions, key)
    frames = SplitFrames(_index(split, key[1]), Labels(split.energy, split.forces), predicted)
    return frames.without_failures(failures)


def _index(rows: SplitRows, split: SplitName) -> FrameIndex:
    names = ("molecule_id", "left", "spacer", "right", "subset")
    molecules, molecule_idx = index_molecules({name: getattr(rows, name) for name in names})
    return FrameIndex(
        split=split,
        molecules=molecules,
        molecule_idx=molecule_idx,
        trajectory=rows.trajectory.astype(np.str_),
        frame=rows.frame,
        n_atoms=rows.n_atoms,
        atomic_numbers=rows.atomic_numbers,
    )


def _predicted(plan: Plan, predictions: Predictions, key: SplitKey) -> tuple[Labels, dict[int, str]]:
    """Energies and forces in the order of the rows of a split, and failures by row."""
    places = plan.rows[key]
    atoms = ragged_indices(plan.work.offsets[places], plan.work.n_atoms[places])
    failures = {
        row: predictions.failures[int(place)] for row, place in enumerate(places) if int(place) in predictions.failures
    }
    return Labels(predictions.energy[places], predictions.forces[atoms]), failures
