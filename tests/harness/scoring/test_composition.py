"""The gap that follows from the composition of molecules, with errors that are known for each environment."""

from collections.abc import Callable

import numpy as np
import pytest

from dataset_builders.chemistry.mmff94 import atomic_numbers_of
from dataset_builders.core.errors import DataError
from dataset_builders.tasks.drawn import Drawn
from dataset_builders.tasks.editions import SplitName
from dataset_builders.tasks.words import Word, word
from harness.scoring.clusters import Clusters
from harness.scoring.composition import (
    EnvironmentErrors,
    composition_gap,
    environments_of_atoms,
    excess_effect,
    expectation,
)
from harness.scoring.paired_frames import FrameIndex, Labels, SplitFrames, index_molecules

TRAIN = (word("OH", 3, "H"), word("H", 3, "H"))
OOD = (word("OH", 5, "H"), word("OH", 4, "OH"))
SMILES = {each.molecule_id: each.smiles for each in (*TRAIN, *OOD)}
DRAWN = Drawn("molecule", {name: (name,) for name in (*SMILES, "Cl-3-H")})


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
    gap = composition_gap(frames_of("test_id", TRAIN, error_of), frames_of("test_ood", OOD, error_of), SMILES, DRAWN)
    # Propanol: O, its C, and 3 H on them have 0.1, the other 7 atoms 0.02; propane: 11 atoms have 0.02.
    assert gap.id_force_mae == pytest.approx((5 * 0.1 + 7 * 0.02 + 11 * 0.02) / 23)
    # Pentanol: 5 of 18 atoms; butanediol: 10 of 16.
    assert gap.ood_force_mae == pytest.approx((15 * 0.1 + 19 * 0.02) / 34)
    assert gap.expected_force_mae == pytest.approx(gap.ood_force_mae)
    assert gap.excess.value == pytest.approx(1.0)
    assert gap.excess.reason == "no interval: based on 2 molecules; an interval needs at least 3"
    by_molecule = dict(zip(sorted(each.molecule_id for each in OOD), gap.expected_by_molecule, strict=True))
    assert by_molecule["OH-5-H"] == pytest.approx((5 * 0.1 + 13 * 0.02) / 18)


def test_twice_the_error_is_an_excess_of_two() -> None:
    unseen = frames_of("test_ood", OOD, lambda atom: 2.0 * error_of(atom))
    gap = composition_gap(frames_of("test_id", TRAIN, error_of), unseen, SMILES, DRAWN)
    assert gap.excess.value == pytest.approx(2.0)


def test_no_error_to_compare_with() -> None:
    frames = frames_of("test_id", TRAIN, lambda atom: 0.0), frames_of("test_ood", OOD, lambda atom: 0.0)
    gap = composition_gap(*frames, SMILES, DRAWN)
    assert (gap.expected_force_mae, gap.excess.value, gap.excess.reason) == (0.0, None, "the ID errors are zero")


def test_an_environment_that_training_lacks() -> None:
    unseen = (word("Cl", 3, "H"),)
    smiles = {**SMILES, unseen[0].molecule_id: unseen[0].smiles}
    frames = frames_of("test_id", TRAIN, error_of), frames_of("test_ood", unseen, error_of)
    with pytest.raises(DataError, match="in test_ood does not occur in test_id of this data set"):
        composition_gap(*frames, smiles, DRAWN)


def test_a_smiles_of_another_molecule() -> None:
    frames = frames_of("test_id", TRAIN, error_of), frames_of("test_ood", OOD, error_of)
    wrong = {**SMILES, "OH-3-H": "CO"}
    with pytest.raises(DataError, match="a frame of OH-3-H has 12 atoms, but its SMILES CO has 6"):
        composition_gap(*frames, wrong, DRAWN)


def test_influences_on_the_excess_are_its_derivatives_by_the_weights_of_molecules() -> None:
    rng = np.random.default_rng(0)
    atoms, ood_atoms = (rng.integers(1, 9, (n, 3)).astype(float) for n in (5, 4))
    error, ood_error = atoms * rng.gamma(4.0, 0.01, (5, 3)), ood_atoms * rng.gamma(4.0, 0.02, (4, 3))
    measured = ood_error.sum(axis=1)
    names = tuple((each,) for each in "ABCDE")
    known, unseen = Clusters("test_id", "fragment", names), Clusters("test_ood", "fragment", names[:4])
    expected = expectation(EnvironmentErrors(atoms, error), ood_atoms, known.is_fixed)
    effect = excess_effect(measured, expected, known, unseen)
    assert effect is not None

    def excess(id_weight: np.ndarray, ood_weight: np.ndarray) -> float:
        mean = (id_weight @ error) / (id_weight @ atoms)
        return float((ood_weight @ measured) / (ood_weight @ (ood_atoms @ mean)))

    assert effect.value == pytest.approx(excess(np.ones(5), np.ones(4)))
    for part, n in (("test_id", 5), ("test_ood", 4)):
        changed = []
        for step in 1e-5 * np.eye(n):
            weights = {"test_id": np.ones(5), "test_ood": np.ones(4)}
            up, down = ({**weights, part: weights[part] + sign * step} for sign in (1.0, -1.0))
            changed.append((excess(*up.values()) - excess(*down.values())) / 2e-5)
        np.testing.assert_allclose(effect.influences[part][0], changed, rtol=1e-6, atol=1e-10)


def test_plain_chains_of_the_design_vary_about_means_of_their_own() -> None:
    atoms = np.array([[4.0], [4.0], [4.0], [4.0]])
    known = EnvironmentErrors(atoms, atoms * np.array([[0.01], [0.01], [0.04], [0.06]]))
    is_fixed = np.array([True, True, False, False])
    influence = expectation(known, np.array([[5.0], [5.0]]), is_fixed).id_influence
    assert influence is not None
    # The mean is 0.03; the two plain chains do not differ, the others by 0.01 and 0.03 from the mean, of 0.12 in all.
    assert influence == pytest.approx([0.0, 0.0, 0.01 / 0.12, 0.03 / 0.12])
