"""ml-peg's commands calc, analyse and app, run in its own environment on mini, give the numbers of `evaluate`."""

import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import harness
from dataset_builders.tasks.regions import TASKS
from harness import evaluate
from harness.data.dataset import open_levels
from harness.evaluation.options import LoadingOptions
from harness.peg.benchmarks import BENCHMARKS, CATEGORY
from harness.peg.columns import DISTANCE, column_of
from harness.report.control_gaps import INSTALLED
from harness.results.result import RunResult
from harness.worker.family_environments import environments_folder, interpreter_of
from tests.harness.potentials.molecules import saved, small_mace

# Each command of ml-peg starts a Python that imports hundreds of modules.
pytestmark = [pytest.mark.slow, pytest.mark.timeout(2400)]

ROOT = Path(harness.__file__).parent.parent
ELEMENTS = [1, 6, 7, 8, 9, 16, 17]
MODELS = """
small-mace:
  module: mace.calculators
  class_name: MACECalculator
  device: cpu
  trained_on_dispersion: true
  level_of_theory: ωB97M-V/def2-TZVPD
  kwargs:
    model_paths: {checkpoint}
gfn1-xtb:
  module: tblite.ase
  class_name: TBLite
  device: null
  trained_on_dispersion: true
  level_of_theory: GFN1-xTB
  kwargs: {{method: GFN1-xTB, accuracy: 0.1, max_iterations: 500, verbosity: 0}}
always-fails:
  module: ml_peg.models.mock
  class_name: MockErrorCalculator
  device: null
  trained_on_dispersion: true
never-computed:
  module: ml_peg.models.mock
  class_name: MockCalculator
  device: null
  trained_on_dispersion: true
mock:
  module: ml_peg.models.mock
  class_name: MockCalculator
  device: null
  trained_on_dispersion: true
"""

# `ml_peg app` listens on all addresses of the machine; here its pages are asked for without a server.
APP = f"""
import json, sys
from dash import Dash

def run(self, **options):
    client = self.server.test_client()
    pages = {{path: client.get(path) for path in ["/", "/_dash-layout", *sys.argv[1:]]}}
    print(json.dumps({{path: [page.status_code, page.get_data(as_text=True)] for path, page in pages.items()}}))

Dash.run = run
from ml_peg.cli.cli import app
app(["app", "--category", "{CATEGORY}", "--no-debug", "--models-file", "models.yml", "--models", "small-mace"])
"""


@dataclass(frozen=True, slots=True)
class Peg:
    """A copy of ml-peg with the port in it.

    Attributes:
        python: Interpreter of the environment that holds what it needs.
        site: Folder that has the copy; its outputs lie in it.
        checkpoint: A small MACE with random weights.
    """

    python: Path
    site: Path
    checkpoint: Path

    def run(self, *arguments: str) -> "subprocess.CompletedProcess[str]":
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": f"{self.site}{os.pathsep}{ROOT}"}
        return subprocess.run(
            [str(self.python), *arguments], cwd=self.site, env=environment, capture_output=True, text=True, check=False
        )

    def command(self, *arguments: str) -> str:
        """What a command of ml-peg prints; `pytest`, which it runs, prints failures there, too."""
        program = "from ml_peg.cli.cli import app; app()"
        finished = self.run("-c", program, *arguments, "--category", CATEGORY, "--models-file", "models.yml")
        return finished.stdout + finished.stderr

    def data(self, benchmark: str) -> Path:
        return self.site / "ml_peg" / "app" / "data" / CATEGORY / benchmark

    def rows(self, benchmark: str) -> Mapping[str, Mapping[str, Any]]:
        table = json.loads((self.data(benchmark) / "metrics_table.json").read_text(encoding="utf-8"))
        return {row["id"]: row for row in table["data"]}

    def intervals(self, benchmark: str) -> list[Mapping[str, str]]:
        found: list[Mapping[str, str]] = json.loads((self.data(benchmark) / "intervals.json").read_text("utf-8"))
        return found


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Peg:
    python = interpreter_of(environments_folder() / "ml-peg")
    if not python.is_file():
        pytest.skip("no environment with ml-peg; make it with `make ml-peg`")
    pytest.importorskip("mace")
    site = tmp_path_factory.mktemp("site")
    (package,) = python.parent.parent.glob("lib/python3*/site-packages/ml_peg")
    shutil.copytree(package, site / "ml_peg")
    energies = np.array([[-10.0 * number for number in ELEMENTS]])
    mace = small_mace(num_elements=len(ELEMENTS), atomic_numbers=ELEMENTS, atomic_energies=energies)
    peg = Peg(python, site, saved(mace, site / "small.model"))
    (site / "models.yml").write_text(MODELS.format(checkpoint=peg.checkpoint), encoding="utf-8")
    finished = peg.run("-m", "harness", "ml-peg", "install")
    assert finished.returncode == 0, finished.stderr
    assert f"files written to {site / 'ml_peg'}" in finished.stdout
    return peg


