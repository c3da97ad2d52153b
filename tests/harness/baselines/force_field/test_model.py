"""The force field: derivatives, types and what an unseen type falls back on."""

from collections.abc import Mapping

import numpy as np
import pytest

from dataset_builders.core.arrays import FloatArray
from dataset_builders.core.errors import ModelError
from harness.baselines.force_field.energy_terms import BASES, atom_types_of, levels_of, origin_names, terms_of
from harness.baselines.force_field.model import ForceField, design_of, functions_by_type
from tests.harness.baselines.force_field.geometries import MOLECULES, shaken


def random_field(molecules: tuple[str, ...] = MOLECULES) -> tuple[dict[str, FloatArray], dict[str, FloatArray]]:
    """Coefficients and origins for all types of some molecules."""
    random = np.random.default_rng(0)
    coefficients: dict[str, FloatArray] = {}
    origins: dict[str, FloatArray] = {}
    for smiles in molecules:
        for name, count in functions_by_type(smiles).items():
            coefficients.setdefault(name, 0.1 * random.normal(size=count))
        for name in origin_names(smiles):
            origins.setdefault(name, np.array([1.3, 0.1] if name.count("-") == 1 else [-0.4, 0.2]))
    return coefficients, origins


@pytest.mark.parametrize("smiles", MOLECULES)
def test_forces_are_minus_the_derivative_of_the_energy(smiles: str) -> None:
    field, positions, step = ForceField(*random_field()), shaken(smiles, 1, 2), 1e-5
    _, forces = field.energies_and_forces(smiles, positions)
    moves = step * np.eye(positions.size).reshape(-1, *positions.shape[1:])
    ahead, _ = field.energies_and_forces(smiles, positions + moves)
    behind, _ = field.energies_and_forces(smiles, positions - moves)
    np.testing.assert_allclose(forces.ravel(), -(ahead - behind) / (2.0 * step), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("smiles", MOLECULES)
def test_design_times_coefficients_is_the_field(smiles: str) -> None:
    coefficients, origins = random_field()
    positions = shaken(smiles, 3, 2)
    energies, forces = ForceField(coefficients, origins).energies_and_forces(smiles, positions)
    design = design_of(smiles, positions, origins)
    columns = zip(design.types, design.function, strict=True)
    solution = np.array([sum(coefficients[name][function] for name in types) for types, function in columns])
    atoms = sum(count * coefficients[name][0] for name, count in atom_types_of(smiles).items())
    np.testing.assert_allclose(design.energies @ solution + atoms, energies, atol=1e-9)
    np.testing.assert_allclose((design.forces @ solution).reshape(forces.shape), forces, atol=1e-9)


def test_a_stretch_by_hand() -> None:
    # HCl, 0.2 Å beyond the mean of 1.3 Å, two spreads of 0.1 Å: 3 x 2² eV, and the slope 2 x 3 x 2 eV / 0.1 Å.
    coefficients = {"stretch/Cl1sp3-H": np.array([0.0, 3.0, 0.0, 0.0]), "atom/H": np.array([0.5])}
    field = ForceField(coefficients, {"origin/Cl1sp3-H": np.array([1.3, 0.1])})
    energies, forces = field.energies_and_forces("Cl", np.array([[[0.0, 0.0, 0.0], [1.5, 0.0, 0.0]]]))
    assert energies[0] == pytest.approx(12.5)
    np.testing.assert_allclose(forces[0], [[120.0, 0.0, 0.0], [-120.0, 0.0, 0.0]], atol=1e-9)


def test_a_torsion_by_hand() -> None:
    # Nine H-C-C-H of staggered ethane at 60, 180 and 300 degrees: cos 3 phi is -1 in each, cos phi is 1/2, -1, 1/2.
    tetrahedral = np.sqrt(8.0) / 3.0
    angles = np.radians([0.0, 120.0, 240.0])
    ends = np.stack([tetrahedral * np.cos(angles), tetrahedral * np.sin(angles), np.full(3, -1.0 / 3.0)], axis=1)
    positions = np.concatenate([[[0.0, 0.0, 0.0], [0.0, 0.0, 1.5]], ends, [0.0, 0.0, 1.5] - ends])[None]
    torsion = "torsion/*-C4sp3-C4sp3-*"
    for order, expected in ((1, 9 * 0.0), (2, 3 * (-0.5 + 1.0 - 0.5)), (3, -9.0)):
        coefficients, origins = random_field(("CC",))
        blank = {name: np.zeros_like(each) for name, each in coefficients.items()}
        blank[torsion] = np.eye(len(BASES["torsion"]))[order - 1]
        energies, forces = ForceField(blank, origins).energies_and_forces("CC", positions)
        assert energies[0] == pytest.approx(expected, abs=1e-9)
        np.testing.assert_allclose(forces, 0.0, atol=1e-9)


def test_rotation_and_reflection() -> None:
    field, positions = ForceField(*random_field()), shaken("CC(N)=O", 2, 3)
    energies, forces = field.energies_and_forces("CC(N)=O", positions)
    rotation, _ = np.linalg.qr(np.random.default_rng(1).normal(size=(3, 3)))
    for turn in (rotation, -rotation):
        turned = field.energies_and_forces("CC(N)=O", positions @ turn.T + [1.0, 2.0, 3.0])
        np.testing.assert_allclose(turned[0], energies, atol=1e-9)
        np.testing.assert_allclose(turned[1], forces @ turn.T, atol=1e-8)
    # No part without a pull on the whole, or a turn of it.
    np.testing.assert_allclose(forces.sum(axis=1), 0.0, atol=1e-9)
    np.testing.assert_allclose(np.cross(positions, forces).sum(axis=1), 0.0, atol=1e-8)


def types_of(smiles: str, kind: str) -> set[tuple[str, ...]]:
    return {types for terms in terms_of(smiles) if terms.kind == kind for types in terms.types}


def test_types_go_from_coarse_to_fine() -> None:
    assert (
        "stretch/C4sp3-O2sp3",
        "stretch/C4sp3(C4sp3,H,H,O2sp3)-O2sp3(C4sp3,H)",
    ) in types_of("CCO", "stretch")
    middle = "C4sp3(C4sp3,H,H,O2sp3)"
    assert (
        "torsion/*-C4sp3-C4sp3-*",
        "torsion/O2sp3-C4sp3-C4sp3-*",
        "torsion/O2sp3-C4sp3-C4sp3-*",
        "torsion/O2sp3-C4sp3-C4sp3-O2sp3",
        f"torsion/O2sp3-{middle}-{middle}-O2sp3",
    ) in types_of("OCCO", "torsion")


def test_an_end_is_named_alike_from_both_sides() -> None:
    # The same molecule, spelled from its other end: the atoms come in another order, the types do not.
    for kind in BASES:
        assert types_of("NCCO", kind) == types_of("OCCN", kind)


def test_levels_of_types() -> None:
    levels = levels_of("CCO")
    assert levels.keys() == functions_by_type("CCO").keys()
    named = {
        "atom/H": 0,
        "atom/O2sp3(C4sp3,H)": 1,
        "stretch/C4sp3-O2sp3": 0,
        "bend/C4sp3-C4sp3(C4sp3,H,H,O2sp3)-O2sp3": 1,
        "torsion/*-C4sp3-C4sp3-*": 0,
        "torsion/O2sp3-C4sp3-C4sp3-*": 1,
        "torsion/H-C4sp3-C4sp3-*": 1,
        "torsion/H-C4sp3-C4sp3-O2sp3": 2,
    }
    assert {name: levels[name] for name in named} == named


def without(coefficients: Mapping[str, FloatArray], kept: set[str]) -> dict[str, FloatArray]:
    return {name: each for name, each in coefficients.items() if name in kept}


def test_an_unseen_fine_type_falls_back_on_coarser_ones() -> None:
    # Of ethanol and chloropropane no term is O-C-C-Cl; each half of it is known.
    seen = {name for smiles in ("CCO", "CCCO", "CCCl", "CCCCl") for name in functions_by_type(smiles)}
    coefficients, origins = random_field(("CCO", "CCCO", "CCCl", "CCCCl", "OCCCl"))
    full = "torsion/Cl1sp3-C4sp3-C4sp3-O2sp3"
    halves = {"torsion/Cl1sp3-C4sp3-C4sp3-*", "torsion/O2sp3-C4sp3-C4sp3-*", "torsion/*-C4sp3-C4sp3-*"}
    assert full not in seen
    assert halves <= seen
    known = without(coefficients, seen)
    energies, forces = ForceField(known, origins).energies_and_forces("OCCCl", shaken("OCCCl", 2, 1))
    blank = {name: each if name in seen else np.zeros_like(each) for name, each in coefficients.items()}
    expected = ForceField(blank, origins).energies_and_forces("OCCCl", shaken("OCCCl", 2, 1))
    np.testing.assert_allclose(energies, expected[0], atol=1e-12)
    np.testing.assert_allclose(forces, expected[1], atol=1e-12)
    changed = known | {"torsion/Cl1sp3-C4sp3-C4sp3-*": known["torsion/Cl1sp3-C4sp3-C4sp3-*"] + 1.0}
    others, _ = ForceField(changed, origins).energies_and_forces("OCCCl", shaken("OCCCl", 2, 1))
    assert np.abs(others - energies).min() > 1e-3


def test_a_term_without_any_known_type_is_refused() -> None:
    coefficients, origins = random_field()
    with pytest.raises(ModelError, match="CCF has the bond or angle C4sp3-F1sp3, which no training molecule has"):
        ForceField(coefficients, origins).energies_and_forces("CCF", shaken("CCF", 1, 1))
    lacking = {name: each for name, each in coefficients.items() if name != "bend-bend/C4sp3:H(C4sp3|H)"}
    with pytest.raises(ModelError, match=r"CCO has a term of type bend-bend/C4sp3:H\(C4sp3\|H\), which no training"):
        ForceField(lacking, origins).energies_and_forces("CCO", shaken("CCO", 1, 1))


def test_every_type_of_an_unseen_molecule_backs_off_to_one_of_training() -> None:
    from dataset_builders.tasks.regions import TASKS

    for task in TASKS.values():
        known = {name for each in task.train_words() for name in functions_by_type(each.smiles)}
        known |= {name for each in task.train_words() for name in origin_names(each.smiles)}
        for each in task.ood_words():
            assert set(origin_names(each.smiles)) <= known
            coarsest = {types[0] for terms in terms_of(each.smiles) for types in terms.types}
            assert coarsest <= known
