from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dataset_builders.errors import DataError, UsageError
from harness.batching import STRUCTURES_PER_BATCH, SplitKey, _batch_bounds, make_plan, ragged_indices
from harness.dataset import open_dataset
from harness.joining import read_task
from harness.rows import SplitRows


@pytest.fixture(scope="module")
def splits(tiny_dataset: Path) -> dict[SplitKey, SplitRows]:
    dataset = open_dataset(str(tiny_dataset))
    return {**read_task(dataset, "task1"), **read_task(dataset, "task4")}


def test_runs_of_indices() -> None:
    assert ragged_indices(np.array([5, 0]), np.array([2, 3])).tolist() == [5, 6, 0, 1, 2]
    assert ragged_indices(np.array([], dtype=np.int64), np.array([], dtype=np.int64)).tolist() == []


def test_batches_are_filled_in_order() -> None:
    # 40 is more than a batch holds and stands alone; 9 + 8 fill 17; 8 + 7 leave room for nothing more.
    assert _batch_bounds(np.array([40, 9, 8, 8, 7, 5]), 17) == [0, 1, 3, 5, 6]


@given(st.lists(st.integers(1, 60), min_size=1, max_size=80), st.integers(1, 100))
def test_every_structure_is_in_one_batch_of_bounded_size(sizes: list[int], batch_atoms: int) -> None:
    n_atoms = np.array(sorted(sizes, reverse=True))
    bounds = _batch_bounds(n_atoms, batch_atoms)
    assert bounds[0] == 0
    assert bounds[-1] == len(sizes)
    for start, stop in pairwise(bounds):
        assert stop > start
        assert stop - start == 1 or n_atoms[start:stop].sum() <= batch_atoms


def test_a_batch_holds_no_more_structures_than_a_shard() -> None:
    bounds = _batch_bounds(np.full(2 * STRUCTURES_PER_BATCH + 1, 3), 10**6)
    assert bounds == [0, STRUCTURES_PER_BATCH, 2 * STRUCTURES_PER_BATCH, 2 * STRUCTURES_PER_BATCH + 1]


def test_a_frame_of_several_splits_is_planned_once(splits: dict[SplitKey, SplitRows]) -> None:
    plan = make_plan(splits, 100)
    names = list(zip(plan.work.molecule_id, plan.work.trajectory, plan.work.frame.tolist(), strict=True))
    wanted = {
        (molecule, trajectory, frame)
        for rows in splits.values()
        for molecule, trajectory, frame in zip(rows.molecule_id, rows.trajectory, rows.frame.tolist(), strict=True)
    }
    # 5 training molecules x 10 frames of test_id, 3 OOD ones x 10, 5 x 5 of train less two that are OOD in task1
    assert len(names) == len(wanted) == 103
    assert set(names) == wanted


def test_every_row_finds_its_own_frame(splits: dict[SplitKey, SplitRows]) -> None:
    plan = make_plan(splits, 100)
    for key, rows in splits.items():
        places = plan.rows[key]
        assert np.array_equal(plan.work.molecule_id[places], rows.molecule_id)
        assert np.array_equal(plan.work.frame[places], rows.frame)
        atoms = ragged_indices(plan.work.offsets[places], plan.work.n_atoms[places])
        assert np.array_equal(plan.work.positions[atoms], rows.positions)
        assert np.array_equal(plan.work.atomic_numbers[atoms], rows.atomic_numbers)


def test_the_plan_is_sorted_by_size_and_does_not_depend_on_the_order_of_rows(
    splits: dict[SplitKey, SplitRows],
) -> None:
    plan = make_plan(splits, 100)
    assert (np.diff(plan.work.n_atoms) <= 0).all()
    turned = make_plan(dict(reversed(splits.items())), 100)
    assert turned.shards == plan.shards
    assert np.array_equal(turned.work.positions, plan.work.positions)


def test_shards_are_bounded_and_cover_the_work(
    splits: dict[SplitKey, SplitRows], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("harness.batching.STRUCTURES_PER_SHARD", 16)
    plan = make_plan(splits, 100)
    assert [shard.start for shard in plan.shards] == [0, *(shard.stop for shard in plan.shards[:-1])]
    assert plan.shards[-1].stop == len(plan.work)
    assert all(shard.stop - shard.start <= 16 for shard in plan.shards)
    assert all((shard.bounds[0], shard.bounds[-1]) == (shard.start, shard.stop) for shard in plan.shards)
    assert len({shard.name for shard in plan.shards}) == len(plan.shards) > 5


def test_a_batch_larger_than_a_shard_is_a_shard_of_its_own(
    splits: dict[SplitKey, SplitRows], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("harness.batching.STRUCTURES_PER_SHARD", 2)
    plan = make_plan(splits, 100)
    assert [shard.start for shard in plan.shards] == [0, *(shard.stop for shard in plan.shards[:-1])]
    assert plan.shards[-1].stop == len(plan.work)
    assert max(shard.stop - shard.start for shard in plan.shards) > 2
    assert all(shard.stop - shard.start <= 2 or len(shard.bounds) == 2 for shard in plan.shards)


def test_the_name_of_a_shard_tells_batches_apart(splits: dict[SplitKey, SplitRows]) -> None:
    (small,), (large,) = make_plan(splits, 100).shards, make_plan(splits, 200).shards
    assert (small.start, small.stop) == (large.start, large.stop)
    assert small.name != large.name


def test_a_slice_is_a_batch_of_its_frames(splits: dict[SplitKey, SplitRows]) -> None:
    work = make_plan(splits, 100).work
    batch = work.slice(7, 9).as_batch()
    start, stop = work.offsets[7], work.offsets[9]
    assert batch.smiles == tuple(work.smiles[7:9])
    assert batch.positions.dtype == np.float64
    assert np.array_equal(batch.positions, work.positions[start:stop].astype(np.float64))


def test_two_geometries_of_one_name_are_refused(splits: dict[SplitKey, SplitRows]) -> None:
    rows = splits["task4", "test_id"]
    moved = rows.positions.copy()
    moved[int(rows.offsets[np.flatnonzero(rows.molecule_id == "OH-2-H")[1]])] += 1e-3
    spoilt = {**splits, ("task4", "test_id"): replace(rows, positions=moved)}
    with pytest.raises(DataError, match="secondary frame 6 of OH-2-H stands in several splits of task1 task4 with"):
        make_plan(spoilt, 100)


def test_a_batch_of_no_atoms_is_refused(splits: dict[SplitKey, SplitRows]) -> None:
    with pytest.raises(UsageError, match="--batch-atoms 0; expected 1 or more"):
        make_plan(splits, 0)