@pytest.fixture(scope="module")
def calculated(installed: Peg) -> tuple[str, str]:
    """What calc printed: for three models at two levels of DFT, and for no forces at the default level."""
    three = installed.command("calc", "--test", "fragments_[Pw]*", "--models", "small-mace,gfn1-xtb,always-fails")
    return three, installed.command("calc", "--test", "fragments_GFN2", "--mock-only")


@pytest.fixture(scope="module")
def peg(installed: Peg, calculated: tuple[str, str]) -> Iterator[Peg]:
    printed = installed.command("analyse")
    assert not re.search(r"\d+ (failed|error)", printed), printed
    return installed


def assert_same(row: Mapping[str, Any], result: RunResult) -> None:
    for name, task in result.tasks.items():
        errors = {split: task.splits[split].metrics["force_mae"].value for split in ("test_ood", "test_id")}
        assert row[column_of(name, "score")] == pytest.approx(task.score.value, rel=1e-6, abs=1e-9)
        assert row[column_of(name, "OOD MAE")] == pytest.approx(1000 * errors["test_ood"], rel=1e-6)
        assert row[column_of(name, "ID MAE")] == pytest.approx(1000 * errors["test_id"], rel=1e-6)
        assert row[column_of(name, "gap")] == pytest.approx(task.gap.value, rel=1e-6)
    scores = [task.score.value for task in result.tasks.values()]
    assert row["Score"] == pytest.approx(sum(scores) / len(scores) / 100, rel=1e-6, abs=1e-9)


def test_calculations_pass_and_a_level_without_labels_is_skipped(calculated):
    three, mock = calculated
    assert " failed" not in three
    assert "1 passed" in mock
    levels = {dataset.level.name: dataset for dataset in open_levels("mini")}
    absent = [each for each in BENCHMARKS.values() if each.name != "fragments_GFN2" and each.level not in levels]
    for benchmark in absent:
        assert f"calc_{benchmark.name}.py" in three
        assert "mini has no labels at" in three
    assert f"{4 * (3 - len(absent))} passed" in three


def test_a_checkpoint_has_the_numbers_of_evaluate(peg, tmp_path):
    options: LoadingOptions = {"dtype": "float64", "device": "cpu", "trust_checkpoint": True}
    result = evaluate(peg.checkpoint, labels="wb97x", output=tmp_path, quiet=True, **options)
    assert set(result.tasks) == {"task2", "task3"}
    row = peg.rows("fragments_wB97X")["small-mace"]
    assert_same(row, result)
    assert row[DISTANCE] == pytest.approx(134.6, abs=0.1)


