"""Joins predictions with the labels of the data set, the input of a task's evaluation."""

from collections.abc import Iterator, Mapping
from typing import Literal

import numpy as np

from dataset_builders.core.arrays import IntArray
from dataset_builders.tasks.editions import SplitName
from dataset_builders.tasks.regions import TaskName
from dataset_builders.tasks.words import Word
from harness.core.potential import ProtocolName
from harness.data.dataset import PinnedDataset
from harness.data.rows import SplitRows, concatenated, reference_frames, stream_split
from harness.data.scan import stream_needed
from harness.inference.batching import Plan
from harness.inference.shards import PredictionReader
from harness.scoring.frame_traits import FrameTraits
from harness.scoring.paired_frames import FrameIndex, Labels, SplitFrames, TaskFrames, TrainFrames, index_molecules
from harness.scoring.totals import SplitTotals, TaskTotals, TotalsBuilder
from harness.scoring.training_parts import TrainingParts, TrainingPartsBuilder, traits_of

TestSplit = Literal["test_id", "test_ood"]


def sum_task(
    dataset: PinnedDataset, task: TaskName, protocol: ProtocolName, plan: Plan, reader: PredictionReader
) -> TaskTotals:
    """Sums everything that the metrics of a task need; labels and predictions are read piece by piece.

    Args:
        dataset: Data set of the plan.
        task: Task to evaluate.
        protocol: How the model was trained on the task's molecules.
        plan: Complete plan of the run.
        reader: Predictions of the run.

    Raises:
        DataError: If labels or predictions cannot be read or are inconsistent.
    """
    train, parts = _join_train(dataset, task, plan, reader)

    def summed(split: TestSplit) -> SplitTotals:
        builder = TotalsBuilder(split, len(plan.rows[task, split]))
        for _, frames in join_pieces(dataset, task, split, plan, reader, parts):
            builder.add(frames)
        return builder.finish()

    return TaskTotals(task, protocol, train, summed("test_id"), summed("test_ood"), parts)


def join_task(
    dataset: PinnedDataset, task: TaskName, protocol: ProtocolName, plan: Plan, reader: PredictionReader
) -> TaskFrames:
    """Loads the frames of a task with labels and predictions into memory; arguments as for `sum_task`.

    Failed frames are recorded separately.
    """

    def whole(split: TestSplit) -> SplitFrames:
        rows = concatenated(list(stream_needed(dataset, (task, split))))
        return _join(rows, plan.rows[task, split], split, reader, traits_of(rows, split, parts, words))

    train, parts = _join_train(dataset, task, plan, reader)
    words = _declared_words(dataset, task)
    return TaskFrames(task, protocol, train, whole("test_id"), whole("test_ood"), parts)


def join_pieces(
    dataset: PinnedDataset,
    task: TaskName,
    split: TestSplit,
    plan: Plan,
    reader: PredictionReader,
    parts: TrainingParts | None = None,
) -> Iterator[tuple[SplitRows, SplitFrames]]:
    """Yields the frames of a split with labels and predictions, piece by piece, beside the rows that they come from.

    Failed frames are recorded separately, so a piece may have fewer frames than rows. Frames have traits if the parts
    of `train` are given.
    """
    read, words = 0, _declared_words(dataset, task)
    for rows in stream_needed(dataset, (task, split)):
        places = plan.rows[task, split][read : read + len(rows)]
        read += len(rows)
        yield rows, _join(rows, places, split, reader, None if parts is None else traits_of(rows, split, parts, words))


def _declared_words(dataset: PinnedDataset, task: TaskName) -> Mapping[str, Word]:
    declared = dataset.task(task)
    return {word.molecule_id: word for word in (*declared.train_words(), *declared.ood_words())}


def _join_train(
    dataset: PinnedDataset, task: TaskName, plan: Plan, reader: PredictionReader
) -> tuple[TrainFrames, TrainingParts]:
    """The frames of the reference shift with predictions, and the parts of all frames; `train` is read once."""
    if (task, "train") in dataset.left_out:
        return TrainFrames.none(), TrainingParts()
    builder, chosen = TrainingPartsBuilder(), []
    for piece in stream_split(dataset, task, "train"):
        builder.add(piece)
        chosen.append(reference_frames(piece))
    rows = concatenated(chosen)
    predicted = reader.at(plan.rows[task, "train"])
    frames = TrainFrames(
        _index(rows, "train"),
        rows.energy,
        predicted.energy,
        reference_forces=rows.forces,
        predicted_forces=predicted.forces,
    )
    return frames.without_failures(predicted.failures), builder.finish()


def _join(
    rows: SplitRows, places: IntArray, split: SplitName, reader: PredictionReader, traits: FrameTraits | None
) -> SplitFrames:
    predicted = reader.at(places)
    frames = SplitFrames(
        _index(rows, split),
        Labels(rows.energy, rows.forces),
        Labels(predicted.energy, predicted.forces),
        traits=traits,
    )
    return frames.without_failures(predicted.failures)


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
