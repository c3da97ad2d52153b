"""A molecule is a word: `X-(CH2)k-Y`, two terminal fragments and the length of the spacer."""

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, Literal, get_args

from dataset_builders.errors import UsageError

Fragment = Literal["H", "OH", "SH", "NH2", "F", "Cl", "CN", "CHO", "COOH", "CONH2"]
"""A terminal fragment of a word."""

FRAGMENTS: Final[tuple[Fragment, ...]] = get_args(Fragment)
"""The ten terminal fragments (F10)."""

# Each side is written out, since SMILES is read from left to right and the fragments are not symmetric.
_SMILES: Final[Mapping[Fragment, tuple[str, str]]] = MappingProxyType(
    {
        "H": ("", ""),
        "OH": ("O", "O"),
        "SH": ("S", "S"),
        "NH2": ("N", "N"),
        "F": ("F", "F"),
        "Cl": ("Cl", "Cl"),
        "CN": ("N#C", "C#N"),
        "CHO": ("O=C", "C=O"),
        "COOH": ("OC(=O)", "C(=O)O"),
        "CONH2": ("NC(=O)", "C(N)=O"),
    }
)


@dataclass(frozen=True, slots=True)
class Word:
    """The molecule `left-(CH2)spacer-right`, in its one standard spelling.

    Make words with `word()`, which puts the fragments in order: by name, with `H` last, so that
    (X, k, Y) and (Y, k, X) are equal.
    """

    left: Fragment
    spacer: int
    right: Fragment

    @property
    def molecule_id(self) -> str:
        """Stable name, such as `COOH-6-NH2`."""
        return f"{self.left}-{self.spacer}-{self.right}"

    @property
    def smiles(self) -> str:
        """Canonical SMILES (RDKit), the identity of the molecule."""
        return _canonical_smiles(self.left, self.spacer, self.right)


def word(left: Fragment, spacer: int, right: Fragment) -> Word:
    """Returns the word of two fragments and a spacer, whichever end is named first.

    Raises:
        UsageError: If a fragment is unknown or the spacer is shorter than one methylene group.
    """
    for fragment in (left, right):
        if fragment not in FRAGMENTS:
            raise UsageError(f"unknown fragment {fragment!r}; known fragments: {' '.join(FRAGMENTS)}")
    if spacer < 1:
        raise UsageError(f"spacer length {spacer} in {left}-{spacer}-{right}; expected 1 or more CH2 groups")
    first, second = sorted((left, right), key=lambda fragment: (fragment == "H", fragment))
    return Word(first, spacer, second)


def parse_word(molecule_id: str) -> Word:
    """Reads a `molecule_id` such as `COOH-6-NH2` back into its word.

    Raises:
        UsageError: If the text is not a molecule id in its standard spelling.
    """
    parts = molecule_id.split("-")
    if len(parts) == 3 and parts[1].isascii() and parts[1].isdigit():
        left = next((fragment for fragment in FRAGMENTS if fragment == parts[0]), None)
        right = next((fragment for fragment in FRAGMENTS if fragment == parts[2]), None)
        if left and right and int(parts[1]) >= 1:
            parsed = word(left, int(parts[1]), right)
            if parsed.molecule_id == molecule_id:
                return parsed
            raise UsageError(f"molecule id {molecule_id!r} is not in standard order; write {parsed.molecule_id!r}")
    raise UsageError(f"{molecule_id!r} is not a molecule id; expected FRAGMENT-SPACER-FRAGMENT, such as COOH-6-NH2")


@functools.cache
def _canonical_smiles(left: Fragment, spacer: int, right: Fragment) -> str:
    from rdkit import Chem  # RDKit takes a third of a second to import, and --help needs none of it

    return str(Chem.CanonSmiles(_SMILES[left][0] + "C" * spacer + _SMILES[right][1]))