@pytest.mark.parametrize(
    ("benchmark", "control"), [("fragments_wB97X", "gfn1-xtb-wb97x"), ("fragments_PBE_D3", "gfn1-xtb-pbe")]
)
def test_gfn1_has_the_numbers_and_intervals_of_the_shipped_control(peg, benchmark, control):
    result = RunResult.load(INSTALLED / f"{control}.json")
    assert_same(peg.rows(benchmark)["gfn1-xtb"], result)
    rows = {row["Task"].partition(" ")[0]: row for row in peg.intervals(benchmark) if row["MLIP"] == "gfn1-xtb"}
    assert set(rows) == set(result.tasks)
    for name, task in result.tasks.items():
        gap = task.gap
        expected = f"{gap.value:.2f}" + ("" if gap.low is None else f" ({gap.low:.2f} to {gap.high:.2f})")
        assert rows[name]["Gap"] == expected
        assert (gap.reason or "") in rows[name]["Note"]


def test_no_forces_have_a_score_of_0_in_all_four_tasks(peg, tmp_path):
    result = evaluate("zero", labels="gfn2-xtb", output=tmp_path, quiet=True)
    assert set(result.tasks) == set(TASKS)
    row = peg.rows("fragments_GFN2")["mock"]
    assert_same(row, result)
    assert row["Score"] == result.overall_score == 0.0


def test_a_model_that_fails_has_no_score_and_the_reason_is_shown(peg):
    row = peg.rows("fragments_wB97X")["always-fails"]
    assert row["Score"] == "NaN"
    assert np.isnan(row["Task 2 gap"])
    (shown,) = [each for each in peg.intervals("fragments_wB97X") if each["MLIP"] == "always-fails"]
    assert "This is a mock error calculator" in shown["Note"]


def test_a_model_that_was_not_computed_has_no_number(peg):
    row = peg.rows("fragments_wB97X")["never-computed"]
    assert row["Score"] is None
    assert row["Task 2 gap"] is None


def test_the_table_states_levels_and_weights(peg):
    table = json.loads((peg.data("fragments_wB97X") / "metrics_table.json").read_text(encoding="utf-8"))
    assert set(table["metric_levels_of_theory"].values()) == {"ωB97X/6-31G(d)"}
    assert {name for name, weight in table["weights"].items() if weight} == {"Task 2 score", "Task 3 score"}
    info = json.loads((peg.data("fragments_GFN2") / "info.json").read_text(encoding="utf-8"))
    assert {symbol for symbols in info["elements"] for symbol in symbols} == {"H", "C", "N", "O", "F", "S", "Cl"}


def test_the_figure_has_a_point_for_each_molecule(peg):
    figure = json.loads((peg.data("fragments_wB97X") / "figure_task2.json").read_text(encoding="utf-8"))
    (trace,) = [each for each in figure["data"] if each["name"] == "gfn1-xtb"]
    molecules = RunResult.load(INSTALLED / "gfn1-xtb-wb97x.json").tasks["task2"].by_molecule
    errors = {f"task2-{row.split}-{row.molecule_id}": 1000 * row.force_mae for row in molecules}
    assert {data[-1]: y for data, y in zip(trace["customdata"], trace["y"], strict=True)} == pytest.approx(errors)
    assert all(
        ("test_ood" in data[-1]) == x.startswith("OOD") for data, x in zip(trace["customdata"], trace["x"], strict=True)
    )


def test_the_app_shows_tables_figures_and_structures(peg):
    structure = f"/assets/{CATEGORY}/fragments_wB97X/structures/task2-test_ood-CN-2-CN.xyz"
    finished = peg.run("-c", APP, structure)
    assert finished.returncode == 0, finished.stderr
    pages = json.loads(finished.stdout.splitlines()[-1])
    assert {status for status, _ in pages.values()} == {200}
    assert "smiles=" in pages[structure][1]
    layout = pages["/_dash-layout"][1]
    for benchmark in ("fragments_GFN2", "fragments_PBE_D3", "fragments_wB97X"):
        assert f"{benchmark}-table" in layout
        assert f"Unable to register callbacks for {benchmark}" not in finished.stderr


def test_an_unknown_model_is_named(installed):
    printed = installed.command("calc", "--test", "fragments_PBE_D3", "--models", "no-such-model")
    assert "Model name 'no-such-model' not recognised" in printed
