import math

import numpy as np
import pytest

from dataset_builders.chemistry.conformations import (
    CIS,
    GAUCHE_MINUS,
    TRANS,
    dihedral_angles,
    end_atoms,
    end_contacts,
    end_hydrogen_bonds,
    rotamers,
)
from dataset_builders.chemistry.mmff94 import atomic_numbers_of, molecule
from dataset_builders.chemistry.molecule_parts import rotatable_bonds
from dataset_builders.chemistry.sampling import embed
from dataset_builders.core.errors import ShapeError
from dataset_builders.tasks.regions import TASKS
from dataset_builders.tasks.words import word


def turned(smiles, *torsions):
    """A conformer with the given torsions, (atoms, degrees), set by RDKit."""
    from rdkit import Chem
    from rdkit.Chem import rdMolTransforms
    from rdkit.Geometry import Point3D

    mol = Chem.Mol(molecule(smiles))
    mol.AddConformer(Chem.Conformer(mol.GetNumAtoms()))
    conformer = mol.GetConformer()
    for index, position in enumerate(embed(smiles, 1)):
        conformer.SetAtomPosition(index, Point3D(*map(float, position)))
    for atoms, degrees in torsions:
        rdMolTransforms.SetDihedralDeg(conformer, *atoms, degrees)
    return conformer.GetPositions()


@pytest.mark.parametrize("degrees", [-170.0, -60.0, 0.0, 35.0, 90.0, 180.0])
def test_dihedral_angles_of_four_points(degrees):
    # Seen along +z, the rear bond is `degrees` clockwise of the front one.
    radians = math.radians(degrees)
    points = np.array([[[1, 0, 0], [0, 0, 0], [0, 0, 2], [math.cos(radians), math.sin(radians), 3]]])
    found = dihedral_angles(points, np.array([[0, 1, 2, 3], [3, 2, 1, 0]]))
    assert found.shape == (1, 2)
    np.testing.assert_allclose(np.cos(found - radians), 1.0, atol=1e-12)  # the same backwards


def test_dihedral_angles_of_a_mirror_image_change_sign():
    positions = turned("CCCC", ((0, 1, 2, 3), 65.0))[None]
    quadruples = np.array(rotatable_bonds("CCCC"))
    assert dihedral_angles(positions, quadruples)[0, 0] == pytest.approx(math.radians(65.0))
    assert dihedral_angles(positions * [1, 1, -1], quadruples)[0, 0] == pytest.approx(-math.radians(65.0))


def test_dihedral_angles_without_torsions_and_of_wrong_shapes():
    assert dihedral_angles(np.zeros((3, 5, 3)), np.empty((0, 4), dtype=int)).shape == (3, 0)
    with pytest.raises(ShapeError, match=r"positions has shape \(5, 3\); expected \(any, any, 3\)"):
        dihedral_angles(np.zeros((5, 3)), np.array([[0, 1, 2, 3]]))
    with pytest.raises(ShapeError, match=r"quadruples has shape \(1, 3\); expected \(any, 4\)"):
        dihedral_angles(np.zeros((1, 5, 3)), np.array([[0, 1, 2]]))


@pytest.mark.parametrize(
    ("smiles", "degrees", "well"),
    [
        ("CCCC", 175.0, TRANS),
        ("CCCC", 121.0, TRANS),
        ("CCCC", 65.0, GAUCHE_MINUS),  # the mirror image of gauche+, and one rotamer with it
        ("CCCC", -65.0, GAUCHE_MINUS),
        ("ClCCCl", -119.0, GAUCHE_MINUS),
        ("CCO", 170.0, TRANS),
        ("CCO", 50.0, GAUCHE_MINUS),
        ("CCC=O", 120.0, TRANS),
        ("CCC=O", 15.0, CIS),
        ("CC(=O)O", 3.0, CIS),  # the usual, syn form of an acid
        ("CC(=O)O", 178.0, TRANS),
    ],
)
def test_the_rotamer_of_one_bond(smiles, degrees, well):
    atoms = rotatable_bonds(smiles)[0]
    assert rotamers(turned(smiles, (atoms, degrees))[None], smiles).tolist() == [[well]]


def pentane(first, second):
    return turned("CCCCC", ((0, 1, 2, 3), first), ((1, 2, 3, 4), second))


def test_mirror_images_and_equal_ends_are_one_rotamer():
    frames = np.stack([pentane(180, 65), pentane(180, -65), pentane(65, 180), pentane(-65, 180)])
    found = rotamers(frames, "CCCCC")
    assert len(np.unique(found, axis=0)) == 1
    np.testing.assert_array_equal(found, rotamers(frames * [1, -1, 1], "CCCCC"))
    others = np.stack([pentane(65, 65), pentane(65, -95), pentane(180, 180)])
    assert len(np.unique(np.concatenate([found[:1], rotamers(others, "CCCCC")]), axis=0)) == 4


