import pytest
from hypothesis import given
from hypothesis import strategies as st

from dataset_builders.core.errors import UsageError
from dataset_builders.tasks.fragments import FRAGMENTS
from dataset_builders.tasks.words import parse_word, word

fragments = st.sampled_from(FRAGMENTS)
spacers = st.integers(1, 30)


@pytest.mark.parametrize(
    ("left", "spacer", "right", "molecule_id", "smiles"),
    [
        ("H", 2, "H", "H-2-H", "CC"),
        ("H", 3, "OH", "OH-3-H", "CCCO"),
        ("NH2", 6, "COOH", "COOH-6-NH2", "NCCCCCCC(=O)O"),
        ("CN", 1, "CN", "CN-1-CN", "N#CCC#N"),
        ("CHO", 2, "CONH2", "CHO-2-CONH2", "NC(=O)CCC=O"),
        ("SH", 2, "Cl", "Cl-2-SH", "SCCCl"),
        ("F", 4, "H", "F-4-H", "CCCCF"),
    ],
)
def test_words_spell_their_molecules(left, spacer, right, molecule_id, smiles):
    found = word(left, spacer, right)
    assert found.molecule_id == molecule_id
    assert found.smiles == smiles


@given(fragments, spacers, fragments)
def test_a_word_is_one_molecule_whichever_end_comes_first(left, spacer, right):
    assert word(left, spacer, right) == word(right, spacer, left)


@given(fragments, spacers, fragments)
def test_molecule_ids_round_trip(left, spacer, right):
    found = word(left, spacer, right)
    assert parse_word(found.molecule_id) == found


@given(st.text(max_size=20))
def test_any_text_is_a_word_or_one_clear_error(text):
    try:
        assert parse_word(text).molecule_id == text
    except UsageError as error:
        assert repr(text) in str(error)  # noqa: PT017


@pytest.mark.parametrize("spacer", ["300000", "1" * 5000, "1000", "+5", "05", "\u0663", " 5", "5_0", "-5", "5.0"])
def test_a_spacer_is_a_short_number_in_plain_digits(spacer):
    with pytest.raises(UsageError, match=r"molecule id") as caught:
        parse_word(f"OH-{spacer}-H")
    assert len(str(caught.value)) < 250


def test_different_words_are_different_molecules():
    words = {word(left, spacer, right) for left in FRAGMENTS for right in FRAGMENTS for spacer in range(1, 13)}
    assert len({found.smiles for found in words}) == len(words)


def test_an_unknown_fragment_is_named():
    with pytest.raises(UsageError, match="unknown fragment 'CH3'; known fragments: H OH"):
        word("CH3", 2, "H")


def test_a_spacer_has_at_least_one_methylene():
    with pytest.raises(UsageError, match="spacer length 0 in H-0-OH"):
        word("H", 0, "OH")


def test_a_molecule_id_in_the_wrong_order_is_corrected():
    with pytest.raises(UsageError, match="write 'COOH-6-NH2'"):
        parse_word("NH2-6-COOH")
