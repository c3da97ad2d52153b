"""Packed batches of any molecules: taken apart anywhere and put together, they are the same."""

from itertools import pairwise

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from harness.core.batch import StructureBatch
from harness.inference.batching import filled_bounds, ragged_indices

SIZES = st.lists(st.integers(1, 9), min_size=1, max_size=12)


def packed(sizes: list[int]) -> StructureBatch:
    total = sum(sizes)
    numbers = np.arange(total) % 90 + 1
    positions = np.arange(3.0 * total).reshape(-1, 3)
    return StructureBatch(numbers, positions, np.array(sizes), tuple(f"m{place}" for place in range(len(sizes))))


@given(SIZES, st.lists(st.integers(0, 12), max_size=4))
def test_slices_put_together_are_the_batch(sizes: list[int], cuts: list[int]) -> None:
    batch = packed(sizes)
    bounds = sorted({0, len(sizes), *(min(cut, len(sizes)) for cut in cuts)})
    parts = [batch.slice(start, stop) for start, stop in pairwise(bounds)]
    np.testing.assert_array_equal(np.concatenate([part.atomic_numbers for part in parts]), batch.atomic_numbers)
    np.testing.assert_array_equal(np.concatenate([part.positions for part in parts]), batch.positions)
    assert tuple(name for part in parts for name in part.smiles) == batch.smiles


@given(SIZES)
def test_offsets_and_indices_name_the_same_atoms(sizes: list[int]) -> None:
    batch = packed(sizes)
    for place, size in enumerate(sizes):
        atoms = np.flatnonzero(batch.system_idx == place)
        assert len(atoms) == size
        assert list(atoms) == list(range(batch.offsets[place], batch.offsets[place + 1]))


@given(SIZES, st.permutations(range(12)))
def test_ragged_indices_take_molecules_in_any_order(sizes: list[int], order: list[int]) -> None:
    batch = packed(sizes)
    chosen = np.array([place for place in order if place < len(sizes)])
    found = ragged_indices(batch.offsets[:-1][chosen], batch.n_atoms[chosen])
    expected = np.concatenate([np.arange(batch.offsets[place], batch.offsets[place + 1]) for place in chosen])
    np.testing.assert_array_equal(found, expected)


@given(SIZES, st.integers(1, 30), st.none() | st.integers(1, 5))
def test_parts_are_as_large_as_the_limits_allow(sizes: list[int], most_atoms: int, most: int | None) -> None:
    bounds = filled_bounds(np.array(sizes), most_atoms, most)
    assert (bounds[0], bounds[-1]) == (0, len(sizes))
    for start, stop in pairwise(bounds):
        assert sum(sizes[start:stop]) <= most_atoms or stop - start == 1
        assert most is None or stop - start <= most
        could_grow = stop < len(sizes) and (most is None or stop - start < most)
        assert not could_grow or sum(sizes[start : stop + 1]) > most_atoms
