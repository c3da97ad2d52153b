"""`--calculator` and plug-ins through the command line: what they raise, print, set and return, and where they lie."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from dataset_builders.core.errors import ModelError
from harness.cli import main
from harness.core.batch import Prediction, StructureBatch
from harness.core.family import Family
from harness.core.potential import LoadOptions, Potential
from harness.inference.predict import MOST_FAILURES_IN_A_ROW, compute_shards
from harness.inference.windows import read_windows
from harness.models.registry import ModelSource, identify
from harness.worker import loading
from harness.worker.loading import loaded
from tests.harness.potentials.molecules import molecules
from tests.harness.toy_potential import Harmonic

MODULE = '''
import os

import numpy as np
from ase.calculators.calculator import Calculator

print("a module that talks")


class Springs(Calculator):
    """Springs to the centre, in eV/Å²; with the error of its choice on molecules with fluorine."""

    implemented_properties = ["energy", "forces"]

    def __init__(self, sign=-1.0, error=None):
        super().__init__()
        self.sign, self.error = sign, error

    def calculate(self, atoms, properties, system_changes):
        super().calculate(atoms, properties, system_changes)
        print("computing")
        os.write(1, b"without Python\\n")
        if self.error is not None and 9 in atoms.numbers:
            raise self.error
        stretched = atoms.positions - atoms.positions.mean(axis=0)
        self.results = {"energy": 0.5 * (stretched**2).sum(), "forces": self.sign * stretched}


def springs(path, device):
    return Springs()


def gradients(path, device):
    return Springs(sign=1.0)


def ending(path, device):
    return Springs(error=SystemExit(3))


def failing(path, device):
    return Springs(error=Exception("plain"))


def misshapen(path, device):
    calculator = Springs()
    calculator.get_forces = lambda atoms=None: np.zeros((3, len(atoms)))
    return calculator


def of_text(path, device):
    calculator = Springs()
    calculator.get_potential_energy = lambda atoms=None, **_: "-1.0"
    return calculator


def of_one_number(path, device):
    calculator = Springs()
    calculator.get_potential_energy = lambda atoms=None, **_: np.zeros(1)
    return calculator


def setting(path, device):
    import torch

    torch.set_default_dtype(torch.float64)
    torch.backends.cuda.matmul.allow_tf32 = True
    np.seterr(all="raise")
    os.chdir("/")
    return Springs()
'''
NAME = "calculators_of_others"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder that only the caller's PYTHONPATH names."""
    made = tmp_path / "modules"
    made.mkdir()
    (made / f"{NAME}.py").write_text(MODULE, encoding="utf-8")
    monkeypatch.setenv("PYTHONPATH", str(made), prepend=":")
    monkeypatch.syspath_prepend(made)
    monkeypatch.chdir(tmp_path)
    yield made
    sys.modules.pop(NAME, None)


def evaluate(dataset: Path, function: str, *options: str) -> int:
    arguments = ["--model", "mine", "--calculator", f"{NAME}:{function}", "--task", "task4", "--dataset", str(dataset)]
    return main([*arguments, "--output", "results", "--quiet", *options])


