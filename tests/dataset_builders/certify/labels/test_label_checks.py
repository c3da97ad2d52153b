"""Wrong labels, made of those of the embedded edition; each has to be noticed and its cause named."""

import functools
import re

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from dataset_builders.certify.labels.evidence import LabelEvidence
from dataset_builders.certify.labels.label_table import examine_labels, label_notes, label_rows
from dataset_builders.certify.row_checks import frames_by_molecule
from dataset_builders.chemistry.bond_energies import atoms_energy
from dataset_builders.chemistry.levels import LEVELS_BY_SUFFIX, other_level
from dataset_builders.core.units import BOHR, HARTREE, KCAL_PER_MOL, KJ_PER_MOL, MILLI
from dataset_builders.folder.mini import MINI_DIRECTORY
from dataset_builders.folder.schema import SCHEMA

CONFIGS = sorted(path.name for path in MINI_DIRECTORY.iterdir() if path.is_dir())
WRONG_MOLECULE = "OH-3-H"


@functools.cache
def table_of(config):
    parts = [pq.read_table(path, columns=SCHEMA.names) for path in sorted((MINI_DIRECTORY / config).glob("*.parquet"))]
    return pa.concat_tables(parts).combine_chunks()


def examine(config, spoil=None, level=None, temperature=300.0):
    """Report and problems of a configuration whose energies and forces, a list of arrays, were spoiled in place."""
    table = table_of(config)
    if spoil is not None:
        energies = table["energy"].to_numpy().copy()
        forces = [np.array(each).reshape(-1, 3) for each in table["forces"].to_pylist()]
        spoil(energies, forces, np.array(table["molecule_id"].to_pylist()))
        for name, values in (("energy", energies), ("forces", [each.ravel() for each in forces])):
            column = pa.array(values, SCHEMA.field(name).type)
            table = table.set_column(table.schema.get_field_index(name), SCHEMA.field(name), column)
    evidence = LabelEvidence()
    (batch,) = table.combine_chunks().to_batches()
    for frames in frames_by_molecule(batch, np.arange(len(batch)), "f"):
        evidence.add(frames)
    level = level or LEVELS_BY_SUFFIX[config.partition("-")[2]]
    return examine_labels(config, level, evidence, temperature)


def problems_of(config, spoil, **how):
    return [str(each) for each in examine(config, spoil, **how)[1]]


def times(energy=1.0, force=1.0, part=1.0, molecule=None):
    """Multiplies the labels of all rows, of a part of them, or of one molecule."""

    def spoil(energies, forces, names):
        random = np.random.default_rng(3)
        for index, name in enumerate(names):
            if random.random() < part and molecule in (None, name):
                energies[index] *= energy
                forces[index] *= force

    return spoil


def each_molecule(change):
    def spoil(energies, forces, names):
        for name in np.unique(names):
            change(energies, forces, np.flatnonzero(names == name))

    return spoil


@each_molecule
def shuffled_energies(energies, forces, rows):
    energies[rows] = energies[np.random.default_rng(1).permutation(rows)]


@each_molecule
def rolled_forces(energies, forces, rows):
    taken = [forces[row] for row in np.roll(rows, 1)]
    for row, each in zip(rows, taken, strict=True):
        forces[row] = each


@each_molecule
def swapped_forces(energies, forces, rows):
    for first, second in zip(rows[::2], rows[1::2], strict=False):
        forces[first], forces[second] = forces[second], forces[first]


@each_molecule
def constant_forces(energies, forces, rows):
    for row in rows:
        forces[row] = forces[rows[0]]


def permuted_atoms(energies, forces, names):
    for index, each in enumerate(forces):
        forces[index] = np.roll(each, 1, axis=0)


def shuffled_energies_of_one(energies, forces, names):
    rows = np.flatnonzero(names == WRONG_MOLECULE)
    energies[rows] = energies[np.random.default_rng(1).permutation(rows)]


@pytest.mark.parametrize("config", CONFIGS)
def test_right_labels_pass_with_room_to_spare(config):
    report, problems = examine(config)
    assert problems == []
    assert abs(report.level.ratio - 1.0) < 0.02
    assert 0.84 < report.labels.field.force_slope < 1.05
    assert report.labels.field.force_correlation > 0.92
    if config.endswith(("-pbe", "-wb97m")):
        assert report.labels.work_untested == "no burst has two frames"
        assert label_rows([report])[0][1:4] == ("0", "-", "-")
        assert "not tested: no burst has two frames; `certify --recompute N`" in label_notes([report])[0]
        return
    assert abs(report.labels.work.slope - 1.0) < 0.03
    assert report.labels.work.scatter < 0.8
    assert label_notes([report]) == []


