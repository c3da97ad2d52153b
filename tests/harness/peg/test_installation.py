import ast
import sys

import pytest
from ruamel.yaml import YAML

from dataset_builders.core.errors import SetupError, UsageError
from dataset_builders.tasks.regions import TASKS
from harness.cli import main
from harness.peg import installation
from harness.peg.benchmarks import BENCHMARKS, CATEGORY
from harness.peg.columns import QUANTITIES, columns_of
from harness.peg.installation import STEPS, files_of_port, install, installed_package, remove


@pytest.fixture
def checkout(tmp_path):
    for folder in (*STEPS.values(), "models"):
        (tmp_path / "ml_peg" / folder).mkdir(parents=True)
    return tmp_path


def names_below(folder):
    return {path.relative_to(folder) for path in folder.rglob("*") if path.is_file()}


def test_install_writes_what_ml_peg_looks_for_and_remove_takes_it_out(checkout, capsys):
    package = checkout / "ml_peg"
    assert main(["ml-peg", "install", "--into", str(checkout)]) == 0
    assert f"21 files written to {package}" in capsys.readouterr().out
    assert names_below(package) == set(files_of_port())
    for name in BENCHMARKS:
        for step, folder in STEPS.items():
            program = package / folder / CATEGORY / name / f"{step}_{name}.py"
            ast.parse(program.read_text(encoding="utf-8"))
    outputs = package / "calcs" / CATEGORY / "fragments_GFN2" / "outputs"
    outputs.mkdir()
    (outputs / "result.json").touch()
    assert main(["ml-peg", "remove", "--into", str(package)]) == 0
    assert "21 files removed" in capsys.readouterr().out
    assert names_below(package) == {(outputs / "result.json").relative_to(package)}
    assert not (package / "app" / CATEGORY).exists()


def test_a_second_install_replaces_files_of_an_earlier_version(checkout):
    package = checkout / "ml_peg"
    first = install(package)
    first[0].write_text("title: old\n", encoding="utf-8")
    assert install(package) == first
    assert "old" not in first[0].read_text(encoding="utf-8")
    assert remove(package)
    assert remove(package) == ()


def test_metrics_files_have_all_columns(checkout):
    install(checkout / "ml_peg")
    for name, benchmark in BENCHMARKS.items():
        path = checkout / "ml_peg" / "analysis" / CATEGORY / name / "metrics.yml"
        metrics = YAML(typ="safe").load(path.read_text(encoding="utf-8"))["metrics"]
        assert tuple(metrics) == columns_of(list(TASKS))
        for column, settings in metrics.items():
            assert settings["level_of_theory"] == benchmark.level_in_peg
            assert settings["good"] != settings["bad"]
            assert settings["weight"] == (1.0 if column.endswith("score") else 0.0)
            assert settings["tooltip"]
            assert "{" not in settings["tooltip"]


def test_columns_of_tasks_of_other_names_are_left_out():
    assert columns_of(["task2", "task5"]) == (*(f"Task 2 {quantity}" for quantity in QUANTITIES), "Level distance")


def test_a_folder_that_is_not_ml_peg_is_refused(tmp_path, capsys):
    assert main(["ml-peg", "install", "--into", str(tmp_path)]) == 2
    assert "is not the package ml_peg: it has no folder calcs and no analysis" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())
    with pytest.raises(UsageError, match="is not the package ml_peg"):
        installation.checked_package(tmp_path / "absent")


def test_ml_peg_that_is_not_installed_is_named_with_the_remedy(monkeypatch):
    monkeypatch.setattr(installation, "find_spec", lambda name: None)
    with pytest.raises(SetupError, match=r"ml-peg is not installed .* 'ml-peg==0\.7\.\*'"):
        installed_package()


def test_another_version_is_refused(tmp_path, monkeypatch):
    package = tmp_path / "ml_peg"
    package.mkdir()
    (package / "__init__.py").touch()
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "ml_peg", raising=False)
    for found in ("0.8.1", "0.70.0", "1.0"):
        monkeypatch.setattr(installation, "version", lambda name, found=found: found)
        with pytest.raises(SetupError, match=rf"ml-peg {found} is installed; this port follows .* 0\.7"):
            installed_package()
    monkeypatch.setattr(installation, "version", lambda name: "0.7.3")
    assert installed_package() == package


def test_a_folder_that_cannot_be_written_is_named(checkout):
    (checkout / "ml_peg" / "app" / CATEGORY).write_text("a file in the way")
    with pytest.raises(SetupError, match=r"cannot write .*; choose an environment or a checkout"):
        install(checkout / "ml_peg")
