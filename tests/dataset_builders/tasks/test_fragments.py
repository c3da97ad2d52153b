import pytest
from hypothesis import given
from hypothesis import strategies as st

from dataset_builders.core.errors import UsageError
from dataset_builders.tasks.fragments import BUILT_IN, FRAGMENTS, parse_fragment, vocabulary_with
from dataset_builders.tasks.words import word


@pytest.mark.parametrize(
    ("smiles", "single", "double"),
    [
        ("[*]OC", "CCCOC", "COCCCOC"),
        ("CO[*]", "CCCOC", "COCCCOC"),
        ("CC([*])=O", "CCCC(C)=O", "CC(=O)CCCC(C)=O"),
        ("[*]C=C", "C=CCCC", "C=CCCCC=C"),
        ("C1CC1[*]", "CCCC1CC1", "C(CC1CC1)CC1CC1"),
        ("[*]c1ccccc1", "CCCc1ccccc1", "c1ccc(CCCc2ccccc2)cc1"),
        ("[*][N+](=O)[O-]", "CCC[N+](=O)[O-]", "O=[N+]([O-])CCC[N+](=O)[O-]"),
    ],
)
def test_a_fragment_stands_at_either_end(smiles, single, double):
    vocabulary = vocabulary_with([parse_fragment("X", smiles)])
    assert word("X", 3, "H", vocabulary).smiles == single
    assert word("X", 3, "X", vocabulary).smiles == double


@pytest.mark.parametrize("name", FRAGMENTS[1:])
def test_a_built_in_fragment_can_be_declared_again_but_not_as_another(name):
    assert parse_fragment(name, f"[*]{BUILT_IN[name].smiles}") == BUILT_IN[name]
    with pytest.raises(UsageError, match="is a built-in fragment of another structure; choose another name"):
        parse_fragment(name, "[*]OC")


@pytest.mark.parametrize(
    ("smiles", "message"),
    [
        ("no smiles", "RDKit cannot read this SMILES"),
        ("OC", "has 0 attachment points"),
        ("[*]C[*]", "has 2 attachment points"),
        ("[*]=C", "by one single bond"),
        ("C1[*]C1", "by one single bond"),
        ("[*]O.C", "has disconnected parts"),
        ("[*][H]", "use the built-in fragment H"),
        ("[*]Br", "contains Br; expected only H C N O F S Cl"),
        ("[1*]O", "isotope, a radical or a numbered atom"),
        ("[*]O[2H]", "isotope, a radical or a numbered atom"),
        ("[*:1]O", "isotope, a radical or a numbered atom"),
        ("[*][CH]C", "isotope, a radical or a numbered atom"),
        ("[*]C[O-]", r"has charge -1; expected a neutral fragment"),
        ("[*-]O", "a charge or hydrogens"),
        ("[*]C(F)Cl", "has stereoisomers"),
        ("[*]/C=C/C", "has stereoisomers"),
        ("[*]C=CC", "has stereoisomers"),
    ],
)
def test_what_is_no_fragment_is_refused(smiles, message):
    with pytest.raises(UsageError, match=message):
        parse_fragment("X", smiles)


@pytest.mark.parametrize("name", ["", "a-b", "1a", "same", "other", "x" * 25, "å", "a b"])
def test_names_are_safe(name):
    with pytest.raises(UsageError, match=r"fragment name .*; expected a letter, then letters, digits or _"):
        parse_fragment(name, "[*]OC")


@given(st.text(alphabet="CNOFSl[]*()=#123.+-@/\\cn", max_size=16))
def test_any_text_is_a_fragment_or_one_clear_error(smiles):
    try:
        fragment = parse_fragment("X", smiles)
    except UsageError as error:
        assert repr(smiles) in str(error)  # noqa: PT017
        return
    vocabulary = vocabulary_with([fragment])
    assert parse_fragment("X", f"[*]{fragment.smiles}") == fragment
    assert word("X", 1, "X", vocabulary).smiles
