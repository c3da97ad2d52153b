"""The anatomy of a task on the frames of mini: planted factors, and a computation from the raw predictions."""

import math
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest

from dataset_builders.chemistry.conformations import rotamers
from dataset_builders.chemistry.environments import environment_of_atom
from dataset_builders.chemistry.mmff94 import molecule
from dataset_builders.chemistry.molecule_parts import heavy_pairs, torsion_types
from dataset_builders.tasks.drawn import drawn_of_task
from dataset_builders.tasks.editions import SplitName
from harness.data.dataset import PinnedDataset, open_dataset
from harness.data.rows import SplitRows, read_split
from harness.data.scan import scan_dataset
from harness.inference.batching import make_plan
from harness.inference.predict import compute_shards
from harness.inference.shards import PredictionReader
from harness.inference.windows import read_windows
from harness.results.anatomy_record import Anatomy
from harness.results.result import TaskResult
from harness.scoring.frame_traits import FrameTraits
from harness.scoring.joining import join_task, sum_task
from harness.scoring.paired_frames import FrameIndex, Labels, SplitFrames, TaskFrames, TrainFrames, index_molecules
from harness.scoring.task_anatomy import NO_TRAIN
from harness.scoring.task_result import evaluate_task
from harness.scoring.totals import TaskTotals, TotalsBuilder
from harness.scoring.training_parts import TrainingParts, TrainingPartsBuilder, traits_of
from tests.harness.toy_potential import Harmonic

IDENTITY = {"model_hash": "a", "dataset_hash": "b"}

Error = Callable[[SplitName, str, str, bool, int], float]
"""Error of an atom, eV/Å: split, molecule, SMILES, whether the rotamer is seen, index of the atom."""


@dataclass(frozen=True)
class Task:
    """A task of mini: its splits, what training shows, and which ID frames have a seen rotamer."""

    name: str
    rows: dict[SplitName, SplitRows]
    training: TrainingParts
    traits: dict[SplitName, FrameTraits]
    dataset: PinnedDataset


@pytest.fixture(scope="module", params=["task1", "task2"])
def task(request: pytest.FixtureRequest) -> Task:
    dataset = open_dataset("mini")
    splits: tuple[SplitName, ...] = ("train", "test_id", "test_ood")
    rows = {split: read_split(dataset, request.param, split) for split in splits}
    builder = TrainingPartsBuilder()
    builder.add(rows["train"])
    training = builder.finish()
    declared = dataset.task(request.param)
    words = {each.molecule_id: each for each in (*declared.train_words(), *declared.ood_words())}
    traits = {split: traits_of(rows[split], split, training, words) for split in splits[1:]}
    return Task(request.param, rows, training, traits, dataset)


def frames_with(task: Task, error: Error) -> TaskFrames:
    return TaskFrames(
        task.name,
        "control",
        TrainFrames.none(),
        split_with(task, "test_id", error),
        split_with(task, "test_ood", error),
        task.training,
    )


def split_with(task: Task, split: SplitName, error: Error) -> SplitFrames:
    rows, traits = task.rows[split], task.traits[split]
    names = ("molecule_id", "left", "spacer", "right", "subset")
    molecules, molecule_idx = index_molecules({name: getattr(rows, name) for name in names})
    index = FrameIndex(
        split,
        molecules,
        molecule_idx,
        rows.trajectory.astype(np.str_),
        rows.frame,
        rows.n_atoms,
        rows.atomic_numbers,
    )
    errors = np.array(
        [
            error(split, rows.molecule_id[row], rows.smiles[row], bool(traits.is_seen[row]), atom)
            for row in range(len(rows))
            for atom in range(rows.n_atoms[row])
        ]
    )
    predicted = rows.forces.astype(np.float64) + errors[:, None]
    labels = Labels(rows.energy, rows.forces.astype(np.float64))
    return SplitFrames(index, labels, Labels(rows.energy, predicted), traits=traits)


def evaluated(task: Task, frames: TaskFrames | TaskTotals) -> TaskResult:
    return evaluate_task(frames, drawn_of_task(task.dataset.task(task.name)))


