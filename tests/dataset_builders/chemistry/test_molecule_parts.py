import pytest

from dataset_builders.certify.coverage import certify_task
from dataset_builders.chemistry.environments import far_molecules
from dataset_builders.chemistry.mmff94 import molecule
from dataset_builders.chemistry.molecule_parts import (
    heavy_pairs,
    rotatable_bonds,
    rotors,
    torsion_types,
)
from dataset_builders.core.errors import DataError
from dataset_builders.tasks.regions import TASKS


def test_torsion_types_of_ethane_butane_and_ethanol():
    assert {name: len(found) for name, found in torsion_types("CC").items()} == {"H1-C4-C4-H1": 9}
    # 18 H-C-C-H: 3 x 2 of each end bond and 2 x 2 of the middle one; 5 with two carbons, and so on.
    assert {name: len(found) for name, found in torsion_types("CCCC").items()} == {
        "C4-C4-C4-C4": 1,
        "C4-C4-C4-H1": 2 * 3 + 2 * 2,
        "H1-C4-C4-H1": 2 * 6 + 4,
    }
    assert {name: len(found) for name, found in torsion_types("CCO").items()} == {
        "C4-C4-O2-H1": 1,
        "H1-C4-C4-H1": 6,
        "H1-C4-C4-O2": 3,
        "H1-C4-O2-H1": 2,
    }


def test_torsion_types_name_bond_orders_and_read_the_same_backwards():
    forwards, backwards = torsion_types("OC(=O)CC"), torsion_types("CCC(O)=O")
    assert forwards.keys() == backwards.keys()
    assert "C4-C4-C3=O1" in forwards
    assert "C4-C4-C3-O2" in forwards
    assert torsion_types("CCC=O")["C4-C4-C3=O1"] == ((0, 1, 2, 3),)
    assert torsion_types("O=CCC")["C4-C4-C3=O1"] == ((3, 2, 1, 0),)


def test_torsion_types_leave_out_linear_atoms():
    # C-C-C#N is straight at the third atom; torsions about the C-C bond remain.
    assert list(torsion_types("CCC#N")) == ["C2-C4-C4-H1", "H1-C4-C4-H1"]


def test_torsion_types_of_a_ring_of_three():
    assert all(len(set(each)) == 4 for found in torsion_types("C1CC1").values() for each in found)


@pytest.mark.parametrize(
    ("smiles", "pairs"),
    [
        ("CC", {("C", "C")}),
        ("C", set()),
        ("ClCCCl", {("C", "C"), ("C", "Cl"), ("Cl", "Cl")}),
        ("NCC#N", {("C", "C"), ("C", "N"), ("N", "N")}),
    ],
)
def test_heavy_pairs(smiles, pairs):
    assert heavy_pairs(smiles) == pairs


@pytest.mark.parametrize(
    ("task", "n_torsions", "n_pairs", "n_ood"),
    [("task1", 0, 0, 40), ("task2", 8, 15, 24), ("task3", 15, 24, 30), ("task4", 0, 0, 16)],
)
def test_ood_molecules_with_unseen_parts(task, n_torsions, n_pairs, n_ood):
    words = (TASKS[task].train_words(), TASKS[task].ood_words())
    train, ood = ({word.molecule_id: word.smiles for word in of} for of in words)
    found = certify_task(task, TASKS[task], train, ood)
    assert (len(found.unseen_torsions), len(found.unseen_pairs), len(ood)) == (n_torsions, n_pairs, n_ood)
    assert not far_molecules(TASKS[task]).intersection(found.unseen_torsions)  # all of them are near


@pytest.mark.parametrize(
    ("smiles", "bonds"),
    [
        ("CC", ()),  # two methyl tops
        ("CCCC", ((0, 1, 2, 3),)),
        ("CCO", ((0, 1, 2, 8),)),  # the hydrogen of OH
        ("CCS", ((0, 1, 2, 8),)),
        ("ClCCCl", ((0, 1, 2, 3),)),
        ("CCC#N", ()),  # a methyl top and a linear end
        ("CCC(N)=O", ((0, 1, 2, 4),)),  # refers to the oxygen; the NH2 of an amide has two equal hydrogens
        ("CC(=O)O", ((2, 1, 3, 7),)),  # H-O-C=O
        ("CC(F)(F)F", ()),
        ("C1CCCCC1", ()),
    ],
)
def test_rotatable_bonds(smiles, bonds):
    assert rotatable_bonds(smiles) == bonds


def test_the_amino_group_rotates_by_its_lone_pair():
    rotor = rotors("CCN")[0]
    assert rotor.atoms == (0, 1, 2, 8)
    assert rotor.lone_pairs == ((), (8, 9))
    assert rotor.wells == 3


def test_bonds_to_a_planar_end_have_two_wells():
    assert [rotor.wells for rotor in rotors("CCCC=O")] == [3, 2]
    assert [rotor.wells for rotor in rotors("CCC(=O)O")] == [2, 2]
    assert [rotor.wells for rotor in rotors("COC(C)=O")] == [2]


def test_references_are_the_same_for_equal_ends():
    mol = molecule("OCCCCO")
    left, *_, right = rotatable_bonds("OCCCCO")
    assert [mol.GetAtomWithIdx(index).GetSymbol() for index in left] == ["H", "O", "C", "C"]
    assert [mol.GetAtomWithIdx(index).GetSymbol() for index in right] == ["C", "C", "O", "H"]


@pytest.mark.parametrize("function", [torsion_types, heavy_pairs, rotatable_bonds])
def test_an_unreadable_smiles(function):
    with pytest.raises(DataError, match="cannot read the SMILES 'C1C'"):
        function("C1C")
