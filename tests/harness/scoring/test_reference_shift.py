import numpy as np
import pytest

from dataset_builders.core.errors import DataError
from harness.scoring.paired_frames import TrainFrames
from harness.scoring.reference_shift import composition_of, count_elements, fit_reference_shift
from tests.harness.frame_tables import TRAIN_WORDS, Word, make_index

TRUE_SHIFT = {1: 0.5, 6: -3.25, 7: 1.5, 8: -7.0, 17: 2.0}


def train_with_shift(words: tuple[Word, ...], frames_each: int = 2) -> TrainFrames:
    """Predictions that miss the reference by exactly the sum of `TRUE_SHIFT`."""
    index = make_index("train", words, frames_each)
    atoms = np.array([TRUE_SHIFT[int(number)] for number in index.atomic_numbers])
    owner = np.repeat(np.arange(index.n_frames), index.n_atoms)
    shift = np.bincount(owner, atoms)
    predicted = np.random.default_rng(0).normal(-500.0, 1.0, index.n_frames)
    return TrainFrames(index, predicted + shift, predicted)


def test_count_elements_by_hand() -> None:
    # Water, then methane.
    counts = count_elements(np.array([8, 1, 1, 6, 1, 1, 1, 1], dtype=np.uint8), np.array([3, 5]), (1, 6, 8))
    np.testing.assert_array_equal(counts, [[2, 0, 1], [4, 1, 0]])


def test_fit_finds_the_shift_of_each_element() -> None:
    shift = fit_reference_shift(train_with_shift(TRAIN_WORDS))
    assert shift.elements == (1, 6, 7, 8, 17)
    np.testing.assert_allclose(shift.energies, [TRUE_SHIFT[number] for number in shift.elements], atol=1e-9)
    assert (shift.rank, shift.n_molecules, shift.n_frames) == (5, 8, 16)
    # Water, which training does not hold.
    found = shift.apply(np.array([8, 1, 1]), np.array([3]))
    np.testing.assert_allclose(found, [-7.0 + 2 * 0.5], atol=1e-9)


def test_rank_tells_that_one_composition_leaves_a_choice() -> None:
    shift = fit_reference_shift(train_with_shift((("H", 2, "H", ""),), frames_each=4))
    assert (shift.rank, len(shift.elements), shift.n_molecules, shift.n_frames) == (1, 2, 1, 4)
    # Ethane, C2H6: the least-norm solution is the projection onto (6, 2), and ethane itself comes out right.
    total = 6 * TRUE_SHIFT[1] + 2 * TRUE_SHIFT[6]
    np.testing.assert_allclose(shift.energies, np.array([6.0, 2.0]) * total / 40.0)
    np.testing.assert_allclose(shift.apply(np.array([6, 6, 1, 1, 1, 1, 1, 1]), np.array([8])), [total])


def test_open_are_compositions_that_are_no_combination_of_those_of_training() -> None:
    def open_for(*words: Word) -> list[bool]:
        index = make_index("train", words, 1)
        return shift.leaves_open(composition_of(index.atomic_numbers, index.n_atoms)).tolist()

    shift = fit_reference_shift(train_with_shift((("H", 2, "H", ""),), frames_each=4))
    assert open_for(("H", 2, "H", ""), ("H", 4, "H", ""), ("OH", 2, "H", "")) == [False, True, True]
    # Two alkanes give CH2, so all others; a carbon more than hydrogens tell stays open.
    shift = fit_reference_shift(train_with_shift((("OH", 2, "H", ""), ("OH", 4, "H", "")), frames_each=3))
    assert shift.rank == 2
    assert open_for(("OH", 12, "H", ""), ("OH", 200, "H", ""), ("H", 4, "H", ""), ("Cl", 4, "H", "")) == [
        False,
        False,
        True,
        True,
    ]


def test_element_absent_from_training_is_named() -> None:
    shift = fit_reference_shift(train_with_shift(TRAIN_WORDS))
    with pytest.raises(DataError, match="atomic number 16 does not occur in the training molecules"):
        shift.apply(np.array([16, 1, 1]), np.array([3]))


def test_no_or_broken_energies_are_refused() -> None:
    train = train_with_shift(TRAIN_WORDS)
    with pytest.raises(DataError, match="no training frame"):
        fit_reference_shift(train.without_failures(dict.fromkeys(range(16), "cause")))
    broken = TrainFrames(train.index, train.reference_energy, np.where(np.arange(16) == 3, np.nan, 1.0))
    with pytest.raises(DataError, match=r"predicted energies of train is nan at index \(3,\)"):
        fit_reference_shift(broken)