GLOBAL_FAULTS = {
    "sign": (times(force=-1.0), "the forces have the opposite sign, as gradients have"),
    "half as much again": (times(force=1.5), r"the forces look 1\.5\d? times as large"),
    "half": (times(force=0.5), r"the forces look 0\.50?\d* times as large"),
    "twice": (times(force=2.0), r"the forces look 2(\.0\d)? times as large"),
    "zero": (times(force=0.0), "forces that are zero of each of"),
    "constant": (constant_forces, "the same forces in all of (its|the) frames"),
    "rolled": (rolled_forces, "the forces do not match these geometries"),
    "swapped": (swapped_forces, "the forces do not match these geometries"),
    "atoms": (permuted_atoms, "the forces do not match these geometries; .* atoms in another order"),
    "shuffled": (shuffled_energies, "the energies do not match these geometries"),
    "hartree/angstrom": (times(force=1 / HARTREE), "the forces look like hartree/angstrom read as eV/angstrom"),
    "hartree/bohr": (times(force=BOHR / HARTREE), "the forces look like hartree/bohr read as eV/angstrom"),
    "eV/bohr": (times(force=BOHR), "the forces look like eV/bohr .* or declare force_unit = 'eV/bohr'"),
    "kcal/mol/angstrom": (times(force=1 / KCAL_PER_MOL), "the forces look like kcal/mol/angstrom read as"),
    "meV/angstrom": (times(force=1 / MILLI), "the forces look like meV/angstrom read as eV/angstrom"),
    "converted twice": (
        times(force=HARTREE / BOHR),
        "eV/angstrom converted as if from hartree/bohr: divide them by 51.4",
    ),
    "hartree": (
        times(energy=1 / HARTREE),
        "the energies look like hartree .*27.2114, or declare energy_unit = 'hartree'",
    ),
    "kcal/mol": (times(energy=1 / KCAL_PER_MOL), "the energies look like kcal/mol read as eV"),
    "kJ/mol": (times(energy=1 / KJ_PER_MOL), "the energies look like kJ/mol read as eV"),
    "meV": (times(energy=1 / MILLI), "the energies look like meV read as eV"),
    "hartree twice": (times(energy=HARTREE), "the energies look like eV converted as if from hartree"),
    "atomic units": (times(1 / HARTREE, BOHR / HARTREE), "the energies look like hartree read as eV"),
}


@pytest.mark.parametrize("name", GLOBAL_FAULTS)
@pytest.mark.parametrize("config", ["task4", "task3-wb97x"])
def test_labels_that_are_all_wrong(config, name):
    spoil, cause = GLOBAL_FAULTS[name]
    problems = problems_of(config, spoil)
    assert_any(problems, cause)
    if config == "task4" and name != "swapped":
        assert len(problems) <= 3, problems


def assert_any(problems, pattern):
    assert any(re.search(pattern, each) for each in problems), problems[:3]


@pytest.mark.parametrize("name", sorted(GLOBAL_FAULTS.keys() - {"constant", "rolled", "swapped", "shuffled"}))
def test_without_two_frames_of_a_burst_signs_sizes_and_units_still_show(name):
    spoil, cause = GLOBAL_FAULTS[name]
    if name in ("half as much again", "half", "twice"):
        cause = "the forces look "
    assert_any(problems_of("task2-pbe", spoil), cause)


def test_atomic_units_of_energies_and_forces_are_both_told():
    problems = problems_of("task4", times(1 / HARTREE, BOHR / HARTREE))
    assert_any(problems, "the energies look like hartree")
    assert_any(problems, "the forces look like hartree/bohr")


@pytest.mark.parametrize("factor", [-1.0, 0.0, 0.5, 1.5, 2.0])
def test_a_tenth_of_the_rows(factor):
    problems = problems_of("task4", times(force=factor, part=0.1))
    assert_any(problems, "likely the energies or the forces of some of the frames are wrong")
    assert_any(problems, r"^f row \d+ \(")


