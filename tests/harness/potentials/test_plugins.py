"""A package that adds a family, installed as its users would install it."""

import json
import subprocess
import sys
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

from dataset_builders.core.errors import SetupError
from harness.models import registry
from harness.models.families import own_families
from harness.models.registry import families

PACKAGE = Path(__file__).parent / "plugin_package"


@pytest.fixture
def python(tmp_path):
    """Runs this interpreter with the example package installed beside everything else."""
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation", "--target"]
    folder = tmp_path / "installed"
    subprocess.run([*command, str(folder), str(PACKAGE)], check=True, capture_output=True, timeout=200)

    def run(*arguments):
        return subprocess.run(
            [sys.executable, *arguments],
            cwd=tmp_path,
            env={"PYTHONPATH": str(folder), "PATH": "", "OMP_NUM_THREADS": "1"},
            capture_output=True,
            text=True,
            timeout=200,
            check=False,
        )

    return run


def test_an_installed_package_adds_its_family(python, tmp_path, tiny_dataset):
    (tmp_path / "soft.springs.json").write_text(json.dumps({"constant": 0.5}))
    models = ("--model", "springs", "--model", "soft.springs.json")
    done = python("-m", "harness", *models, "--dataset", str(tiny_dataset), "--quiet", "--json")
    assert done.returncode == 0, done.stderr
    hard, soft = (json.loads(line) for line in done.stdout.splitlines())
    assert (hard["model"]["family"], hard["model"]["files"]) == ("springs", {})
    assert list(soft["model"]["files"]) == ["soft.springs.json"]
    assert hard["environment"]["packages"]["mlip-ood-springs"] == "0.1.0"
    assert hard["environment"]["code_hash"] == soft["environment"]["code_hash"]
    assert "springs" in python("-m", "harness", "--help").stdout


@pytest.fixture
def entry(monkeypatch):
    """Puts one entry point in the place of those of installed packages."""

    def put(value):
        found = EntryPoint(name="extra", value=value, group=registry.PLUGINS)
        monkeypatch.setattr(registry, "entry_points", lambda group: [found])
        registry._added_families.cache_clear()

    yield put
    registry._added_families.cache_clear()


def test_without_such_packages_there_are_the_own_families():
    assert families() == own_families()


def test_a_package_that_cannot_be_loaded_is_named(entry):
    entry("absent_package:FAMILY")
    with pytest.raises(SetupError, match=r"'extra' of absent_package:FAMILY cannot be loaded \(ModuleNotFoundError"):
        families()


def test_something_else_than_a_family_is_refused(entry):
    entry("json:dumps")
    with pytest.raises(SetupError, match="'extra' of json:dumps is a function; expected a harness"):
        families()


def test_a_name_that_is_taken_is_refused(entry):
    entry("harness.models.registry:_TAKEN")
    registry._TAKEN = own_families()[0]
    try:
        with pytest.raises(
            SetupError, match="adds the family additive, but another family has the same name or methods"
        ):
            families()
    finally:
        del registry._TAKEN


PACKAGES = {
    "that_ends": "raise SystemExit(3)",
    "that_talks": """
import os, torch
print("a package that talks")
os.write(1, b"without Python")
torch.set_default_dtype(torch.float64)
from harness.core.family import Family
FAMILY = Family("talking", "that_talks", package="numpy", methods=("talking",))
""",
}


@pytest.fixture(params=list(PACKAGES))
def package(request, tmp_path, monkeypatch):
    (tmp_path / f"{request.param}.py").write_text(PACKAGES[request.param])
    monkeypatch.syspath_prepend(tmp_path)
    yield request.param
    sys.modules.pop(request.param, None)


def test_what_a_package_does_when_it_is_imported_harms_nobody(package, entry, capfd):
    import torch

    entry(f"{package}:FAMILY")
    if package == "that_ends":
        with pytest.raises(SetupError, match=r"that_ends:FAMILY cannot be loaded \(SystemExit: 3\)"):
            families()
    else:
        assert families()[-1].name == "talking"
        shown = capfd.readouterr()
        assert shown.out == ""
        assert "a package that talks" in shown.err
    assert torch.get_default_dtype() == torch.float32
