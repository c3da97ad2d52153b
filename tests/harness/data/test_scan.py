from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from dataset_builders.core.errors import DataError
from harness.data.dataset import open_dataset
from harness.data.rows import SplitRows, concatenated
from harness.data.scan import SPLITS_NEEDED, FrameNames, SplitKey, scan_splits, stream_needed


@pytest.fixture(scope="module")
def splits(tiny_dataset: Path) -> dict[SplitKey, SplitRows]:
    dataset = open_dataset(str(tiny_dataset))
    keys: list[SplitKey] = [(task, split) for task in ("task1", "task4") for split in SPLITS_NEEDED]
    return {key: concatenated(list(stream_needed(dataset, key))) for key in keys}


def scanned(splits: dict[SplitKey, SplitRows]):
    return scan_splits({key: [rows] for key, rows in splits.items()})


def test_a_frame_of_several_splits_is_there_once(splits: dict[SplitKey, SplitRows]) -> None:
    scan = scanned(splits)
    names = FrameNames.of(scan.keys, scan.molecules)
    found = list(zip(names.molecule_id, names.trajectory, names.frame.tolist(), strict=True))
    wanted = {
        (molecule, trajectory, frame)
        for rows in splits.values()
        for molecule, trajectory, frame in zip(rows.molecule_id, rows.trajectory, rows.frame.tolist(), strict=True)
    }
    # 5 training molecules x 10 frames of test_id, 3 OOD ones x 10, 5 x 5 of train less two that are OOD in task1
    assert len(found) == len(wanted) == 103
    assert set(found) == wanted


def test_every_row_finds_its_frame(splits: dict[SplitKey, SplitRows]) -> None:
    scan = scanned(splits)
    for key, rows in splits.items():
        names = FrameNames.of(scan.keys[scan.rows[key]], scan.molecules)
        assert np.array_equal(names.molecule_id, rows.molecule_id)
        assert np.array_equal(names.trajectory, rows.trajectory)
        assert np.array_equal(names.frame, rows.frame)
        assert np.array_equal(scan.n_atoms[scan.rows[key]], rows.n_atoms)


def test_frames_are_numbered_as_they_are_first_read(splits: dict[SplitKey, SplitRows]) -> None:
    numbers = np.concatenate(list(scanned(splits).rows.values()))
    _, first = np.unique(numbers, return_index=True)
    assert (np.diff(first) > 0).all()


def test_molecules_have_their_elements(splits: dict[SplitKey, SplitRows]) -> None:
    scan = scanned(splits)
    assert scan.molecules == tuple(sorted(scan.molecules))
    assert sorted(scan.atomic_numbers["F-2-H"].tolist()) == [1, 1, 1, 1, 1, 6, 6, 9]


def test_pieces_do_not_matter(tiny_dataset: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    dataset = open_dataset(str(tiny_dataset))
    whole = scan_splits({("task1", split): stream_needed(dataset, ("task1", split)) for split in SPLITS_NEEDED})
    monkeypatch.setattr("harness.data.rows.ROWS_PER_BATCH", 3)
    pieces = scan_splits({("task1", split): stream_needed(dataset, ("task1", split)) for split in SPLITS_NEEDED})
    assert np.array_equal(whole.keys, pieces.keys)
    assert np.array_equal(whole.rows["task1", "test_id"], pieces.rows["task1", "test_id"])


def second_of(rows: SplitRows, molecule_id: str) -> int:
    return int(np.flatnonzero(rows.molecule_id == molecule_id)[1])


@pytest.mark.parametrize("change", [1e-3, -0.0])
def test_two_geometries_of_one_name_are_refused(splits: dict[SplitKey, SplitRows], change: float) -> None:
    rows = splits["task4", "test_id"]
    moved = rows.positions.copy()
    atom = int(rows.offsets[second_of(rows, "OH-2-H")])
    moved[atom] = moved[atom] + change if change else moved[atom][::-1]  # another place, or x and z exchanged
    spoilt = {**splits, ("task4", "test_id"): replace(rows, positions=moved)}
    with pytest.raises(DataError, match="secondary frame 6 of OH-2-H occurs in several splits of task1 task4 with"):
        scanned(spoilt)


def test_exchanged_atoms_are_another_geometry(splits: dict[SplitKey, SplitRows]) -> None:
    rows = splits["task4", "test_id"]
    moved = rows.positions.copy()
    end = int(rows.offsets[second_of(rows, "OH-2-H") + 1])
    moved[[end - 1, end - 2]] = moved[[end - 2, end - 1]]  # two hydrogens
    with pytest.raises(DataError, match="with different geometries"):
        scanned({**splits, ("task4", "test_id"): replace(rows, positions=moved)})


def test_a_frame_twice_in_a_split_is_refused(splits: dict[SplitKey, SplitRows]) -> None:
    rows = splits["task1", "test_id"]
    pieces = {key: [part] for key, part in splits.items()} | {("task1", "test_id"): [rows, rows]}
    with pytest.raises(DataError, match=r"test_id of task1 in here contains secondary frame \d+ of .* more than once"):
        scan_splits(pieces, "here")


def test_a_molecule_of_two_smiles_is_refused(splits: dict[SplitKey, SplitRows]) -> None:
    rows = splits["task4", "test_ood"]
    smiles = rows.smiles.copy()
    smiles[3] = "C"
    with pytest.raises(DataError, match=r"has the SMILES .* in one row and C in another"):
        scanned({**splits, ("task4", "test_ood"): replace(rows, smiles=smiles)})