def test_a_few_rows_with_energies_off_by_a_fifth_of_an_electronvolt():
    def spoil(energies, forces, names):
        energies[[7, 100, 300]] += 0.2

    about_rows = [each for each in problems_of("task4", spoil) if each.startswith("f row")]
    assert about_rows
    assert all(re.search(rf"row {row}\b", "\n".join(about_rows)) for row in (7, 100, 300))


@pytest.mark.parametrize("factor", [-1.0, 0.0, 0.5, 1.5, 2.0])
def test_one_molecule(factor):
    problems = problems_of("task1", times(force=factor, molecule=WRONG_MOLECULE))
    assert_any(problems, rf"task1 \({WRONG_MOLECULE}\): ")
    assert all(WRONG_MOLECULE in each or each.startswith("task1: ") for each in problems)


def test_the_shuffled_energies_of_one_molecule():
    problems = problems_of("task1", shuffled_energies_of_one)
    assert_any(problems, rf"task1 \({WRONG_MOLECULE}\): .*the energies do not match these geometries")


@pytest.mark.parametrize(
    ("config", "declared", "cause"),
    [
        ("task4", "pbe", "look like GFN2-xTB, not PBE-D3"),
        ("task4", "wb97m", "look like GFN2-xTB, not wB97M"),
        ("task2-pbe", "", "look like PBE-D3.BJ./def2-TZVP, not GFN2-xTB"),
        ("task2-pbe", "wb97x", "look like PBE-D3.BJ./def2-TZVP, not wB97X"),
        ("task2-wb97x", "pbe", "look like wB97X/6-31G.d., not PBE-D3"),
        ("task3-wb97x", "wb97m", "look like wB97X/6-31G.d., not wB97M-D3"),
    ],
)
def test_a_level_that_is_not_the_declared_one(config, declared, cause):
    _, problems = examine(config, level=LEVELS_BY_SUFFIX[declared])
    assert len(problems) == 1
    assert_any([str(each) for each in problems], cause)


def test_another_level_in_another_unit():
    problems = problems_of("task4", times(energy=1 / HARTREE), level=LEVELS_BY_SUFFIX["pbe"])
    assert_any(problems, "the energies look like hartree .*, of GFN2-xTB and not PBE-D3")


def test_energies_of_atomisation():
    table = table_of("task4")
    atoms = np.array([atoms_energy("gfn2-xtb", smiles) for smiles in table["smiles"].to_pylist()])

    def spoil(energies, forces, names):
        energies -= atoms

    assert_any(problems_of("task4", spoil), "look like atomisation energies, not total energies")


def test_a_level_without_a_name_is_told_as_untested_and_its_labels_are_tested():
    level = other_level("B3LYP/6-31G*", "elsewhere")
    report, problems = examine("task2-wb97x", level=level)
    assert problems == []
    assert label_rows([report])[0][-1] == "-"
    (note,) = label_notes([report])
    assert note == (
        "task2-wb97x, level and unit of the energies: not tested: energies of isolated atoms at B3LYP/6-31G* are not "
        "available; the energies are those of wB97X/6-31G(d)"
    )
    assert_any(problems_of("task2-wb97x", times(1 / HARTREE), level=level), "the energies look like hartree")
    assert_any(problems_of("task2-wb97x", times(force=-1.0), level=level), "the forces have the opposite sign")


def test_cold_frames_are_not_compared_with_other_minima():
    def spoil(energies, forces, names):
        for index, each in enumerate(forces):
            forces[index] = 0.01 * each

    report, _ = examine("task2-pbe", spoil, temperature=10.0)
    assert "10 K are too close to minima" in label_notes([report])[1]


def test_the_order_of_rows_does_not_matter_to_pairs_of_a_burst():
    table = table_of("task4")
    chosen = np.flatnonzero(np.array(table["molecule_id"].to_pylist()) == WRONG_MOLECULE)
    fits = []
    for order in (chosen, chosen[::-1]):
        evidence = LabelEvidence()
        (batch,) = table.take(order).combine_chunks().to_batches()
        for first in range(0, len(batch), 3):  # batches end in the middle of bursts
            part = batch.slice(first, 3)
            for frames in frames_by_molecule(part, np.arange(len(part)), "f"):
                evidence.add(frames)
        fits.append(examine_labels("task4", LEVELS_BY_SUFFIX[""], evidence, 300.0)[0].labels.work)
    assert fits[0].n_pairs == fits[1].n_pairs == 32
    assert fits[0].slope == pytest.approx(fits[1].slope, abs=1e-9)
