"""Small made-up tables of predictions beside references, for tests of the evaluation."""

from collections.abc import Sequence

import numpy as np

from dataset_builders.tasks.drawn import Drawn
from dataset_builders.tasks.editions import SPLIT_TRAJECTORY, SplitName
from dataset_builders.tasks.regions import TaskName
from harness.results.result import TaskResult
from harness.scoring.intervals import IntervalSettings
from harness.scoring.paired_frames import FrameIndex, Labels, SplitFrames, TaskFrames, TrainFrames, index_molecules
from harness.scoring.task_result import evaluate_task

Word = tuple[str, int, str, str]
"""Left fragment, spacer, right fragment, subset."""

_ATOMS = {"H": [1], "OH": [8, 1], "Cl": [17], "CN": [6, 7]}

TRAIN_WORDS: tuple[Word, ...] = tuple((left, k, "H", "") for left in ("H", "OH", "Cl", "CN") for k in (2, 4))
OOD_WORDS: tuple[Word, ...] = (
    ("Cl", 2, "OH", "near"),
    ("Cl", 6, "OH", "far"),
    ("CN", 2, "OH", "near"),
    ("CN", 6, "OH", "far"),
)


def make_index(split: SplitName, words: Sequence[Word], frames_each: int) -> FrameIndex:
    """The first frames of each word, molecule by molecule."""
    rows = [word for word in words for _ in range(frames_each)]
    left, spacer, right, subset = zip(*rows, strict=True)
    names = [f"{row[0]}-{row[1]}-{row[2]}" for row in rows]
    columns = {"molecule_id": names, "left": left, "spacer": spacer, "right": right, "subset": subset}
    molecules, molecule_idx = index_molecules(columns)
    atoms = [_ATOMS[row[0]] + [6, 1, 1] * row[1] + _ATOMS[row[2]] for row in rows]
    return FrameIndex(
        split=split,
        molecules=molecules,
        molecule_idx=molecule_idx,
        trajectory=np.full(len(rows), SPLIT_TRAJECTORY[split]),
        frame=np.tile(np.arange(frames_each), len(words)),
        n_atoms=np.array([len(numbers) for numbers in atoms]),
        atomic_numbers=np.concatenate([np.array(numbers, dtype=np.uint8) for numbers in atoms]),
    )


def make_split(
    split: SplitName, words: Sequence[Word], frames_each: int, error: float, rng: np.random.Generator
) -> SplitFrames:
    """Random labels, and predictions that miss them by about `error`."""
    index = make_index(split, words, frames_each)
    energy = -100.0 * index.n_atoms + rng.normal(0.0, 0.3, index.n_frames)
    forces = rng.normal(0.0, 0.7, (len(index.atomic_numbers), 3))
    return SplitFrames(
        index,
        Labels(energy, forces),
        Labels(energy + rng.normal(0.0, error, energy.shape), forces + rng.normal(0.0, error, forces.shape)),
    )


def make_task(task: TaskName = "task3", seed: int = 0, frames_each: int = 5, ood_error: float = 0.2) -> TaskFrames:
    """A whole task with an ID error of 0.05 eV/Å."""
    rng = np.random.default_rng(seed)
    train = make_split("train", TRAIN_WORDS, 2, 0.05, rng)
    return TaskFrames(
        task=task,
        protocol="zero-shot",
        train=TrainFrames(train.index, train.reference.energy, train.predicted.energy),
        test_id=make_split("test_id", TRAIN_WORDS, frames_each, 0.05, rng),
        test_ood=make_split("test_ood", OOD_WORDS, frames_each, ood_error, rng),
    )


def molecules_drawn(frames: TaskFrames) -> Drawn:
    """Every molecule drawn by itself: what these tables can stand for, whose words are of no declared task."""
    parts = (frames.train.index, frames.test_id.index, frames.test_ood.index)
    failed = (*frames.test_id.failures, *frames.test_ood.failures)
    names = {molecule.molecule_id for index in parts for molecule in index.molecules}
    names |= {failure.molecule.molecule_id for failure in failed}
    return Drawn("molecule", {name: (name,) for name in names})


def evaluate_frames(
    frames: TaskFrames, settings: IntervalSettings | None = None, title: str | None = None
) -> TaskResult:
    """Measures a task whose molecules are drawn one by one."""
    return evaluate_task(frames, molecules_drawn(frames), settings, title)


def permute(frames: SplitFrames, order: np.ndarray) -> SplitFrames:
    """The same frames in another order."""
    index = frames.index
    starts = np.concatenate([[0], np.cumsum(index.n_atoms)])
    atoms = np.concatenate([np.arange(starts[i], starts[i + 1]) for i in order])
    shuffled = FrameIndex(
        split=index.split,
        molecules=index.molecules,
        molecule_idx=index.molecule_idx[order],
        trajectory=index.trajectory[order],
        frame=index.frame[order],
        n_atoms=index.n_atoms[order],
        atomic_numbers=index.atomic_numbers[atoms],
    )
    return SplitFrames(
        shuffled,
        Labels(frames.reference.energy[order], frames.reference.forces[atoms]),
        Labels(frames.predicted.energy[order], frames.predicted.forces[atoms]),
        frames.failures,
    )
