from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dataset_builders.core.errors import UsageError
from harness.data.dataset import open_dataset
from harness.data.scan import FrameScan, scan_dataset
from harness.inference.batching import STRUCTURES_PER_BATCH, filled_bounds, make_plan, ragged_indices


@pytest.fixture(scope="module")
def scan(tiny_dataset: Path) -> FrameScan:
    return scan_dataset(open_dataset(str(tiny_dataset)), ("task1", "task4"))


def test_runs_of_indices() -> None:
    assert ragged_indices(np.array([5, 0]), np.array([2, 3])).tolist() == [5, 6, 0, 1, 2]
    assert ragged_indices(np.array([], dtype=np.int64), np.array([], dtype=np.int64)).tolist() == []


def test_batches_are_filled_in_order() -> None:
    # 40 is more than a batch holds and stands alone; 9 + 8 fill 17; 8 + 7 leave room for nothing more.
    assert filled_bounds(np.array([40, 9, 8, 8, 7, 5]), 17, 1024) == [0, 1, 3, 5, 6]


@given(st.lists(st.integers(1, 60), min_size=1, max_size=80), st.integers(1, 100))
def test_every_structure_is_in_one_batch_of_bounded_size(sizes: list[int], batch_atoms: int) -> None:
    n_atoms = np.array(sorted(sizes, reverse=True))
    bounds = filled_bounds(n_atoms, batch_atoms, 1024)
    assert bounds[0] == 0
    assert bounds[-1] == len(sizes)
    for start, stop in pairwise(bounds):
        assert stop > start
        assert stop - start == 1 or n_atoms[start:stop].sum() <= batch_atoms


def test_a_batch_holds_no_more_structures_than_its_limit() -> None:
    bounds = filled_bounds(np.full(2 * STRUCTURES_PER_BATCH + 1, 3), 10**6, STRUCTURES_PER_BATCH)
    assert bounds == [0, STRUCTURES_PER_BATCH, 2 * STRUCTURES_PER_BATCH, 2 * STRUCTURES_PER_BATCH + 1]


def test_every_row_finds_its_own_frame(scan: FrameScan) -> None:
    plan = make_plan(scan, 100)
    assert plan.n_frames == len(scan.keys) == 103
    for key, places in plan.rows.items():
        assert np.array_equal(plan.keys[places], scan.keys[scan.rows[key]])
        assert np.array_equal(plan.n_atoms[places], scan.n_atoms[scan.rows[key]])


def test_a_window_is_sorted_by_size(scan: FrameScan, monkeypatch: pytest.MonkeyPatch) -> None:
    assert (np.diff(make_plan(scan, 100).n_atoms) <= 0).all()
    monkeypatch.setattr("harness.inference.batching.ATOMS_PER_WINDOW", 400)
    plan = make_plan(scan, 100)
    assert len(plan.windows) > 4
    for start, stop in pairwise(plan.windows):
        assert (np.diff(plan.n_atoms[start:stop]) <= 0).all()
        assert plan.n_atoms[start:stop].sum() <= 400
        assert sorted(plan.keys[start:stop]) == sorted(scan.keys[start:stop])


def test_shards_are_bounded_and_cover_the_plan(scan: FrameScan, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("harness.inference.batching.STRUCTURES_PER_SHARD", 16)
    monkeypatch.setattr("harness.inference.batching.ATOMS_PER_WINDOW", 1000)
    plan = make_plan(scan, 100)
    assert [shard.start for shard in plan.shards] == [0, *(shard.stop for shard in plan.shards[:-1])]
    assert plan.shards[-1].stop == plan.n_frames
    assert all(len(shard) <= 16 for shard in plan.shards)
    assert all((shard.bounds[0], shard.bounds[-1]) == (shard.start, shard.stop) for shard in plan.shards)
    assert len({shard.name for shard in plan.shards}) == len(plan.shards) > 5
    assert set(plan.windows) <= {shard.start for shard in plan.shards} | {plan.n_frames}


def test_a_batch_larger_than_a_shard_is_a_shard_of_its_own(scan: FrameScan, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("harness.inference.batching.STRUCTURES_PER_SHARD", 2)
    plan = make_plan(scan, 100)
    assert [shard.start for shard in plan.shards] == [0, *(shard.stop for shard in plan.shards[:-1])]
    assert plan.shards[-1].stop == plan.n_frames
    assert max(len(shard) for shard in plan.shards) > 2
    assert all(len(shard) <= 2 or len(shard.bounds) == 2 for shard in plan.shards)


def test_the_name_of_a_shard_tells_batches_apart(scan: FrameScan) -> None:
    (small,), (large,) = make_plan(scan, 100).shards, make_plan(scan, 200).shards
    assert (small.start, small.stop) == (large.start, large.stop)
    assert small.name != large.name


def test_several_processes_share_the_shards(scan: FrameScan, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("harness.inference.batching.STRUCTURES_PER_SHARD", 16)
    plan = make_plan(scan, 100)
    shares = [plan.share(rank, 3).shards for rank in range(3)]
    assert sorted((shard for share in shares for shard in share), key=lambda shard: shard.start) == list(plan.shards)


def test_the_first_batch_is_no_larger_than_the_others() -> None:
    assert filled_bounds(np.array([2, 3, 2, 3]), 4) == [0, 1, 2, 3, 4]
    assert filled_bounds(np.array([2, 2, 2, 2]), 4) == [0, 2, 4]


def test_a_plan_bounds_structures_as_well_as_atoms(scan: FrameScan, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("harness.inference.batching.STRUCTURES_PER_BATCH", 7)
    bounds = [pair for shard in make_plan(scan, 10**6).shards for pair in pairwise(shard.bounds)]
    assert max(stop - start for start, stop in bounds) == 7


def test_batches_of_one_structure_each(scan: FrameScan) -> None:
    plan = make_plan(scan, 1)
    assert [stop - start for shard in plan.shards for start, stop in pairwise(shard.bounds)] == [1] * plan.n_frames


def test_a_batch_of_no_atoms_is_refused(scan: FrameScan) -> None:
    with pytest.raises(UsageError, match="--batch-atoms 0; expected 1 or more"):
        make_plan(scan, 0)
