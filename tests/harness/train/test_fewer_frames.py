"""Fewer training frames: as many of each molecule, spread over its bursts, nested, and stated in the checkpoint."""

from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from dataset_builders.core.errors import UsageError
from harness.data.dataset import open_dataset
from harness.data.rows import SplitRows, read_split, selected
from harness.networks.checkpoint_format import read_config
from harness.networks.control_checkpoints import read_control
from harness.train.fewer_frames import fewer_frames
from tests.harness.control_checkpoints import train as train_control
from tests.harness.control_checkpoints import training_data
from tests.harness.training_set import train, write_training_set


@pytest.fixture(scope="module")
def rows() -> SplitRows:
    return read_split(open_dataset("mini"), "task2", "train")


def names(rows: SplitRows) -> set[tuple[str, int]]:
    return {(str(molecule), int(frame)) for molecule, frame in zip(rows.molecule_id, rows.frame, strict=True)}


def test_each_molecule_has_as_many_and_smaller_numbers_are_parts_of_larger_ones(rows: SplitRows) -> None:
    n_molecules = len(set(rows.molecule_id))
    before: set[tuple[str, int]] = set()
    for n_frames in (n_molecules, 2 * n_molecules + 5, 5 * n_molecules, len(rows)):
        kept = fewer_frames(rows, n_frames)
        counts = Counter(kept.molecule_id)
        assert (len(kept), len(counts)) == (n_frames, n_molecules)
        assert max(counts.values()) - min(counts.values()) <= 1
        assert before <= names(kept)
        before = names(kept)
    assert before == names(rows)


def test_every_burst_is_used_before_a_second_frame_of_one(rows: SplitRows) -> None:
    # mini has 25 frames of each molecule: five bursts of five.
    n_molecules = len(set(rows.molecule_id))
    kept = fewer_frames(rows, 5 * n_molecules)
    assert Counter(frame for _, frame in names(kept)) == dict.fromkeys((0, 5, 10, 15, 20), n_molecules)
    first_two = Counter(frame for _, frame in names(fewer_frames(rows, 2 * n_molecules)))
    assert first_two == {0: n_molecules, 20: n_molecules}  # the bursts farthest apart


def test_rows_keep_their_atoms(rows: SplitRows) -> None:
    kept = selected(rows, np.isin(np.arange(len(rows)), [3, 700]))
    for index, row in enumerate((3, 700)):
        of_kept = slice(*kept.offsets[index : index + 2])
        of_all = slice(*rows.offsets[row : row + 2])
        assert (kept.smiles[index], kept.energy[index]) == (rows.smiles[row], rows.energy[row])
        for name in ("atomic_numbers", "positions", "forces"):
            np.testing.assert_array_equal(getattr(kept, name)[of_kept], getattr(rows, name)[of_all])


@pytest.mark.parametrize("n_frames", [-1, 0, 35, 901])
def test_numbers_that_cannot_be_are_refused(rows: SplitRows, n_frames: int) -> None:
    with pytest.raises(UsageError, match=rf"--train-frames {n_frames}; expected 36 to 900: train has 36 molecules"):
        fewer_frames(rows, n_frames)


def test_a_network_states_its_number(tmp_path: Path) -> None:
    dataset = write_training_set(tmp_path / "toy")
    train(dataset, tmp_path / "few", "--epochs", "1", "--train-frames", "6")
    training = read_config(tmp_path / "few").training
    assert (training["n_frames"], training["n_molecules"], training["settings"]["train_frames"]) == (6, 2, 6)
    assert training["n_validation_frames"] == 8


def test_a_control_states_its_number(tmp_path: Path) -> None:
    dataset = training_data(tmp_path)
    assert train_control(dataset, tmp_path / "few", "additive", "--train-frames", "30") == 0
    config, _ = read_control(tmp_path / "few", "additive")
    assert (config.training["n_frames"], config.training["train_frames"]) == (30, 30)
