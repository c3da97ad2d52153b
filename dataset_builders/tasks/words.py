"""A molecule is a word: `X-(CH2)k-Y`, two terminal fragments and the length of the spacer."""

import functools
from dataclasses import dataclass
from typing import Final

from dataset_builders.core.errors import UsageError
from dataset_builders.tasks.fragments import BUILT_IN, FragmentName, Vocabulary

_MOST_DIGITS: Final = 3
"""Most digits of a spacer in a molecule id. Ids come from files of others, and a long molecule takes a long time."""

_SHOWN: Final = 60


@dataclass(frozen=True, slots=True, order=True)
class Word:
    """The molecule `left-(CH2)spacer-right`, in its standard form.

    Create words with `word()`, which orders the fragments: by name, with `H` last, so that
    (X, k, Y) and (Y, k, X) are equal.

    Attributes:
        left: Fragment at one end.
        spacer: Number of CH2 groups.
        right: Fragment at the other end.
        ends: SMILES of the two fragments, see `Fragment.smiles`.
    """

    left: FragmentName
    spacer: int
    right: FragmentName
    ends: tuple[str, str]

    @property
    def molecule_id(self) -> str:
        """Stable name, such as `COOH-6-NH2`."""
        return f"{self.left}-{self.spacer}-{self.right}"

    @property
    def smiles(self) -> str:
        """Canonical SMILES (RDKit), the identity of the molecule."""
        return _canonical_smiles(self.written_in_order)

    @property
    def written_in_order(self) -> str:
        """SMILES with the first carbon, the left fragment as its branch, the other carbons, then the right fragment."""
        left, right = self.ends
        branch = f"({left})" if left else ""
        return f"C{branch}{'C' * (self.spacer - 1)}{right}"


def word(left: FragmentName, spacer: int, right: FragmentName, vocabulary: Vocabulary = BUILT_IN) -> Word:
    """Returns the word of two fragments, in any order, and a spacer.

    Raises:
        UsageError: If a fragment is unknown or the spacer is shorter than one methylene group.
    """
    for fragment in (left, right):
        if fragment not in vocabulary:
            raise UsageError(f"unknown fragment {fragment!r}; known fragments: {' '.join(vocabulary)}")
    if spacer < 1:
        raise UsageError(f"spacer length {spacer} in {left}-{spacer}-{right}; expected 1 or more CH2 groups")
    first, second = sorted((left, right), key=lambda fragment: (fragment == "H", fragment))
    return Word(first, spacer, second, (vocabulary[first].smiles, vocabulary[second].smiles))


def parse_word(molecule_id: str, vocabulary: Vocabulary = BUILT_IN) -> Word:
    """Reads a `molecule_id` such as `COOH-6-NH2` back into its word.

    Args:
        molecule_id: The name.
        vocabulary: Known fragments.

    Raises:
        UsageError: If the text is not a molecule id in standard form.
    """
    parts = molecule_id.split("-")
    if len(parts) == 3 and parts[1].isascii() and parts[1].isdigit() and len(parts[1]) <= _MOST_DIGITS:
        left, spacer, right = parts[0], int(parts[1]), parts[2]
        if left in vocabulary and right in vocabulary and spacer >= 1:
            parsed = word(left, spacer, right, vocabulary)
            if parsed.molecule_id == molecule_id:
                return parsed
            raise UsageError(f"molecule id {molecule_id!r} is not in standard form; write {parsed.molecule_id!r}")
    raise UsageError(
        f"{molecule_id[:_SHOWN]!r} is not a molecule id; expected FRAGMENT-SPACER-FRAGMENT, such as COOH-6-NH2, with a "
        f"spacer of at most {_MOST_DIGITS} digits"
    )


@functools.cache
def _canonical_smiles(smiles: str) -> str:
    from rdkit import Chem  # RDKit takes 0.3 s to import, and --help does not need it

    return str(Chem.CanonSmiles(smiles))