def anatomy_of(task: Task, frames: TaskFrames | TaskTotals) -> Anatomy:
    found = evaluated(task, frames).anatomy
    assert found is not None
    return found


def environment(smiles: str, atom: int) -> tuple[bool, str]:
    own = molecule(smiles).GetAtomWithIdx(atom)
    centre = own if own.GetAtomicNum() > 1 else own.GetNeighbors()[0]
    return own.GetAtomicNum() > 1, environment_of_atom(smiles, centre.GetIdx(), 1)


def base_error(smiles: str, atom: int, known: dict[tuple[str, int], float]) -> float:
    """An error that depends on the environment alone."""
    if (smiles, atom) not in known:
        is_heavy, text = environment(smiles, atom)
        known[smiles, atom] = (0.03 if is_heavy else 0.01) * (1.0 + sum(map(ord, text)) % 7)
    return known[smiles, atom]


def has_unseen_part(task: Task, smiles: str) -> bool:
    train = task.training.smiles
    return any(parts(smiles) - {part for each in train for part in parts(each)} for parts in (torsions, heavy_pairs))


def torsions(smiles: str) -> frozenset[str]:
    return frozenset(torsion_types(smiles))


@pytest.mark.parametrize(
    "planted", [(1.0, 1.0, 1.0), (1.5, 1.0, 1.0), (1.0, 2.0, 1.0), (1.0, 1.0, 1.3), (1.5, 2.0, 1.3)]
)
def test_planted_factors_are_found(task: Task, planted: tuple[float, float, float]) -> None:
    conformers, unseen_parts, combination = planted
    known: dict[tuple[str, int], float] = {}
    unseen = {smiles: has_unseen_part(task, smiles) for smiles in dict.fromkeys(task.rows["test_ood"].smiles)}

    def error(split: SplitName, name: str, smiles: str, seen: bool, atom: int) -> float:
        own = base_error(smiles, atom, known) * (1.0 if seen else conformers)
        return own * combination * (unseen_parts if unseen[smiles] else 1.0) if split == "test_ood" else own

    found = anatomy_of(task, frames_with(task, error))
    assert found.rotamers is not None
    assert found.rotamers.ratio.value == pytest.approx(conformers)
    assert found.combination.value == pytest.approx(combination)
    rows = task.rows["test_ood"]
    plain = np.array(
        [
            sum(base_error(smiles, atom, known) for atom in range(n))
            for smiles, n in zip(rows.smiles, rows.n_atoms, strict=True)
        ]
    )
    doubled = np.where([unseen[smiles] for smiles in rows.smiles], unseen_parts, 1.0)
    assert found.unseen_parts.value == pytest.approx(plain @ doubled / plain.sum())
    if conformers == 1.0:
        assert found.conformers.value == pytest.approx(1.0)
    assert found.n_parts_shown == sum(not each for each in unseen.values())


def scattered(split: SplitName, name: str, smiles: str, seen: bool, atom: int) -> float:
    """Errors without any order."""
    return 0.02 + 0.01 * ((7 * atom + len(smiles) * len(name) + 3 * seen) % 5) * (2.0 if split == "test_ood" else 1.0)


