import math
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dataset_builders.chemistry.environments import (
    divergence,
    environment_of_atom,
    environments,
    far_molecules,
    subset_of,
    uncovered,
    undetermined,
)
from dataset_builders.chemistry.mmff94 import molecule
from dataset_builders.core.errors import DataError, UsageError
from dataset_builders.tasks.fragments import FRAGMENTS
from dataset_builders.tasks.regions import TASKS
from dataset_builders.tasks.words import word
from tests.dataset_builders.words_of_tasks import ALL_WORDS

METHYL = "C([H])([H])([H])C"
METHYLENE = "C([H])([H])(C)O"
HYDROXYL = "O([H])C"


def test_ethanol_at_radius_1():
    assert environments("CCO", 1) == {METHYL: 1, METHYLENE: 1, HYDROXYL: 1}


def test_ethanol_at_radius_0_and_2():
    assert environments("CCO", 0) == {"C": 2, "O": 1}
    assert environment_of_atom("CCO", 0, 2) == "C([H])([H])([H])C([H])([H])O"
    assert environment_of_atom("CCO", 2, 2) == "O([H])C([H])([H])C"


def test_an_environment_that_outgrows_its_molecule_is_the_whole_molecule():
    assert environments("CCO", 3) == environments("CCO", 9)
    assert environment_of_atom("CCO", 0, 3) == "C([H])([H])([H])C([H])([H])O[H]"


def test_the_root_distinguishes_two_ends_of_one_bond():
    assert environment_of_atom("CO", 0, 9) != environment_of_atom("CO", 1, 9)


def test_negative_radius():
    with pytest.raises(UsageError, match=r"radius -1; expected 0 or more"):
        environments("CCO", -1)


def test_unreadable_smiles():
    with pytest.raises(DataError, match="RDKit cannot read the SMILES"):
        environments("C(", 1)


def rooted_tree(mol, index, depth, parent=None):
    """The environment in a canonical form of its own (Aho, Hopcroft and Ullman): the molecules are trees."""
    atom = mol.GetAtomWithIdx(index)
    bonds = () if depth == 0 else atom.GetBonds()
    branches = sorted(
        (str(bond.GetBondType()), rooted_tree(mol, bond.GetOtherAtomIdx(index), depth - 1, index))
        for bond in bonds
        if bond.GetOtherAtomIdx(index) != parent
    )
    return (atom.GetAtomicNum(), tuple(branches))


def test_texts_agree_exactly_where_environments_do():
    text_of, tree_of = {}, {}
    for each in ALL_WORDS:
        mol = molecule(each.smiles)
        for atom in mol.GetAtoms():
            for radius in range(4) if atom.GetAtomicNum() > 1 else ():
                text = environment_of_atom(each.smiles, atom.GetIdx(), radius)
                tree = rooted_tree(mol, atom.GetIdx(), radius)
                assert text_of.setdefault(tree, text) == text
                assert tree_of.setdefault(text, tree) == tree


@settings(max_examples=30, deadline=None)
@given(st.sampled_from(FRAGMENTS), st.integers(1, 9), st.sampled_from(FRAGMENTS), st.integers(0, 6), st.integers(0, 99))
def test_texts_do_not_depend_on_the_order_of_atoms(left, spacer, right, radius, seed):
    from rdkit import Chem

    smiles = word(left, spacer, right).smiles
    mol = Chem.MolFromSmiles(smiles)
    shuffled = Chem.MolToRandomSmilesVect(mol, 1, randomSeed=seed + 1)[0]
    assert environments(shuffled, radius) == environments(smiles, radius)


@pytest.mark.parametrize(
    ("task", "covered", "published_divergence"),
    [
        ("task1", ("40/40", "40/40", "0/40"), 0.26),
        ("task2", ("24/24", "20/24", "12/24"), 0.23),
        ("task3", ("30/30", "18/30", "15/30"), 0.24),
        ("task4", ("16/16", "16/16", "0/16"), 0.10),
    ],
)
def test_coverage_and_divergence_of_the_tasks(task, covered, published_divergence):
    train = [each.smiles for each in TASKS[task].train_words()]
    ood = [each.smiles for each in TASKS[task].ood_words()]
    found = tuple(f"{len(ood) - len(uncovered(train, ood, radius))}/{len(ood)}" for radius in (1, 2, 3))
    assert found == covered
    assert round(divergence(train, ood, 2), 2) == published_divergence


@pytest.mark.parametrize("task", TASKS)
def test_training_fixes_the_total_energies_of_every_task(task):
    train = [each.smiles for each in TASKS[task].train_words()]
    ood = [each.smiles for each in TASKS[task].ood_words()]
    assert undetermined(train, ood, 1) == ()
    assert undetermined([], ood, 1) == tuple(ood)


def test_an_open_sum_by_hand():
    # Alcohols have one OH end and one methyl end each; a diol has two of one kind. Alkanes have two of the other.
    alcohols, alkanes = ["CCCO", "CCCCO", "CCCCCO"], ["CCCC", "CCCCC"]
    assert undetermined(alcohols, ["OCCCCO", "CCCCCCO"], 1) == ("OCCCCO",)
    assert undetermined([*alcohols, *alkanes], ["OCCCCO", "CCCCCCO"], 1) == ()
    assert undetermined(alcohols, ["CCN"], 1) == ("CCN",)


def test_divergence_by_hand():
    # Heavy atoms at radius 0: ethanol C 2/3, O 1/3; methylamine C 1/2, N 1/2. Only C is in both.
    assert divergence(["CCO"], ["CN"], 0) == pytest.approx(1.0 - math.sqrt(2 / 3 * 1 / 2), abs=1e-15)


def test_divergence_counts_each_atom_of_each_molecule():
    # Two molecules pooled: C 3/5, O 1/5, N 1/5. Averaging their distributions would give C 7/12.
    assert divergence(["CCO", "CN"], ["C"], 0) == pytest.approx(1.0 - math.sqrt(3 / 5), abs=1e-15)


def test_divergence_bounds():
    assert divergence(["CCO", "CCC"], ["CCC", "CCO"], 2) == pytest.approx(0.0, abs=1e-15)
    assert divergence(["O"], ["N"], 1) == 1.0
    with pytest.raises(DataError, match="no heavy atom"):
        divergence([], ["C"], 1)


def test_uncovered_by_hand():
    # The middle carbon of propane, C(C)(C), is not in ethane or ethanol; its methyl groups are.
    assert uncovered(["CC", "CCO"], ["CC", "CCC"], 1) == ("CCC",)
    assert uncovered(["CC", "CCC"], ["CCCC"], 1) == ()


def test_far_and_near():
    task = TASKS["task2"]
    assert subset_of(task, word("OH", 6, "OH")) == "far"
    assert subset_of(task, word("OH", 2, "OH")) == "near"
    assert subset_of(task, word("OH", 2, "H")) == ""
    assert Counter(subset_of(task, each) for each in task.ood_words()) == {"far": 12, "near": 12}
    assert len(far_molecules(TASKS["task3"])) == 15


@pytest.mark.parametrize("name", ["task1", "task4"])
def test_tasks_without_subsets(name):
    assert {subset_of(TASKS[name], each) for each in TASKS[name].ood_words()} == {""}
