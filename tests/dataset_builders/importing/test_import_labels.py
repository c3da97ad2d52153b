"""Imports whose units or level of theory are not those that the map declares."""

from pathlib import Path

import pytest
from ase.io import read, write

from dataset_builders.core.units import BOHR, HARTREE, KCAL_PER_MOL, MILLI
from tests.dataset_builders.importing.test_imported_edition import MAP, files, imported, take_to_pbe  # noqa: F401 (a fixture)


def change(names, energy=1.0, force=1.0):
    for name in names:
        images = read(name, ":")
        for atoms in images:
            atoms.calc.results["energy"] *= energy
            atoms.calc.results["forces"] = atoms.calc.results["forces"] * force
        write(name, images)


@pytest.mark.parametrize(
    ("energy", "force", "told"),
    [
        (1 / HARTREE, 1 / HARTREE, "the energies look like hartree read as eV"),
        (1 / HARTREE, BOHR / HARTREE, "the energies look like hartree read as eV"),
        (1.0, BOHR / HARTREE, "the forces look like hartree/bohr read as eV/angstrom: multiply them by 51.4221"),
        (1 / HARTREE, 1.0, "multiply them by 27.2114, or declare energy_unit = 'hartree'"),
        (1 / KCAL_PER_MOL, 1 / KCAL_PER_MOL, "the forces look like kcal/mol/angstrom read as eV/angstrom"),
        (1 / MILLI, 1.0, "the energies look like meV read as eV"),
        (1.0, -1.0, "the forces have the opposite sign, as gradients have"),
    ],
)
@pytest.mark.parametrize("level", ['method = "PBE0/def2-SVP"', 'level = "gfn2-xtb"'])
def test_units_that_were_not_said(files, capsys, energy, force, told, level):  # noqa: F811
    Path("map.toml").write_text(MAP.replace('method = "PBE0/def2-SVP"', level))
    change(files, energy, force)
    assert imported(files) == 3
    assert told in capsys.readouterr().err


def test_a_level_that_is_not_that_of_the_labels(files, capsys):  # noqa: F811
    Path("map.toml").write_text(MAP.replace('method = "PBE0/def2-SVP"', 'level = "pbe-d3bj"'))
    assert imported(files) == 3
    assert "the energies look like GFN2-xTB, not PBE-D3(BJ)/def2-TZVP: declare that level" in capsys.readouterr().err
    take_to_pbe(files)
    assert imported(files) == 0