def test_the_factors_follow_from_the_raw_predictions(task: Task) -> None:
    """All sums once more, frame by frame and atom by atom."""
    frames = frames_with(task, scattered)
    sums: dict[str, dict[object, float]] = defaultdict(lambda: defaultdict(float))
    known_rotamers = {
        (name, wells.tobytes()) for name, smiles, at in each_frame(task.rows["train"]) for wells in rotamers(at, smiles)
    }
    error_of_frame = {split: iter(each_error(getattr(frames, split))) for split in ("test_id", "test_ood")}
    n_frames: dict[tuple[str, bool], int] = defaultdict(int)
    for name, smiles, at in each_frame(task.rows["test_id"]):
        seen = (name, rotamers(at, smiles)[0].tobytes()) in known_rotamers
        n_frames[name, seen] += 1
        for atom, error in enumerate(next(error_of_frame["test_id"])):
            kind = environment(smiles, atom)
            sums["atoms"][kind] += 1
            sums["seen" if seen else "unseen"][kind] += error
            sums["molecule"][name, seen] += error
    both = {name for name, _ in list(n_frames) if n_frames[name, True] and n_frames[name, False]}
    above, below = (
        sum(
            sums["molecule"][name, s] * n_frames[name, not s] / (n_frames[name, s] + n_frames[name, not s])
            for name in both
        )
        for s in (False, True)
    )
    ratio = above / below
    totals: dict[str, float] = defaultdict(float)
    for _, smiles, _ in each_frame(task.rows["test_ood"]):
        is_shown = not has_unseen_part(task, smiles)
        for atom, error in enumerate(next(error_of_frame["test_ood"])):
            kind = environment(smiles, atom)
            plain = (sums["seen"][kind] + sums["unseen"][kind]) / sums["atoms"][kind]
            changed = (ratio * sums["seen"][kind] + sums["unseen"][kind]) / sums["atoms"][kind]
            for key, value in (("atoms", 1.0), ("plain", plain), ("changed", changed), ("error", error)):
                totals[key] += value
                totals[f"shown {key}"] += value if is_shown else 0.0
    id_error = sum((*sums["seen"].values(), *sums["unseen"].values())) / sum(sums["atoms"].values())
    found = evaluated(task, frames)
    anatomy = found.anatomy
    assert anatomy is not None
    assert anatomy.rotamers is not None
    expected = {
        "composition": totals["plain"] / totals["atoms"] / id_error,
        "conformers": totals["changed"] / totals["plain"],
        "remaining": totals["error"] / totals["changed"],
        "combination": totals["shown error"] / totals["shown changed"],
    }
    expected["unseen_parts"] = expected["remaining"] / expected["combination"]
    for factor, value in expected.items():
        assert getattr(anatomy, factor).value == pytest.approx(value, rel=1e-9), factor
    assert anatomy.rotamers.ratio.value == pytest.approx(ratio, rel=1e-9)
    assert anatomy.rotamers.n_molecules == len(both)
    assert anatomy.log_gap == pytest.approx(math.log(found.gap.value or 0.0), abs=1e-9)


def each_frame(rows: SplitRows) -> Iterator[tuple[str, str, np.ndarray]]:
    for row, (start, stop) in enumerate(zip(rows.offsets[:-1], rows.offsets[1:], strict=True)):
        yield rows.molecule_id[row], rows.smiles[row], rows.positions[None, start:stop]


def each_error(frames: SplitFrames) -> Iterator[np.ndarray]:
    error = np.abs(frames.predicted.forces - frames.reference.forces).mean(axis=1)
    yield from np.split(error, np.cumsum(frames.index.n_atoms)[:-1])


def test_errors_by_contact(task: Task) -> None:
    found = evaluated(task, frames_with(task, scattered)).by_contact
    if task.name == "task1":
        assert found == ()  # one end of each molecule is unsubstituted
        return
    split = split_with(task, "test_ood", scattered)
    errors = [error.mean() for error in each_error(split)]
    sizes = split.index.n_atoms
    touches = task.traits["test_ood"].contact == 1
    assert [(each.split, each.contact, each.n_frames) for each in found] == [
        ("test_ood", "contact", touches.sum()),
        ("test_ood", "apart", (~touches).sum()),
    ]
    for row, chosen in zip(found, (touches, ~touches), strict=True):
        expected = np.average(np.array(errors)[chosen], weights=sizes[chosen])
        assert row.force_mae.value == pytest.approx(expected, rel=1e-9)
        assert row.force_mae.low is not None


def test_failed_frames_count_for_the_split_and_not_for_a_contact(task: Task) -> None:
    if task.name == "task1":
        return
    frames = frames_with(task, scattered)
    touches = task.traits["test_ood"].contact == 1
    broken = frames.test_ood.without_failures(dict.fromkeys(np.flatnonzero(touches)[:3].tolist(), "no SCF"))
    said = f"3 of {len(touches)} frames of test_ood failed"
    for row in evaluated(task, replace(frames, test_ood=broken)).by_contact:
        assert row.force_mae.reason == f"no interval: {said}, and the value is that of the others"
    broken = frames.test_ood.without_failures(dict.fromkeys(np.flatnonzero(~touches).tolist(), "no SCF"))
    _, apart = evaluated(task, replace(frames, test_ood=broken)).by_contact
    assert (apart.n_frames, apart.force_mae.value) == (0, None)
    said = f"{(~touches).sum()} of {len(touches)} frames of test_ood failed"
    assert apart.force_mae.reason == f"no computed frame has its ends apart; {said}"


