"""Which molecule a SMILES is, however it is written: the elements and bonds of all its atoms.

With explicit hydrogens, the connectivity alone identifies a neutral closed-shell molecule without stereoisomers. Bond
orders and charges do not: a sulfone is `S(=O)(=O)` and `[S+2]([O-])[O-]`, which canonical SMILES keep apart.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rdkit.Chem import Mol


def skeleton_of(mol: "Mol") -> "Mol":
    """The connectivity of a molecule with explicit hydrogens; without bond orders, charges and stereochemistry."""
    from rdkit import Chem

    skeleton = Chem.RWMol()
    for atom in mol.GetAtoms():
        plain = Chem.Atom(atom.GetAtomicNum())
        plain.SetNoImplicit(True)
        skeleton.AddAtom(plain)
    for bond in mol.GetBonds():
        skeleton.AddBond(bond.GetBeginAtomIdx(), bond.GetEndAtomIdx(), Chem.BondType.SINGLE)
    skeleton.UpdatePropertyCache(strict=False)
    return skeleton


def spelling_of(skeleton: "Mol") -> str:
    """The same text for the same skeleton, whatever the order of its atoms."""
    from rdkit import Chem

    return str(Chem.MolToSmiles(skeleton))


def identity_of(smiles: str) -> str:
    """A text that two SMILES have in common if they are the same molecule.

    Args:
        smiles: A SMILES that RDKit can read.
    """
    from rdkit import Chem

    return spelling_of(skeleton_of(Chem.AddHs(Chem.MolFromSmiles(smiles))))