def printed(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


@pytest.mark.parametrize(("function", "cause"), [("ending", "SystemExit: 3"), ("failing", "Exception: plain")])
def test_what_is_raised_costs_the_structure_alone(
    function: str, cause: str, folder: Path, tiny_dataset: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert evaluate(tiny_dataset, function, "--json") == 5
    (result,) = printed(capfd)
    task = result["tasks"]["task4"]
    assert {failure["cause"] for failure in task["failures"]} == {cause}
    assert {failure["molecule_id"] for failure in task["failures"]} == {"F-2-H", "F-6-H"}
    assert task["splits"]["test_ood"]["metrics"]["force_mae"]["value"] > 0.0


@pytest.mark.parametrize(
    ("function", "message"),
    [
        ("misshapen", "forces of mine has shape (3, "),
        ("of_text", "energy of mine has dtype <U4 (str); expected real numbers"),
        ("of_one_number", "energy of mine has shape (1,); expected a single number"),
    ],
)
def test_wrong_shapes_are_the_models_fault(
    function: str, message: str, folder: Path, tiny_dataset: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert evaluate(tiny_dataset, function, "--isolation", "never") == 4
    assert message in capfd.readouterr().err


def test_json_stays_json_and_the_next_model_unharmed(
    folder: Path, tiny_dataset: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert evaluate(tiny_dataset, "setting", "--isolation", "never", "--json") == 0
    shown = capfd.readouterr()
    (result,) = [json.loads(line) for line in shown.out.splitlines()]
    assert result["environment"]["precision"] == {"float32_products": "ieee"}
    assert {"a module that talks", "computing", "without Python"} <= set(shown.err.splitlines())
    assert torch.get_default_dtype() == torch.float32
    assert not torch.backends.cuda.matmul.allow_tf32
    assert np.geterr()["over"] != "raise"
    assert Path.cwd() == folder.parent
    assert list(Path("results").glob("mine/*/result.json"))


def test_forces_of_the_wrong_sign_are_cautioned_in_log_table_and_result(
    folder: Path, tiny_dataset: Path, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    caution = "mine returns forces of the wrong sign: its energy rises in their direction"
    assert evaluate(tiny_dataset, "gradients") == 0
    assert f"caution: {caution}" in " ".join(capfd.readouterr().out.split())
    assert caution in caplog.text
    (path,) = Path("results").glob("mine/*/result.json")
    assert json.loads(path.read_text())["model"]["cautions"] == [caution]
    # The next time nothing is computed, and it is said all the same.
    path.unlink()
    assert main(["report", str(path.parent), "--json"]) == 0
    assert printed(capfd)[0]["model"]["cautions"] == [caution]


def test_the_look_before_a_run_changes_no_prediction(
    folder: Path, tiny_dataset: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = []
    for name in ("looked", "blind"):
        assert evaluate(tiny_dataset, "springs", "--isolation", "never", "--output", name) == 0
        files.append({path.name: path.read_bytes() for path in Path(name).glob("mine/*/predictions/*.parquet")})
        monkeypatch.setattr("harness.evaluation.examination.cautions_about", lambda potential, molecules: ())
    assert files[0] == files[1]
    assert files[0]


@pytest.mark.parametrize("isolation", ["auto", "never"])
@pytest.mark.parametrize("place", ["PYTHONPATH", "a relative PYTHONPATH", "working directory"])
def test_a_function_is_found_where_the_caller_finds_it(
    place: str, isolation: loading.Isolation, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "path", [each for each in sys.path if each != str(folder)])
    if place == "working directory":
        monkeypatch.setenv("PYTHONPATH", "")
        monkeypatch.chdir(folder)
    elif isolation == "never":
        monkeypatch.syspath_prepend(folder)  # as Python does with PYTHONPATH when it starts
    if place == "a relative PYTHONPATH":
        monkeypatch.setenv("PYTHONPATH", folder.name)
    options = LoadOptions(device="cpu", calculator=f"{NAME}:springs")
    with loaded(identify("mine", "ase"), options, isolation) as potential:
        assert potential.compute(molecules()).failures == {}


class PlugIn(Harmonic):
    """Fails on a batch that holds fluorine."""

    def compute(self, batch: StructureBatch) -> Prediction:
        print("a plug-in that talks")
        torch.set_default_dtype(torch.float64)
        if 9 in batch.atomic_numbers:
            raise NotImplementedError("fluorine")
        return super().compute(batch)


def test_a_plug_in_is_contained_and_guarded(
    tiny_dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    source = ModelSource("toys", Family("toys", "others.adapter", package="numpy", methods=("toys",)), None)
    monkeypatch.setattr("harness.models.resolve.resolve_model", lambda text, family=None: source)
    monkeypatch.setattr("harness.worker.loading.load_potential", lambda source, options: PlugIn())
    arguments = ["--model", "toys", "--task", "task4", "--dataset", str(tiny_dataset), "--output", str(tmp_path)]
    assert main([*arguments, "--quiet", "--json"]) == 5
    shown = capfd.readouterr()
    (result,) = [json.loads(line) for line in shown.out.splitlines()]
    assert "a plug-in that talks" in shown.err
    failures = result["tasks"]["task4"]["failures"]
    assert {failure["cause"] for failure in failures} == {"NotImplementedError: fluorine"}
    assert torch.get_default_dtype() == torch.float32


class Hopeless(Harmonic):
    """Computes what it is told to, and fails on all else."""

    n_good: int = 0

    def compute(self, batch: StructureBatch) -> Prediction:
        prediction = super().compute(batch)
        bad = range(self.n_good, batch.n_structures)
        self.n_good = max(0, self.n_good - batch.n_structures)
        return Prediction(prediction.energy, prediction.forces, dict.fromkeys(bad, "no licence"))


def predict(potential: Potential, dataset: Path, directory: Path, batch_atoms: int = 100) -> None:
    from harness.data.dataset import open_dataset
    from harness.data.scan import scan_dataset
    from harness.inference.batching import make_plan

    opened = open_dataset(str(dataset))
    plan = make_plan(scan_dataset(opened, ("task1",)), batch_atoms)
    compute_shards(potential, plan, read_windows(opened, plan), directory, {})


def test_a_model_that_computes_nothing_is_given_up(tiny_dataset: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"toy failed on all \d+ structures, the last with: no licence"):
        predict(Hopeless(), tiny_dataset, tmp_path)


def test_failures_in_a_row_end_a_run_and_what_was_computed_is_kept(
    tiny_dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("harness.inference.predict.MOST_FAILURES_IN_A_ROW", 20)
    monkeypatch.setattr("harness.inference.batching.STRUCTURES_PER_SHARD", 16)
    potential = Hopeless()
    potential.n_good = 30
    with pytest.raises(
        ModelError, match=r"toy failed on \d\d consecutive structures, the last with: no licence.*are kept"
    ):
        predict(potential, tiny_dataset, tmp_path)
    kept = list(tmp_path.glob("*.parquet"))
    assert kept
    computed = sum(potential.sizes)
    again = Harmonic()
    predict(again, tiny_dataset, tmp_path)
    assert sum(again.sizes) < computed + 60


def test_failures_here_and_there_end_nothing(
    tiny_dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class HereAndThere(Harmonic):
        def compute(self, batch: StructureBatch) -> Prediction:
            prediction = super().compute(batch)
            return Prediction(prediction.energy, prediction.forces, dict.fromkeys(range(1, batch.n_structures), "odd"))

    monkeypatch.setattr("harness.inference.predict.MOST_FAILURES_IN_A_ROW", 20)
    predict(HereAndThere(), tiny_dataset, tmp_path)
    assert MOST_FAILURES_IN_A_ROW == 256


def test_a_module_that_is_given_up_while_it_is_imported_is_one_clear_error(folder: Path, tiny_dataset: Path) -> None:
    (folder / "ending_module.py").write_text("raise SystemExit('not here')\n", encoding="utf-8")
    command = ["--model", "mine", "--calculator", "ending_module:make", "--dataset", str(tiny_dataset), "--quiet"]
    done = subprocess.run([sys.executable, "-m", "harness", *command], capture_output=True, text=True, check=False)
    assert done.returncode == 4, done.stderr
    assert "its module cannot be imported: SystemExit: not here" in done.stderr
