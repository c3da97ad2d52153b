import re
import tomllib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dataset_builders.core.errors import UsageError
from dataset_builders.core.units import BOHR, HARTREE, KCAL_PER_MOL
from dataset_builders.importing.import_map import read_import_map
from dataset_builders.tasks.task_document import read_task_file

ETHERS = Path(__file__).parents[1] / "ethers.toml"

TEXT = """\
task = "task2"
source = "somebody"
licence = "CC-BY-4.0"
primary = ["*/primary/*.xyz", "first-*"]
secondary = ["*/secondary/*.xyz"]

[labels]
level = "pbe-d3bj"
"""


def read(tmp_path, text):
    path = tmp_path / "map.toml"
    path.write_text(text)
    return read_import_map(path)


def test_a_map(tmp_path):
    how = read(tmp_path, TEXT)
    assert (how.task.name, how.config, how.level.method) == ("task2", "task2-pbe", "PBE-D3(BJ)/def2-TZVP")
    assert (how.energy_factor, how.length_factor, how.force_factor, how.stride) == (1.0, 1.0, 1.0, 1)
    assert how.trajectory_of("data/primary/a.xyz") == "primary"
    assert how.trajectory_of("data/first-a.xyz") == "primary"
    assert how.trajectory_of("data/secondary/a.xyz") == "secondary"
    for path in ("data/a.xyz", "data/secondary/first-a.xyz"):
        with pytest.raises(UsageError, match="expected one of the two to match each file"):
            how.trajectory_of(path)


@pytest.mark.parametrize(
    ("units", "factors"),
    [
        ('energy_unit = "hartree"\nlength_unit = "bohr"', (HARTREE, BOHR, HARTREE / BOHR)),
        ('energy_unit = "kcal/mol"', (KCAL_PER_MOL, 1.0, KCAL_PER_MOL)),
        ('energy_unit = "kJ/mol"\nlength_unit = "nm"', (KCAL_PER_MOL / 4.184, 10.0, KCAL_PER_MOL / 41.84)),
        ('energy_unit = "hartree"\nforce_unit = "eV/angstrom"', (HARTREE, 1.0, 1.0)),
    ],
)
def test_units(tmp_path, units, factors):
    how = read(tmp_path, TEXT + units)
    assert (how.energy_factor, how.length_factor, how.force_factor) == pytest.approx(factors, rel=1e-15)


def test_a_gradient(tmp_path):
    how = read(tmp_path, TEXT + 'energy_unit = "hartree"\ngradients_key = "g"')
    assert (how.gradients_key, how.forces_key, how.force_factor) == ("g", None, -HARTREE)
    how = read(tmp_path, TEXT + 'energy_unit = "hartree"\ngradients_key = "g"\ngradient_unit = "kcal/mol/nm"')
    assert how.force_factor == pytest.approx(-KCAL_PER_MOL / 10.0, rel=1e-15)


