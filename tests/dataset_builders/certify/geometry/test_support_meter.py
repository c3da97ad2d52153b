"""Geometric support of a small folder against an independent computation without bins, streams or samples."""

import math
from collections import Counter
from itertools import combinations, pairwise

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from scipy.spatial import cKDTree

from dataset_builders.certify.audit import certify
from dataset_builders.certify.geometry.support_meter import SupportMeter
from dataset_builders.certify.row_checks import frames_by_molecule
from dataset_builders.chemistry.environments import far_molecules
from dataset_builders.chemistry.molecule_parts import rotatable_bonds
from dataset_builders.folder.mini import MINI_DIRECTORY
from dataset_builders.tasks.regions import TASKS
from dataset_builders.tasks.words import parse_word

TASK = "task2"
SPLITS = ("train", "validation", "test_id", "test_ood")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Three frames of the first burst of each molecule of a task of mini."""
    out = tmp_path_factory.mktemp("support")
    (out / TASK).mkdir()
    for split in SPLITS:
        (path,) = (MINI_DIRECTORY / TASK).glob(f"{split}-*.parquet")
        table = pq.read_table(path)
        first = table.filter(pc.less(table["frame"], pc.add(pc.min(table["frame"]), 3)))
        pq.write_table(first, out / TASK / path.name)
    return out


@pytest.fixture(scope="module")
def support(folder):
    (found,) = certify(folder).certificate.support
    return found


@pytest.fixture(scope="module")
def frames(folder):
    """By split: the molecule, a name of its subset, and an RDKit conformer for each row."""
    from rdkit import Chem

    far = far_molecules(TASKS[TASK])
    found = {}
    for split in SPLITS:
        (path,) = (folder / TASK).glob(f"{split}-*.parquet")
        found[split] = []
        for row in pq.read_table(path).to_pylist():
            mol = Chem.AddHs(Chem.MolFromSmiles(row["smiles"]))
            conformer = Chem.Conformer(mol.GetNumAtoms())
            for index, position in enumerate(np.array(row["positions"], dtype=np.float64).reshape(-1, 3)):
                conformer.SetAtomPosition(index, position)
            mol.AddConformer(conformer)
            subset = ("far" if row["molecule_id"] in far else "near") if split == "test_ood" else ""
            found[split].append((row["molecule_id"], subset, mol))
    return found


def measured(folder, is_chosen):
    """The support of some molecules, read in small parts."""
    meter = SupportMeter(TASK, TASKS[TASK])
    for split in ("train", "test_id", "test_ood"):
        (path,) = (folder / TASK).glob(f"{split}-*.parquet")
        for batch in pq.ParquetFile(path).iter_batches(50):
            for part in frames_by_molecule(batch, np.arange(batch.num_rows), path.name):
                if is_chosen(part.molecule_id):
                    meter.add(part, split)
    return meter.support()


def counted(support, attribute):
    """A count by split and subset."""
    found = Counter()
    for group, counts in support.groups.items():
        found[group.split, group.subset] += getattr(counts, attribute)
    return +found


def torsions(mol):
    """Type and absolute angle of each torsion."""
    from rdkit.Chem import rdMolTransforms

    conformer = mol.GetConformer()
    for second, third in ((bond.GetBeginAtom(), bond.GetEndAtom()) for bond in mol.GetBonds()):
        if any(str(atom.GetHybridization()) == "SP" for atom in (second, third)):
            continue
        for first in second.GetNeighbors():
            for last in third.GetNeighbors():
                chain = (first, second, third, last)
                if len({atom.GetIdx() for atom in chain}) == 4:
                    name = tuple((atom.GetAtomicNum(), atom.GetDegree()) for atom in chain)
                    orders = tuple(
                        str(mol.GetBondBetweenAtoms(one.GetIdx(), two.GetIdx()).GetBondType())
                        for one, two in pairwise(chain)
                    )
                    angle = rdMolTransforms.GetDihedralDeg(conformer, *(atom.GetIdx() for atom in chain))
                    yield min((name, orders), (name[::-1], orders[::-1])), abs(angle)


def test_the_number_of_frames(support, frames):
    expected = Counter((split, subset) for split in SPLITS for _, subset, _ in frames[split] if split != "validation")
    assert counted(support, "frames") == expected
    assert expected["test_ood", "far"] == expected["test_ood", "near"] == 36


def test_torsions(support, frames):
    seen = {}
    for _, _, mol in frames["train"]:
        for name, angle in torsions(mol):
            seen.setdefault(name, []).append(angle)
    expected = {name: Counter() for name in ("torsions", "torsions_beyond", "unseen_angles", "unseen_types")}
    for split in ("test_id", "test_ood"):
        for _, subset, mol in frames[split]:
            found = list(torsions(mol))
            known = [(name, angle) for name, angle in found if name in seen]
            beyond = sum(min(abs(angle - other) for other in seen[name]) > 5.0 for name, angle in known)
            for name, value in (
                ("torsions", len(known)),
                ("torsions_beyond", beyond),
                ("unseen_angles", beyond > 0),
                ("unseen_types", len(known) < len(found)),
            ):
                expected[name][split, subset] += int(value)
    for name, counts in expected.items():
        assert counted(support, name) == +counts, name
    assert expected["torsions_beyond"]["test_id", ""] > 20


def heavy_distances(mol):
    heavy = [atom for atom in mol.GetAtoms() if atom.GetAtomicNum() > 1]
    positions = mol.GetConformer().GetPositions()
    for one, other in combinations(heavy, 2):
        distance = math.dist(positions[one.GetIdx()], positions[other.GetIdx()])
        yield tuple(sorted((one.GetAtomicNum(), other.GetAtomicNum()))), distance


def test_heavy_atoms_at_unseen_distances(support, frames):
    seen = {}
    for _, _, mol in frames["train"]:
        for pair, distance in heavy_distances(mol):
            seen.setdefault(pair, []).append(distance)
    expected = Counter()
    for split in ("test_id", "test_ood"):
        for _, subset, mol in frames[split]:
            expected[split, subset] += any(
                distance < 5.0 and min((abs(distance - other) for other in seen.get(pair, [])), default=math.inf) > 0.1
                for pair, distance in heavy_distances(mol)
            )
    assert counted(support, "unseen_pairs") == +expected
    assert expected["test_ood", "near"] > 24


def well(mol, atoms):
    from rdkit.Chem import rdMolTransforms

    middle = [mol.GetAtomWithIdx(index) for index in atoms[1:3]]
    angle = rdMolTransforms.GetDihedralDeg(mol.GetConformer(), *atoms)
    if any(str(atom.GetHybridization()) == "SP2" and atom.GetDegree() == 3 for atom in middle):
        return "cis" if abs(angle) <= 90 else "trans"
    return "t" if abs(angle) > 120 else "+" if angle > 0 else "-"


def rotamer(mol, is_symmetric):
    """All equivalent sequences: of the mirror image, and read from the other end of an alkane."""
    mirror = {"+": "-", "-": "+"}
    wells = tuple(well(mol, atoms) for atoms in rotatable_bonds(smiles_of(mol)))
    variants = [wells, tuple(mirror.get(each, each) for each in wells)]
    return frozenset([*variants, *(each[::-1] for each in variants)] if is_symmetric else variants)


def smiles_of(mol):
    from rdkit import Chem

    return Chem.MolToSmiles(Chem.RemoveHs(mol))


def test_seen_rotamers(folder, frames):
    """Of all molecules but the amines, whose lone pair RDKit has no angle of."""
    seen = {(name, rotamer(mol, "H-" in name)) for name, _, mol in frames["train"] if "NH2-" not in name}
    expected = Counter()
    for name, _, mol in frames["test_id"]:
        if "NH2-" not in name:
            expected[parse_word(name).spacer] += (name, rotamer(mol, "H-" in name)) in seen
    support = measured(folder, lambda name: "NH2-" not in name)
    found = {group.spacer: counts.seen_rotamers for group, counts in support.groups.items() if group.split == "test_id"}
    assert found == expected
    assert found[2] > found[8]
    assert counted(support, "seen_rotamers").keys() == {("test_id", "")}


def chain_of(mol, n_carbons):
    """The chain: of the paths of CH2 and CH3 carbons, the one of that length."""
    from rdkit import Chem

    for match in mol.GetSubstructMatches(Chem.MolFromSmarts("~".join(["[CX4]"] * n_carbons))):
        if all(mol.GetAtomWithIdx(index).GetTotalNumHs(includeNeighbors=True) >= 2 for index in match):
            return set(match)
    raise AssertionError("no chain")


def ends_of(mol, n_carbons):
    chain = chain_of(mol, n_carbons)
    of_chain = {
        each.GetIdx()
        for index in chain
        for each in mol.GetAtomWithIdx(index).GetNeighbors()
        if each.GetAtomicNum() == 1
    }
    rest = set(range(mol.GetNumAtoms())) - chain - of_chain
    parts = []
    while rest:
        part, queue = set(), [min(rest)]
        while queue:
            index = queue.pop()
            part.add(index)
            queue.extend(
                each.GetIdx() for each in mol.GetAtomWithIdx(index).GetNeighbors() if each.GetIdx() in rest - part
            )
        parts.append(part)
        rest -= part
    return parts


def is_hydrogen_bond(mol, hydrogen, acceptor, positions):
    atom = mol.GetAtomWithIdx(hydrogen)
    (donor,) = atom.GetNeighbors()
    if atom.GetAtomicNum() != 1 or donor.GetAtomicNum() not in (7, 8):
        return False
    if mol.GetAtomWithIdx(acceptor).GetAtomicNum() not in (7, 8, 9, 17):
        return False
    arms = positions[donor.GetIdx()] - positions[hydrogen], positions[acceptor] - positions[hydrogen]
    cosine = arms[0] @ arms[1] / np.linalg.norm(arms[0]) / np.linalg.norm(arms[1])
    return bool(np.linalg.norm(arms[1]) < 2.5 and math.degrees(math.acos(cosine)) > 120)


def test_contacts_and_hydrogen_bonds_of_the_ends(support, frames):
    contacts, bonds, two_ended = Counter(), Counter(), Counter()
    for split in ("train", "test_id", "test_ood"):
        for name, subset, mol in frames[split]:
            parts = ends_of(mol, parse_word(name).spacer)
            if len(parts) < 2:
                continue
            positions = mol.GetConformer().GetPositions()
            pairs = [(one, other) for one in parts[0] for other in parts[1]]
            two_ended[split, subset] += 1
            contacts[split, subset] += min(math.dist(positions[one], positions[other]) for one, other in pairs) < 5.0
            bonds[split, subset] += any(
                is_hydrogen_bond(mol, *each, positions)
                for pair in pairs
                for each in (pair, pair[::-1])
                if mol.GetAtomWithIdx(each[0]).GetAtomicNum() == 1
            )
    assert counted(support, "two_ended") == two_ended
    assert counted(support, "contacts") == +contacts
    assert counted(support, "hydrogen_bonds") == +bonds
    assert two_ended.keys() == {("test_ood", "far"), ("test_ood", "near")}
    assert 0 < contacts["test_ood", "far"] < contacts["test_ood", "near"]
    assert bonds.total() > 0


def test_remote_atoms(support, frames):
    pytest.importorskip("torchani")
    from harness.baselines.descriptors import atomic_descriptors
    from harness.core.batch import StructureBatch

    described = {}
    for split in ("train", "test_id", "test_ood"):
        mols = [mol for _, _, mol in frames[split]]
        numbers = np.concatenate([[atom.GetAtomicNum() for atom in mol.GetAtoms()] for mol in mols])
        positions = np.concatenate([mol.GetConformer().GetPositions() for mol in mols])
        sizes = np.array([mol.GetNumAtoms() for mol in mols])
        batch = StructureBatch(numbers, positions, sizes, tuple(map(smiles_of, mols)))
        subsets = np.repeat([subset for _, subset, _ in frames[split]], sizes)
        described[split] = numbers, subsets, atomic_descriptors(batch, "float64")
    known_numbers, _, known = described["train"]
    trees = {number: cKDTree(known[known_numbers == number]) for number in set(known_numbers.tolist())}
    distances = {}
    for split in ("test_id", "test_ood"):
        numbers, _, features = described[split]
        distances[split] = np.array(
            [trees[number].query(each)[0] for number, each in zip(numbers, features, strict=True)]
        )
    limit = np.quantile(distances["test_id"], 0.95)
    atoms, remote = counted(support, "atoms"), counted(support, "remote_atoms")
    for split, subset in (("test_id", ""), ("test_ood", "far"), ("test_ood", "near")):
        chosen = described[split][1] == subset
        assert atoms[split, subset] == chosen.sum()  # nothing is left out of samples of this size
        # An atom at the limit may fall on either side, since one computation is in single precision.
        assert abs(remote[split, subset] - (distances[split][chosen] > limit).sum()) <= 1


def test_rows_in_parts_give_the_same(folder, support):
    assert measured(folder, lambda name: True) == support


def test_frames_that_are_not_of_their_molecule_are_left_out(folder):
    meter = SupportMeter(TASK, TASKS[TASK])
    (path,) = (folder / TASK).glob("train-*.parquet")
    rows = pq.read_table(path).slice(0, 3).to_pylist()
    rows[0]["positions"][4] = math.nan
    rows[1]["atomic_numbers"][0] = 17
    batch = pa.RecordBatch.from_pylist(rows, schema=pq.read_schema(path))
    for part in frames_by_molecule(batch, np.arange(3), path.name):
        meter.add(part, "train")
    assert meter.support().of_split("train").frames == 1
