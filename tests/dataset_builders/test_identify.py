import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dataset_builders.errors import DataError
from dataset_builders.fragments import parse_fragment, vocabulary_with
from dataset_builders.geometries import check_bonds
from dataset_builders.identify import Identifier
from dataset_builders.mmff94 import atomic_numbers_of
from dataset_builders.tasks import all_words
from dataset_builders.words import word
from tests.dataset_builders.synthetic_folder import frame_of

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
WORDS = (*all_words(), *(word(name, 2, right, OWN) for name in list(OWN)[10:] for right in ("H", name, "OH")))
IDENTIFIER = Identifier(WORDS)


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
    with pytest.raises(DataError, match="a geometry of C2H5O, whose bonds make no neutral closed-shell molecule"):
        IDENTIFIER.identify(atomic_numbers_of("CCO")[:-1], positions[:-1])
