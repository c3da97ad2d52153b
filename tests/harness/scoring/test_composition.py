"""The gap that follows from the make-up of molecules, with errors that are known for each environment."""

from collections.abc import Callable

import numpy as np
import pytest

from dataset_builders.chemistry.mmff94 import atomic_numbers_of
from dataset_builders.core.errors import DataError
from dataset_builders.tasks.editions import SplitName
from dataset_builders.tasks.words import Word, word
from harness.scoring.composition import composition_gap, environments_of_atoms
from harness.scoring.paired_frames import FrameIndex, Labels, SplitFrames, index_molecules

TRAIN = (word("OH", 3, "H"), word("H", 3, "H"))
OOD = (word("OH", 5, "H"), word("OH", 4, "OH"))
SMILES = {each.molecule_id: each.smiles for each in (*TRAIN, *OOD)}


def error_of(atom: tuple[bool, str]) -> float:
    """An error (eV/Å) that depends on the environment alone: larger on oxygen and what is bound to it."""
    return 0.1 if "O" in atom[1] else 0.02


def frames_of(split: SplitName, words: tuple[Word, ...], error: Callable[[tuple[bool, str]], float]) -> SplitFrames:
    """Two frames of each molecule; every force component of an atom is wrong by its error."""
    rows = [each for each in words for _ in range(2)]
    names = ("molecule_id", "left", "spacer", "right")
    molecules, molecule_idx = index_molecules(
        {**{name: [getattr(row, name) for row in rows] for name in names}, "subset": [""] * len(rows)}
    )
    numbers = [atomic_numbers_of(row.smiles) for row in rows]
    index = FrameIndex(
        split=split,
        molecules=molecules,
        molecule_idx=molecule_idx,
        trajectory=np.full(len(rows), "primary"),
        frame=np.tile([0, 1], len(words)),
        n_atoms=np.array([len(each) for each in numbers]),
        atomic_numbers=np.concatenate(numbers),
    )
    errors = np.array([error(atom) for row in rows for atom in environments_of_atoms(row.smiles)])
    forces = np.zeros((len(errors), 3))
    energy = np.zeros(len(rows))
    return SplitFrames(index, Labels(energy, forces), Labels(energy, forces + errors[:, None]))


def test_environments_of_ethanol() -> None:
    found = environments_of_atoms(word("OH", 2, "H").smiles)
    assert [is_heavy for is_heavy, _ in found] == [True] * 3 + [False] * 6
    heavy = [text for is_heavy, text in found if is_heavy]
    hydrogens = [text for is_heavy, text in found if not is_heavy]
    # Oxygen has one hydrogen, the carbon beside it two, the other one three.
    assert sorted(hydrogens.count(text) for text in heavy) == [1, 2, 3]
    assert [("O" in text) for text in heavy].count(True) == 2


def test_an_error_of_the_environments_alone_leaves_no_excess() -> None:
    gap = composition_gap(frames_of("test_id", TRAIN, error_of), frames_of("test_ood", OOD, error_of), SMILES)
    # Propanol: O, its C, and 3 H on them have 0.1, the other 7 atoms 0.02; propane: 11 atoms have 0.02.
    assert gap.id_force_mae == pytest.approx((5 * 0.1 + 7 * 0.02 + 11 * 0.02) / 23)
    # Pentanol: 5 of 18 atoms; butanediol: 10 of 16.
    assert gap.ood_force_mae == pytest.approx((15 * 0.1 + 19 * 0.02) / 34)
    assert gap.expected_force_mae == pytest.approx(gap.ood_force_mae)
    assert gap.excess.value == pytest.approx(1.0)
    assert gap.excess.low == pytest.approx(1.0)
    by_molecule = dict(zip(sorted(each.molecule_id for each in OOD), gap.expected_by_molecule, strict=True))
    assert by_molecule["OH-5-H"] == pytest.approx((5 * 0.1 + 13 * 0.02) / 18)


def test_twice_the_error_is_an_excess_of_two() -> None:
    unseen = frames_of("test_ood", OOD, lambda atom: 2.0 * error_of(atom))
    gap = composition_gap(frames_of("test_id", TRAIN, error_of), unseen, SMILES)
    assert gap.excess.value == pytest.approx(2.0)
    assert gap.excess.high == pytest.approx(2.0)


def test_no_error_to_compare_with() -> None:
    frames = frames_of("test_id", TRAIN, lambda atom: 0.0), frames_of("test_ood", OOD, lambda atom: 0.0)
    gap = composition_gap(*frames, SMILES)
    assert (gap.expected_force_mae, gap.excess.value, gap.excess.reason) == (0.0, None, "the ID errors are zero")


def test_an_environment_that_training_lacks() -> None:
    unseen = (word("Cl", 3, "H"),)
    smiles = {**SMILES, unseen[0].molecule_id: unseen[0].smiles}
    frames = frames_of("test_id", TRAIN, error_of), frames_of("test_ood", unseen, error_of)
    with pytest.raises(DataError, match="in test_ood does not occur in test_id of this data set"):
        composition_gap(*frames, smiles)


def test_a_smiles_of_another_molecule() -> None:
    frames = frames_of("test_id", TRAIN, error_of), frames_of("test_ood", OOD, error_of)
    wrong = {**SMILES, "OH-3-H": "CO"}
    with pytest.raises(DataError, match="a frame of OH-3-H has 12 atoms and its SMILES CO has 6"):
        composition_gap(*frames, wrong)
