"""Values and derivatives of internal coordinates."""

import numpy as np
import pytest

from dataset_builders.core.errors import ShapeError
from harness.baselines.force_field.coordinates import internal_coordinates
from harness.baselines.force_field.topology import topology_of
from tests.harness.baselines.force_field.geometries import MOLECULES, shaken


def test_values_are_those_of_rdkit() -> None:
    from rdkit import Chem
    from rdkit.Chem import rdMolTransforms

    from dataset_builders.chemistry.mmff94 import molecule

    topology, positions = topology_of("CC(N)=O"), shaken("CC(N)=O", 1, 3)
    conformer = Chem.Conformer(len(topology.labels))
    for atom, point in enumerate(positions[0]):
        conformer.SetAtomPosition(atom, point.tolist())
    mol = Chem.Mol(molecule("CC(N)=O"))
    mol.AddConformer(conformer)
    conformer = mol.GetConformer()
    expected = [rdMolTransforms.GetBondLength(conformer, *map(int, bond)) for bond in topology.bonds]
    expected += [np.cos(rdMolTransforms.GetAngleRad(conformer, *map(int, angle))) for angle in topology.angles]
    expected += [np.cos(rdMolTransforms.GetDihedralRad(conformer, *map(int, each))) for each in topology.torsions]
    values, _ = internal_coordinates(topology, positions)
    np.testing.assert_allclose(values[0, : len(expected)], expected, atol=1e-9)


def test_volume_by_hand() -> None:
    topology = topology_of("CC=O")
    ((centre, *neighbours),) = topology.centres
    positions = shaken("CC=O", 1, 3)
    # Three unit vectors along the axes span the volume 1, whatever the lengths of the bonds.
    positions[0, neighbours] = positions[0, centre] + np.diag([1.5, 1.2, 1.1])
    values, _ = internal_coordinates(topology, positions)
    assert values[0, -1] == pytest.approx(1.0)


@pytest.mark.parametrize("smiles", MOLECULES)
def test_derivatives_are_central_differences(smiles: str) -> None:
    topology, positions = topology_of(smiles), shaken(smiles, 1, 4)
    _, derivatives = internal_coordinates(topology, positions)
    step = 1e-5
    moves = step * np.eye(positions.size).reshape(-1, *positions.shape[1:])
    ahead, _ = internal_coordinates(topology, positions + moves)
    behind, _ = internal_coordinates(topology, positions - moves)
    expected = ((ahead - behind) / (2.0 * step)).T.reshape(derivatives.shape[1:])
    np.testing.assert_allclose(derivatives[0], expected, atol=1e-8)


def test_a_linear_angle_is_smooth() -> None:
    topology, positions = topology_of("CCC#N"), shaken("CCC#N", 1, 5)
    ends = [index for index, angle in enumerate(topology.angles) if topology.labels[angle[1]] == "C2sp"]
    ((first, centre, last),) = topology.angles[ends]
    positions[0, [first, centre, last]] = [[0.0, 0.0, 0.0], [1.5, 0.0, 0.0], [2.7, 0.0, 0.0]]
    values, derivatives = internal_coordinates(topology, positions)
    number = len(topology.bonds) + ends[0]
    assert values[0, number] == pytest.approx(-1.0)
    np.testing.assert_allclose(derivatives[0, number], 0.0, atol=1e-12)


def test_mirror_image() -> None:
    topology, positions = topology_of("CC(N)=O"), shaken("CC(N)=O", 2, 6)
    values, _ = internal_coordinates(topology, positions)
    mirrored, _ = internal_coordinates(topology, positions * [1.0, 1.0, -1.0])
    n_centres = len(topology.centres)
    np.testing.assert_allclose(mirrored[:, :-n_centres], values[:, :-n_centres], atol=1e-12)
    np.testing.assert_allclose(mirrored[:, -n_centres:], -values[:, -n_centres:], atol=1e-12)


def test_positions_of_another_molecule() -> None:
    with pytest.raises(ShapeError, match=r"positions has shape \(1, 9, 3\); expected \(any, 8, 3\)"):
        internal_coordinates(topology_of("CC"), shaken("CCO", 1, 1))
