"""Internal coordinates and atom names of molecules."""

import pytest

from dataset_builders.core.errors import DataError
from harness.baselines.force_field.topology import topology_of


def test_ethanol_by_hand() -> None:
    topology = topology_of("CCO")  # atoms: C C O, then H3 of the first, H2 of the second, H of the oxygen
    assert topology.labels == ("C4sp3", "C4sp3", "O2sp3", *["H"] * 6)
    assert topology.environments[1:3] == ("C4sp3(C4sp3,H,H,O2sp3)", "O2sp3(C4sp3,H)")
    # Six angles at each carbon and one at the oxygen; 3 x 3 torsions around C-C and 3 x 1 around C-O.
    counts = [len(each) for each in (topology.bonds, topology.angles, topology.torsions, topology.centres)]
    assert counts == [8, 13, 12, 0]
    assert topology.n_coordinates == 33


@pytest.mark.parametrize("smiles", ["CCO", "CC(N)=O", "CCC#N", "C1CC1", "C1CCC1"])
def test_parts_of_coordinates_are_those_of_their_atoms(smiles: str) -> None:
    topology = topology_of(smiles)
    n_bonds = len(topology.bonds)
    for (a, b, c), (first, last) in zip(topology.angles, topology.bonds_of_angle, strict=True):
        assert {*topology.bonds[first]} == {a, b}
        assert {*topology.bonds[last]} == {b, c}
    for (a, b, c, d), parts in zip(topology.torsions, topology.parts_of_torsion, strict=True):
        assert len({a, b, c, d}) == 4
        first, middle, last = (set(topology.bonds[number].tolist()) for number in parts[:3])
        assert (first, middle, last) == ({a, b}, {b, c}, {c, d})
        left, right = (topology.angles[number - n_bonds].tolist() for number in parts[3:])
        assert (left[1], {left[0], left[2]}) == (b, {a, c})
        assert (right[1], {right[0], right[2]}) == (c, {b, d})


def test_no_torsion_about_a_linear_group() -> None:
    topology = topology_of("CCC#N")
    linear = {number for number, label in enumerate(topology.labels) if label.endswith("sp")}
    assert len(linear) == 2
    assert not linear & set(topology.torsions[:, 1:3].ravel().tolist())


def test_trigonal_centres_of_an_amide() -> None:
    topology = topology_of("CC(N)=O")
    assert [topology.labels[centre] for centre in topology.centres[:, 0]] == ["C3sp2", "N3sp2"]
    for centre, *neighbours in topology.centres:
        bonded = {int(atom) for bond in topology.bonds if centre in bond for atom in bond} - {int(centre)}
        assert bonded == set(neighbours)


def test_unreadable_smiles() -> None:
    with pytest.raises(DataError, match=r"cannot read the SMILES 'C\('"):
        topology_of("C(")