def test_a_level_that_has_no_name_here_and_a_task_of_ones_own(tmp_path):
    text = TEXT.replace('level = "pbe-d3bj"', 'method = "PBE0/def2-SVP"')
    inline = text.replace('task = "task2"\n', "") + "\n[task]\n" + ETHERS.read_text().replace("[[", "[[task.")
    inline = inline.replace("[fragments]", "[task.fragments]")
    (tmp_path / "ethers.toml").write_text(ETHERS.read_text())
    by_path = text.replace('task = "task2"', 'task_file = "ethers.toml"')
    for each in (inline, by_path):
        how = read(tmp_path, each)
        assert (how.config, how.level.name, how.level.method) == ("ethers", "other", "PBE0/def2-SVP")
        assert how.task == read_task_file(ETHERS)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('"task2"', '"task9"', "task = 'task9'; expected one of task1 task2 task3 task4, a table [task], or task_file"),
        ('task = "task2"', "", "expected either task or task_file"),
        ('"pbe-d3bj"', '"b3lyp"', "unknown level of theory 'b3lyp'"),
        ('level = "pbe-d3bj"', "", "expected either labels.level"),
        ("level =", 'method = "X"\nlevel =', "expected either labels.level"),
        ('level = "pbe-d3bj"', 'method = "pbe-d3(bj)/def2-tzvp"', "is a named level; write level = 'pbe-d3bj'"),
        *(
            ('level = "pbe-d3bj"', f'method = "{method}"', f"is a named level; write level = '{name}'")
            for method, name in (
                (" GFN2-xTB", "gfn2-xtb"),
                ("gfn2", "gfn2-xtb"),
                ("GFN2 xTB ", "gfn2-xtb"),
                ("PBE-D3BJ / def2-TZVP", "pbe-d3bj"),
                ("wb97x", "wb97x"),
                ("ωB97X/6-31G*", "wb97x"),
            )
        ),
        ('level = "pbe-d3bj"', 'method = "  "', "labels.method is blank"),
        ('"somebody"', r'"some\nbody"', "source = 'some body'"),
        ('"CC-BY-4.0"', r'"MIT\u001b[31m"', "licence = 'MIT"),
        ('"CC-BY-4.0"', r'"MIT\u2028x"', "licence = 'MIT"),
        ("level =", 'energy_unit = "erg"\nlevel =', "labels.energy_unit = 'erg'"),
        ("level =", 'force_unit = "eV"\nlevel =', "labels.force_unit = 'eV'; expected one of eV, meV"),
        ("source =", 'colour = "red"\nsource =', "colour: unknown key"),
        ('source = "somebody"', "", "source: not given"),
        ('licence = "CC-BY-4.0"', "", "licence: not given"),
        ("source =", "stride = 0\nsource =", "stride = '0'"),
        ("source =", "source", "is not TOML"),
        ("level =", 'forces_key = "f"\ngradients_key = "g"\nlevel =', "labels.gradients_key with labels.forces_key"),
        (
            "level =",
            'force_unit = "eV/nm"\ngradients_key = "g"\nlevel =',
            "labels.gradients_key with labels.force_unit",
        ),
        ("level =", 'gradient_unit = "eV/nm"\nlevel =', "labels.gradient_unit without labels.gradients_key"),
        (
            "level =",
            'gradients_key = "g"\ngradient_unit = "eV"\nlevel =',
            "labels.gradient_unit = 'eV'; expected one of",
        ),
        ("level =", 'spin = "doublet"\nlevel =', "labels.spin = 'doublet'"),
        ("level =", 'ignored_keys = "spin"\nlevel =', "labels.ignored_keys = 'spin'"),
    ],
)
def test_what_is_no_map_is_refused(tmp_path, old, new, message):
    with pytest.raises(UsageError, match=re.escape(message)):
        read(tmp_path, TEXT.replace(old, new, 1))


@pytest.mark.parametrize(
    "method", ["wB97X/6-31+G(d)", "wB97X/6-31G(d,p)", "wB97X/6-31G**", "GFN1-xTB", "PBE/def2-TZVP"]
)
def test_a_method_that_is_like_a_named_level_but_is_not(tmp_path, method):
    how = read(tmp_path, TEXT.replace('level = "pbe-d3bj"', f'method = " {method}"'))
    assert (how.level.name, how.level.method) == ("other", method)


@pytest.mark.parametrize("value", ["[" * 50_000, "9" * 5000, "{a = " * 5000], ids=range(3))
def test_values_that_no_parser_can_take(tmp_path, value):
    with pytest.raises(UsageError, match=r"map\.toml is not TOML"):
        read(tmp_path, f"stride = {value}\n{TEXT}")


def test_an_integer_that_python_does_not_print(tmp_path):
    """Hexadecimal, it has no limit of digits."""
    with pytest.raises(UsageError, match="source = 'an integer of 20,000 bits'"):
        read(tmp_path, re.sub("source = .*", "source = 0x" + "f" * 5000, TEXT))


def test_a_map_that_is_not_there(tmp_path):
    with pytest.raises(UsageError, match="cannot read the map"):
        read_import_map(tmp_path / "map.toml")


@given(st.text(max_size=40), st.integers(0, len(TEXT)))
def test_any_text_is_a_map_or_one_clear_error(tmp_path_factory, text, place):
    changed = TEXT[:place] + text + TEXT[place:]
    path = tmp_path_factory.getbasetemp() / "any.toml"
    path.write_text(changed, encoding="utf-8", newline="")
    try:
        how = read_import_map(path)
    except UsageError as error:
        assert str(error)  # noqa: PT017
        return
    assert tomllib.loads(path.read_bytes().decode())["task"] == how.task.name
