"""Terminal fragments: the two ends of a chain."""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, TypeAlias

from dataset_builders.core.errors import UsageError

if TYPE_CHECKING:
    from rdkit.Chem import Mol

FragmentName: TypeAlias = str
"""Name of a terminal fragment, such as `COOH`; it matches `NAME_PATTERN`."""

NAME_PATTERN: Final = r"[A-Za-z][A-Za-z0-9_]{0,23}"
"""Pattern of fragment names: without `-`, which separates the parts of a molecule id."""

RESERVED_NAMES: Final = ("same", "other")
"""Keywords for fragments in a region, so not available as names of fragments."""

ELEMENTS: Final = ("H", "C", "N", "O", "F", "S", "Cl")
"""Elements supported at every level of theory of the labels."""


@dataclass(frozen=True, slots=True)
class Fragment:
    """A terminal fragment.

    Attributes:
        name: Its name.
        smiles: SMILES as written after the chain, so that its first atom is bonded to the last CH2; empty for the
            hydrogen of an unsubstituted end.
    """

    name: FragmentName
    smiles: str


Vocabulary: TypeAlias = Mapping[FragmentName, Fragment]
"""Fragments by name."""

BUILT_IN: Final[Vocabulary] = MappingProxyType(
    {
        name: Fragment(name, smiles)
        for name, smiles in (
            ("H", ""),
            ("OH", "O"),
            ("SH", "S"),
            ("NH2", "N"),
            ("F", "F"),
            ("Cl", "Cl"),
            ("CN", "C#N"),
            ("CHO", "C=O"),
            ("COOH", "C(=O)O"),
            ("CONH2", "C(N)=O"),
        )
    }
)
"""The ten fragments of the four tasks."""

FRAGMENTS: Final[tuple[FragmentName, ...]] = tuple(BUILT_IN)
"""Their names (F10)."""


def vocabulary_with(own: Iterable[Fragment]) -> Vocabulary:
    """The built-in fragments and additional ones."""
    return MappingProxyType({**BUILT_IN, **{fragment.name: fragment for fragment in own}})


def parse_fragment(name: FragmentName, smiles: str) -> Fragment:
    """Creates a fragment from a SMILES with an attachment point.

    Args:
        name: Its name.
        smiles: SMILES with one attachment point `[*]` at any position, such as `[*]OC` or `CO[*]`.

    Raises:
        UsageError: If the name is invalid or belongs to another fragment, or the SMILES is not a neutral closed-shell
            fragment of supported elements with one single bond to the chain.
    """
    if not re.fullmatch(NAME_PATTERN, name) or name in RESERVED_NAMES:
        raise UsageError(
            f"fragment name {name!r}; expected a letter, then letters, digits or _, at most 24 characters, and none of "
            f"{' '.join(RESERVED_NAMES)}"
        )
    fragment = Fragment(name, _after_the_chain(name, smiles))
    known = BUILT_IN.get(name)
    if known is not None and _on_a_chain(known) != _on_a_chain(fragment):
        raise UsageError(
            f"fragment {name} = {smiles!r}, but {name} is a built-in fragment of another structure; choose another name"
        )
    return known or fragment


def _after_the_chain(name: str, smiles: str) -> str:
    from rdkit import Chem, rdBase

    with rdBase.BlockLogs():  # suppresses RDKit's own messages
        mol = Chem.MolFromSmiles(smiles)
    if mol is None:
        raise UsageError(f"fragment {name} = {smiles!r}: RDKit cannot read this SMILES; expected one such as '[*]OC'")
    problem = next(_problems(mol), None)
    if problem:
        raise UsageError(f"fragment {name} = {smiles!r} {problem}")
    attachment = next(atom.GetIdx() for atom in mol.GetAtoms() if atom.GetAtomicNum() == 0)
    return Chem.MolToSmiles(mol, rootedAtAtom=attachment).removeprefix("*")


def _problems(mol: "Mol") -> Iterator[str]:
    """Problems of a fragment, as text; use the first only, since it may cause the others."""
    from rdkit import Chem

    points = [atom for atom in mol.GetAtoms() if atom.GetAtomicNum() == 0]
    if len(points) != 1:
        yield f"has {len(points)} attachment points; expected one [*], where the chain is bonded"
    point = points[0]
    others = [atom for atom in mol.GetAtoms() if atom is not point and atom.GetAtomicNum()]
    if point.GetDegree() != 1 or point.GetBonds()[0].GetBondType() != Chem.BondType.SINGLE:
        yield "is not bonded to its attachment point [*] by one single bond; expected one, as in '[*]OC'"
    if point.GetFormalCharge() or point.GetTotalNumHs():
        yield "has an attachment point with a charge or hydrogens; expected a plain [*]"
    if len(Chem.GetMolFrags(mol)) != 1:
        yield "has disconnected parts; expected one connected fragment"
    if point.GetNeighbors()[0].GetAtomicNum() == 1:
        yield "is hydrogen; use the built-in fragment H"
    strange = [atom.GetSymbol() for atom in others if atom.GetSymbol() not in ELEMENTS]
    if strange:
        yield f"contains {strange[0]}; expected only {' '.join(ELEMENTS)}, which every level of theory supports"
    if any(atom.GetIsotope() or atom.GetNumRadicalElectrons() or atom.GetAtomMapNum() for atom in mol.GetAtoms()):
        yield "contains an isotope, a radical or a numbered atom; expected a closed shell and plain atoms"
    if Chem.GetFormalCharge(mol):
        yield f"has charge {Chem.GetFormalCharge(mol):+d}; expected a neutral fragment"
    if any(True for _ in Chem.FindPotentialStereo(mol)):
        yield "has stereoisomers; expected no stereocentre and no E/Z double bond, which the checks cannot distinguish"


def _on_a_chain(fragment: Fragment) -> str:
    from rdkit import Chem

    return str(Chem.CanonSmiles(f"CC{fragment.smiles}"))