def test_frames_that_come_in_pieces(task: Task) -> None:
    whole = frames_with(task, scattered)
    rng = np.random.default_rng(1)
    totals = []
    for frames in (whole.test_id, whole.test_ood):
        builder = TotalsBuilder(frames.index.split, frames.index.n_frames)
        piece = rng.integers(0, 7, frames.index.n_frames)
        for number in range(7):
            builder.add(frames.keep(piece == number))
        totals.append(builder.finish())
    parts = TaskTotals(whole.task, whole.protocol, whole.train, totals[0], totals[1], whole.training_parts)
    in_pieces, at_once = anatomy_of(task, parts), anatomy_of(task, whole)
    for name, factor in at_once.factors.items():
        other = getattr(in_pieces, name)
        assert other.value == pytest.approx(factor.value, rel=1e-12)
        assert (other.low or 0.0, other.high or 0.0) == pytest.approx((factor.low or 0.0, factor.high or 0.0), rel=1e-9)


def test_without_training_frames(task: Task) -> None:
    frames = frames_with(task, scattered)
    found = anatomy_of(task, replace(frames, training_parts=TrainingParts()))
    assert (found.conformers.value, found.conformers.reason, found.rotamers) == (None, NO_TRAIN, None)
    assert found.composition.value == anatomy_of(task, frames).composition.value
    assert found.log_gap == pytest.approx(math.log(evaluated(task, frames).gap.value or 0.0), abs=1e-9)
    # The training molecules are those of test_id, so which parts are shown stays known.
    assert found.n_parts_shown == anatomy_of(task, frames).n_parts_shown


def test_atoms_that_do_not_fit_their_smiles(task: Task) -> None:
    frames = frames_with(task, scattered)
    assert frames.test_id.traits is not None
    spoilt = replace(frames.test_id, traits=replace(frames.test_id.traits, misfit="a frame of X has other atoms"))
    found = anatomy_of(task, replace(frames, test_id=spoilt))
    assert found.factors == {}
    assert found.log_gap is None
    assert found.composition.reason == "a frame of X has other atoms"


def test_traits_of_rows_that_do_not_fit_their_smiles(task: Task) -> None:
    rows = task.rows["test_id"]
    wrong = replace(rows, smiles=np.where(rows.smiles == rows.smiles[0], "C", rows.smiles))
    traits = traits_of(wrong, "test_id", task.training, {})
    assert traits.misfit is not None
    assert traits.misfit.endswith("has other atoms, or another order of them, than its SMILES C")
    unreadable = replace(rows, smiles=np.where(rows.smiles == rows.smiles[0], "C(", rows.smiles))
    assert traits_of(unreadable, "test_id", task.training, {}).misfit == "RDKit cannot read the SMILES 'C('"


def test_frames_without_geometry(task: Task) -> None:
    frames = frames_with(task, scattered)
    found = evaluated(task, replace(frames, test_id=replace(frames.test_id, traits=None)))
    assert found.anatomy is None


def test_batches_and_shards_do_not_matter(tiny_dataset: Path, tmp_path: Path) -> None:
    dataset = open_dataset(str(tiny_dataset))
    results = []
    for batch_atoms in (60, 10_000):
        plan = make_plan(scan_dataset(dataset, ("task1",)), batch_atoms)
        directory = tmp_path / str(batch_atoms)
        compute_shards(Harmonic(), plan, read_windows(dataset, plan), directory, IDENTITY)
        for join in (sum_task, join_task):
            reader = PredictionReader(plan, directory, IDENTITY)
            totals = join(dataset, "task1", "control", plan, reader)
            results.append(evaluate_task(totals, drawn_of_task(dataset.task("task1"))))
    first = results[0].anatomy
    assert first is not None
    assert first.composition.value is not None
    for other in results[1:]:
        assert other.anatomy == first
