import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dataset_builders.chemistry.identify import Identifier
from dataset_builders.chemistry.mmff94 import atomic_numbers_of
from dataset_builders.chemistry.sampling import check_bonds
from dataset_builders.core.errors import DataError
from dataset_builders.tasks.fragments import parse_fragment, vocabulary_with
from dataset_builders.tasks.words import word
from tests.dataset_builders.synthetic_folder import frame_of
from tests.dataset_builders.words_of_tasks import ALL_WORDS

OWN = vocabulary_with(
    parse_fragment(name, smiles)
    for name, smiles in [
        ("Ph", "[*]c1ccccc1"),
        ("cPr", "[*]C1CC1"),
        ("vinyl", "[*]C=C"),
        ("OMe", "[*]OC"),
        ("nitro", "[*][N+](=O)[O-]"),
        ("ONO", "[*]ON=O"),
    ]
)
WORDS = (*ALL_WORDS, *(word(name, 2, right, OWN) for name in list(OWN)[10:] for right in ("H", name, "OH")))
IDENTIFIER = Identifier(WORDS)
STRANGERS = (
    "O=[N+]([O-])c1cc([N+](=O)[O-])c(-c2c([N+](=O)[O-])cc([N+](=O)[O-])cc2[N+](=O)[O-])c([N+](=O)[O-])c1",
    "CN(C)c1ccc(N=Nc2ccc(S(=O)(=O)[O-])cc2)cc1",
    "c1cc2cc3ccc([nH]3)cc3ccc(n3)cc3ccc([nH]3)cc1n2",
    "NCC(=O)NCC(=O)NCC(=O)NCC(=O)NCC(=O)O",
)


@given(st.sampled_from(WORDS), st.randoms(use_true_random=False))
def test_a_molecule_is_found_whatever_the_order_of_its_atoms(found, random):
    positions, _, _ = frame_of(found.smiles, "primary", 0)
    numbers = atomic_numbers_of(found.smiles)
    shuffled = np.array(random.sample(range(len(numbers)), len(numbers)))
    identity = IDENTIFIER.identify(numbers[shuffled], positions[shuffled])
    assert identity.word == found
    assert sorted(identity.order) == list(range(len(numbers)))
    assert (numbers[shuffled][identity.order] == numbers).all()
    check_bonds(found.smiles, positions[shuffled][identity.order][None])


@pytest.mark.parametrize(
    ("smiles", "message"),
    [("CC(C)O", r"a geometry of CC\(C\)O$"), ("c1ccccc1", "a geometry of c1ccccc1"), ("OCCCCCCCCCO", "OCCCCCCCCCO")],
)
def test_another_molecule_is_named(smiles, message):
    positions, _, _ = frame_of(smiles, "primary", 0)
    with pytest.raises(DataError, match=message):
        IDENTIFIER.identify(atomic_numbers_of(smiles), positions)


def test_what_is_no_closed_shell_molecule_is_called_by_its_formula():
    positions, _, _ = frame_of("CCO", "primary", 0)
    with pytest.raises(DataError, match="a geometry of C2H5O, whose bonds do not form a neutral closed-shell molecule"):
        IDENTIFIER.identify(atomic_numbers_of("CCO")[:-1], positions[:-1])


def test_what_is_not_of_the_task_is_named_in_bounded_time():
    """Where bonds can be drawn in many ways, RDKit would try them for minutes, or for ever."""
    random = np.random.default_rng(0)
    crowded = random.normal(0.0, 1.5, (60, 3))
    cases = [
        (np.array([6] * 60), crowded),
        (np.array([7, 8, 16, 6] * 15), crowded),
        (np.array([6] * 20_000), random.normal(0.0, 50.0, (20_000, 3))),
        (np.array([6, 1, 1, 1, 1]), np.zeros((5, 3))),
        (np.array([0, 1]), np.eye(2, 3)),
        (np.array([6] * 40 + [7, 8] * 5), np.zeros((50, 3))),
    ]
    for smiles in ("O=[N+]([O-])N1CN([N+](=O)[O-])CN([N+](=O)[O-])C1", *STRANGERS):
        cases.append((atomic_numbers_of(smiles), frame_of(smiles, "primary", 0)[0]))
        # Two hydrogens fewer: all that bond orders are then tried for is in vain.
        cases.append((atomic_numbers_of(smiles)[:-2], frame_of(smiles, "primary", 0)[0][:-2]))
    for numbers, positions in cases:
        began = time.process_time()
        with pytest.raises(DataError, match="a geometry of "):
            IDENTIFIER.identify(numbers, positions)
        assert time.process_time() - began < 2.0


def test_a_stranger_of_many_conjugated_bonds_is_named():
    named = []
    for smiles in STRANGERS:
        with pytest.raises(DataError) as caught:
            IDENTIFIER.identify(atomic_numbers_of(smiles), frame_of(smiles, "primary", 0)[0])
        named.append(str(caught.value).removeprefix("a geometry of "))
    assert named[0] == "C12H4N6O12, whose bond orders would take too long to determine"
    assert named[-1] == "NCC(=O)NCC(=O)NCC(=O)NCC(=O)NCC(=O)O"
