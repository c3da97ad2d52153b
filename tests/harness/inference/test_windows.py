from pathlib import Path

import numpy as np
import pytest

from harness.data.dataset import open_dataset
from harness.data.rows import read_split
from harness.data.scan import scan_dataset
from harness.inference.batching import make_plan
from harness.inference.windows import read_windows


@pytest.mark.parametrize(("window_atoms", "piece"), [(10**6, 4096), (400, 4096), (400, 7), (1, 1)])
def test_geometries_come_in_the_order_of_the_plan(
    tiny_dataset: Path, monkeypatch: pytest.MonkeyPatch, window_atoms: int, piece: int
) -> None:
    monkeypatch.setattr("harness.inference.batching.ATOMS_PER_WINDOW", window_atoms)
    monkeypatch.setattr("harness.data.rows.ROWS_PER_BATCH", piece)
    dataset = open_dataset(str(tiny_dataset))
    plan = make_plan(scan_dataset(dataset, dataset.tasks), 100)
    windows = list(read_windows(dataset, plan))
    assert [window.start for window in windows] == list(plan.windows[:-1])
    assert np.array_equal(np.concatenate([window.n_atoms for window in windows]), plan.n_atoms)
    positions = np.concatenate([window.positions for window in windows])
    smiles = np.concatenate([window.smiles for window in windows])
    offsets = np.concatenate([[0], np.cumsum(plan.n_atoms)])
    rows = read_split(dataset, "task4", "test_ood")
    for row, place in enumerate(plan.rows["task4", "test_ood"]):
        written = rows.positions[rows.offsets[row] : rows.offsets[row + 1]]
        assert np.array_equal(positions[offsets[place] : offsets[place + 1]], written)
        assert smiles[place] == rows.smiles[row]


def test_a_batch_holds_its_frames(tiny_dataset: Path) -> None:
    dataset = open_dataset(str(tiny_dataset))
    (window,) = read_windows(dataset, make_plan(scan_dataset(dataset, ("task1",)), 100))
    batch = window.batch(7, 9)
    atoms = slice(window.offsets[7], window.offsets[9])
    assert batch.smiles == tuple(window.smiles[7:9])
    assert batch.positions.dtype == np.float64
    assert np.array_equal(batch.positions, window.positions[atoms].astype(np.float64))
    assert np.array_equal(batch.atomic_numbers, window.atomic_numbers[atoms])