def test_unequal_ends_are_two_rotamers():
    bonds = rotatable_bonds("CCCCCl")
    frames = np.stack(
        [turned("CCCCCl", (bonds[0], first), (bonds[1], second)) for first, second in ((180, 65), (65, 180))]
    )
    assert len(np.unique(rotamers(frames, "CCCCCl"), axis=0)) == 2


def test_the_rotamer_of_an_amine_is_the_same_for_both_numberings_of_its_hydrogens():
    frame = turned("CCN", ((0, 1, 2, 8), 60.0))
    swapped = frame.copy()
    swapped[[8, 9]] = frame[[9, 8]]
    frames = np.stack([frame, swapped])
    assert len(np.unique(rotamers(frames, "CCN"), axis=0)) == 1
    # The lone pair is trans if the hydrogens are at 60 and -60 degrees.
    hydrogens = np.degrees(dihedral_angles(frames, np.array([[0, 1, 2, 8], [0, 1, 2, 9]])))[0]
    lone_pair_is_trans = bool((np.abs(hydrogens) < 90.0).all())
    assert (rotamers(frames, "CCN")[0, 0] == TRANS) == lone_pair_is_trans


def test_a_molecule_without_rotors_has_one_rotamer():
    assert rotamers(np.zeros((4, 8, 3)), "CC").shape == (4, 0)


def test_rotamers_of_another_molecule():
    with pytest.raises(ShapeError, match=r"positions has shape \(1, 8, 3\); expected \(any, 14, 3\)"):
        rotamers(np.zeros((1, 8, 3)), "CCCC")


def test_end_atoms_of_every_word_of_the_tasks():
    for task in TASKS.values():
        for each in (*task.train_words(), *task.ood_words()):
            numbers = atomic_numbers_of(each.smiles)
            left, right = end_atoms(each)
            assert not set(left) & set(right)
            chain = sorted(numbers[list(set(range(len(numbers))) - set(left) - set(right))].tolist())
            n_free = (each.left == "H") + (each.right == "H")
            assert chain == [1] * (2 * each.spacer + n_free) + [6] * each.spacer


@pytest.mark.parametrize(
    ("left", "right", "formulas"),
    [
        ("Cl", "Cl", ["17", "17"]),
        ("COOH", "NH2", ["1 6 8 8", "1 1 7"]),
        ("CN", "OH", ["6 7", "1 8"]),
        ("CONH2", "H", ["1 1 6 7 8", ""]),
    ],
)
def test_end_atoms(left, right, formulas):
    each = word(left, 3, right)
    numbers = atomic_numbers_of(each.smiles)
    assert [" ".join(map(str, sorted(numbers[list(atoms)].tolist()))) for atoms in end_atoms(each)] == formulas


def test_end_contacts_of_dichloroethane():
    each = word("Cl", 2, "Cl")
    frames = np.stack([turned("ClCCCl", ((0, 1, 2, 3), degrees)) for degrees in (0.0, 65.0, 180.0)])
    expected = np.linalg.norm(frames[:, 0] - frames[:, 3], axis=1)
    np.testing.assert_allclose(end_contacts(frames, each), expected, rtol=1e-12)
    assert (np.diff(expected) > 0.3).all()


def test_end_contacts_count_hydrogens_and_take_the_shortest():
    each = word("OH", 2, "NH2")
    frame = turned(each.smiles)
    left, right = end_atoms(each)
    expected = min(math.dist(frame[i], frame[j]) for i in left for j in right)
    assert end_contacts(frame[None], each)[0] == pytest.approx(expected)


def test_an_unsubstituted_end_has_no_contact():
    each = word("OH", 2, "H")
    frames = turned(each.smiles)[None]
    assert end_contacts(frames, each).tolist() == [math.inf]
    assert end_hydrogen_bonds(frames, each).tolist() == [False]


def test_end_hydrogen_bonds_by_length_and_angle():
    each = word("NH2", 4, "OH")
    left, right = end_atoms(each)
    numbers = atomic_numbers_of(each.smiles)
    nitrogen = next(index for index in left if numbers[index] == 7)
    oxygen, hydrogen = (next(index for index in right if numbers[index] == number) for number in (8, 1))
    frames = np.zeros((5, len(numbers), 3))
    frames[:] = 50.0 * np.arange(1, len(numbers) + 1)[:, None]  # everything else is far away
    frames[:, hydrogen] = 0.0
    frames[:, oxygen] = [0.0, 0.0, -1.0]
    for frame, (length, angle) in enumerate([(2.4, 180.0), (2.6, 180.0), (2.4, 125.0), (2.4, 115.0), (1.9, 90.0)]):
        radians = math.radians(180.0 - angle)
        frames[frame, nitrogen] = [length * math.sin(radians), 0.0, length * math.cos(radians)]
    assert end_hydrogen_bonds(frames, each).tolist() == [True, False, True, False, False]


def test_end_contacts_of_another_molecule():
    with pytest.raises(ShapeError, match=r"positions has shape \(1, 8, 3\)"):
        end_contacts(np.zeros((1, 8, 3)), word("Cl", 3, "Cl"))
