"""What the two ways to match the zero of energy leave, worked out by hand."""

from dataclasses import replace

import numpy as np
import pytest

from harness.scoring.paired_frames import FrameIndex, Labels, SplitFrames, TaskFrames
from harness.study.energy_zeros import energy_errors, mean_shift
from tests.harness.frame_tables import make_task, molecules_drawn

ATOM = {1: -0.5, 6: -38.0, 7: -54.0, 8: -75.0, 17: -460.0}


def counted(index: FrameIndex, each: dict[int, float]) -> np.ndarray:
    owner = np.repeat(np.arange(index.n_frames), index.n_atoms)
    return np.bincount(owner, [each[int(number)] for number in index.atomic_numbers])


def task_with(each: dict[int, float]) -> TaskFrames:
    """Labels that are a sum over atoms, and predictions that are zero."""
    frames = make_task()

    def split(part: SplitFrames) -> SplitFrames:
        energy, forces = counted(part.index, each), part.reference.forces
        return replace(part, reference=Labels(energy, forces), predicted=Labels(0.0 * energy, forces))

    train = replace(
        frames.train,
        reference_energy=counted(frames.train.index, each),
        predicted_energy=np.zeros(frames.train.index.n_frames),
    )
    return replace(frames, train=train, test_id=split(frames.test_id), test_ood=split(frames.test_ood))


def test_one_energy_an_element_takes_all_of_it_out() -> None:
    errors = energy_errors(task_with(ATOM), molecules_drawn(make_task()))
    for split in ("test_id", "test_ood"):
        assert errors[split]["elements"].total.value == pytest.approx(0.0, abs=1e-9)
        assert errors[split]["mean"].total.value > 50.0
        assert errors[split]["none"].total.value > errors[split]["mean"].total.value


def test_one_number_leaves_what_the_sizes_differ_by() -> None:
    frames = task_with(dict.fromkeys(ATOM, -1.0))  # an energy of -1 eV for each atom
    # Training molecules have 8, 14 (H), 9, 15 (OH), 8, 14 (Cl), 9, 15 (CN) atoms: 11.5 in the mean.
    assert mean_shift(frames.train) == pytest.approx(-11.5)
    errors = energy_errors(frames, molecules_drawn(frames))
    # ID: (3.5 + 2.5 + 2.5 + 3.5) / 4. OOD molecules have 9, 21, 10, 22 atoms: (2.5 + 9.5 + 1.5 + 10.5) / 4.
    assert errors["test_id"]["mean"].total.value == pytest.approx(3.0)
    assert errors["test_ood"]["mean"].total.value == pytest.approx(6.0)
    per_atom = (2.5 / 9 + 9.5 / 21 + 1.5 / 10 + 10.5 / 22) / 4
    assert errors["test_ood"]["mean"].per_atom.value == pytest.approx(per_atom, rel=1e-5)
    assert errors["test_ood"]["none"].total.value == pytest.approx(15.5)
    assert errors["test_ood"]["none"].per_atom.value == pytest.approx(1.0)
    mean = errors["test_ood"]["mean"].total
    assert mean.low is not None
    assert mean.high is not None
    assert mean.low < 6.0 < mean.high


def test_one_energy_an_element_has_no_error_where_training_leaves_it_open() -> None:
    frames = task_with(ATOM)
    index = frames.train.index
    one = np.array([molecule.molecule_id == "OH-4-H" for molecule in index.molecules])[index.molecule_idx]
    train = replace(
        frames.train,
        index=index.keep(one),
        reference_energy=frames.train.reference_energy[one],
        predicted_energy=frames.train.predicted_energy[one],
    )
    errors = energy_errors(replace(frames, train=train), molecules_drawn(frames))
    for split in ("test_id", "test_ood"):
        for number in (errors[split]["elements"].total, errors[split]["elements"].per_atom):
            assert number.value is None
            assert "do not determine the energies of elements" in (number.reason or "")
        assert errors[split]["mean"].total.value is not None
