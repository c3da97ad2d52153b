"""The Python interface: light to import, and the same results as the command line."""

import json
import subprocess
import sys
import typing
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import harness
from dataset_builders.core.errors import DataError, ModelError, UsageError
from harness import calculator, compare, evaluate, load_potential, open_dataset
from harness.api import evaluate_models
from harness.cli import main
from harness.commands.evaluate import main as evaluate_command
from harness.data.dataset import PinnedDataset
from harness.data.dataset import open_dataset as open_at_level
from harness.evaluation import options
from harness.inference.loaded_potential import LoadedPotential
from harness.report.compare import comparison_documents
from harness.results.result import RunResult
from tests.harness.potentials.molecules import molecules

OFFERED = ["calculator", "compare", "evaluate", "load_potential", "open_dataset"]
HEAVY = ("numpy", "torch", "datasets", "ase", "rdkit", "pydantic", "pyarrow", "harness.api")


def modules_after(statement: str) -> set[str]:
    program = f"{statement}\nimport sys\nprint(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    return set(done.stdout.splitlines()[-1].split())


def test_importing_the_package_imports_nothing_else() -> None:
    assert not modules_after("import harness; dir(harness); harness.__version__") & set(HEAVY)


HELP = """
import runpy, sys
sys.argv = ["", "--help"]
try:
    runpy.run_module("{}", run_name="__main__")
except SystemExit:
    pass
"""


@pytest.mark.parametrize("program", ["harness", "dataset_builders", "model_cards"])
def test_help_imports_no_library_of_science_or_of_the_hub(program: str) -> None:
    heavy = {"torch", "datasets", "ase", "rdkit", "pandas", "pyarrow", "pydantic", "scipy", "huggingface_hub"}
    assert not modules_after(HELP.format(program)) & heavy


def test_an_evaluation_without_a_network_imports_no_library_of_networks(tmp_path: Path) -> None:
    arguments = ["--model", "zero", "--task", "task2", "--output", str(tmp_path), "--quiet"]
    modules = modules_after(f"from harness.cli import main; main({arguments})")
    # The intervals need one function of scipy.special.
    heavy = {"torch", "datasets", "ase", "scipy.stats", "scipy.integrate", "matplotlib", "sklearn", "huggingface_hub"}
    heavy |= {"pandas", "pyarrow.dataset"}
    assert "harness.evaluation.run" in modules
    assert not modules & heavy


def test_a_worker_does_not_import_the_interface() -> None:
    modules = modules_after("import harness.worker.__main__, harness.worker.server")
    assert not {name for name in modules if name.startswith(("harness.api", "harness.evaluation", "harness.commands"))}


def test_the_package_lists_what_it_offers() -> None:
    assert set(OFFERED) <= set(dir(harness))
    assert set(harness.__all__) == {*OFFERED, "__version__"}
    assert all(callable(getattr(harness, name)) for name in OFFERED)
    assert harness.__version__ == version("mlip-ood")
    with pytest.raises(
        AttributeError, match="module 'harness' has no attribute 'evalute'; it offers __version__, calc"
    ):
        harness.evalute  # type: ignore[attr-defined]  # noqa: B018


def test_every_option_is_declared_checked_and_documented() -> None:
    hints = typing.get_type_hints(options.EvaluationOptions)
    assert set(options._CHECKS) == set(hints)
    documented = f"{options.LoadingOptions.__doc__}{options.EvaluationOptions.__doc__}"
    assert [name for name in hints if f"        {name}: " not in documented] == []


@pytest.fixture(scope="module")
def runs(tiny_dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of results of mmff94 and zero on task4, written by the interface."""
    output = tmp_path_factory.mktemp("runs")
    evaluate(["mmff94", "zero"], dataset=tiny_dataset, tasks=["task4"], output=output, quiet=True)
    return output


def test_the_command_writes_the_same_folder(runs: Path, tiny_dataset: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = {path: path.stat().st_mtime_ns for path in runs.rglob("*.parquet")}
    assert len(before) >= 2
    models = ["--model", "mmff94", "--model", "zero"]
    where = ["--dataset", str(tiny_dataset), "--task", "task4", "--output", str(runs)]
    assert main(["evaluate", *models, *where, "--quiet", "--json"]) == 0
    printed = [RunResult.model_validate_json(line) for line in capsys.readouterr().out.splitlines()]
    assert {path: path.stat().st_mtime_ns for path in runs.rglob("*.parquet")} == before
    (saved,) = runs.glob("mmff94/*/result.json")
    result = evaluate("mmff94", dataset=str(tiny_dataset), tasks="task4", output=str(runs), quiet=True)
    assert result == printed[0] == RunResult.load(saved)


def test_several_models_give_a_list_in_their_order(runs: Path, tiny_dataset: Path) -> None:
    found = evaluate(["zero", "mmff94", "zero"], dataset=tiny_dataset, tasks=["task4"], output=runs, quiet=True)
    assert [result.model.id for result in found] == ["zero", "mmff94", "zero"]
    assert found[0] is found[2]
    (run,) = evaluate_models([Path("zero")], dataset=tiny_dataset, tasks=["task4"], output=runs, quiet=True)
    assert run.result == found[0]
    assert RunResult.load(run.directory / "result.json") == found[0]


def test_a_data_set_that_is_open_is_taken(runs: Path, tiny_dataset: Path) -> None:
    opened = open_dataset(tiny_dataset)
    assert isinstance(opened, PinnedDataset)
    assert opened == open_at_level(str(tiny_dataset))
    result = evaluate("zero", dataset=opened, tasks=["task4"], output=runs, quiet=True)
    assert result.dataset.content_hash == opened.content_hash
    with pytest.raises(UsageError, match=r"--labels wb97x, but .* was opened with labels of gfn2-xtb"):
        evaluate("zero", dataset=opened, labels="wb97x", output=runs)


def test_labels_are_named() -> None:
    assert open_dataset("mini", "wb97x").level.name == "wb97x"
    with pytest.raises(UsageError, match="unknown level of theory 'b3lyp'"):
        open_dataset("mini", "b3lyp")


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"devise": "cpu"}, r"unknown option 'devise' \(did you mean device\?\); options: family calculator"),
        ({"threads": 0}, r"--threads 0; expected 1 or more"),
        ({"threads": True}, r"--threads True; expected 1 or more"),
        ({"batch_atoms": "many"}, r"--batch-atoms many; expected a number of atoms, 1 or more, or auto"),
        ({"dtype": "float16"}, r"--dtype float16; expected one of float32, float64"),
        ({"isolation": "sometimes"}, r"--isolation sometimes; expected one of auto, always, never"),
        ({"trust_checkpoint": "yes"}, r"--trust-checkpoint yes; expected True or False"),
        ({"level_of_theory": " "}, r"--level-of-theory is empty; expected a level such as gfn2-xtb"),
        ({"protocol": "zero-shot"}, r"--protocol zero-shot; expected one of from-scratch, fine-tuned"),
        ({"base": "org/model"}, r"--base org/model without --trained-on TASK"),
        ({"labels": "b3lyp"}, r"unknown level of theory 'b3lyp'"),
        ({"device": None}, r"--device None; expected auto, cpu, cuda or cuda:N"),
        ({"tasks": ["task9"]}, r"unknown task 'task9'"),
        ({"tasks": None}, r"tasks is None; expected the names of tasks in a list, or \(\) for those of the model"),
        ({"tasks": [3]}, r"tasks is \[3\]; expected the names of tasks"),
        ({"dataset": None}, r"the data set is None; expected `mini`, the path of a folder"),
        ({"dataset": "a" * 5000}, r"cannot look for the data set 'a{60}…': File name too long; give `mini`"),
        ({"dataset": "m\udce9"}, r"the data set 'm.' is not in UTF-8.*; expected UTF-8: rename the file or folder"),
        ({"output": "m\udce9"}, r"--output 'm.' is not in UTF-8"),
        ({"output": "a\0b"}, r"--output 'a.b' contains a null character"),
        ({"jobs": "some"}, r"--jobs some; expected a number of processes, 1 or more, or auto"),
        ({"family": "gemnet"}, r"no family 'gemnet' reads checkpoints"),
    ],
)
def test_a_wrong_option_is_one_clear_error(given: dict[str, Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=message):
        evaluate("zero", **{"output": tmp_path, **given})
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("model", "error", "message"),
    [
        ("no-such-model", UsageError, "unknown model 'no-such-model'"),
        ([], UsageError, "no model is given"),
        (None, UsageError, "the model is None; expected the name, path or Hub id of a model, or a list of them"),
        ([None], UsageError, "the model is None; expected"),
        ("m\udce9", UsageError, "the model 'm.' is not in UTF-8, which records are written in"),
        (["zero", "nowhere/x.model"], ModelError, "there is no model nowhere/x"),
    ],
)
def test_a_model_that_is_not_there_is_named_before_anything_is_computed(
    model: Any, error: type[Exception], message: str, tmp_path: Path, hub: object
) -> None:
    with pytest.raises(error, match=message):
        evaluate(model, output=tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_numbers_of_other_libraries_and_auto_are_taken(tmp_path: Path, tiny_dataset: Path) -> None:
    found = evaluate(
        "zero",
        dataset=tiny_dataset,
        tasks="task4",
        output=tmp_path,
        quiet=True,
        threads=np.int64(1),
        jobs="auto",
        batch_atoms=np.int64(300),
    )
    assert found.model.id == "zero"


def test_smiles_are_text() -> None:
    smiles: Any = 3
    with pytest.raises(UsageError, match="smiles is 3; expected the SMILES of the molecule as text, or None"):
        calculator("mmff94", smiles=smiles)


def test_what_shares_the_work_is_another_function(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(UsageError, match=r"one of 2 processes \(WORLD_SIZE\); use harness\.api\.evaluate_models"):
        evaluate("zero")


def test_results_are_compared_whether_they_are_here_or_on_disk(runs: Path, tiny_dataset: Path) -> None:
    (mmff94,), (zero,) = runs.glob("mmff94/*"), runs.glob("zero/*")
    results = [RunResult.load(run / "result.json") for run in (mmff94, zero)]
    found = compare(results)
    assert compare([mmff94, str(zero / "result.json")]) == found
    assert [(each.task, each.split, each.model, each.compared_with) for each in found] == [
        ("task4", "test_id", "zero", "mmff94"),
        ("task4", "test_ood", "zero", "mmff94"),
    ]
    for each, document in zip(found, comparison_documents(results), strict=True):
        assert each.ratio.value == document["force_mae_ratio"]["value"]
        assert each.difference.low == document["force_mae_difference"]["low"]
    # mmff94 made the labels, so what zero is off by is all the difference there is.
    task = results[1].tasks["task4"]
    assert found[0].difference.value == pytest.approx(task.splits["test_id"].metrics["force_mae"].value, abs=1e-6)


def test_a_comparison_needs_two_results(runs: Path) -> None:
    (zero,) = runs.glob("zero/*")
    with pytest.raises(UsageError, match="1 results; a comparison needs two or more"):
        compare([zero])
    single: Any = str(zero)
    with pytest.raises(UsageError, match=r"results is '.*'; expected a list of two or more"):
        compare(single)
    with pytest.raises(DataError, match="cannot read the result"):
        compare([zero, runs / "absent"])


@pytest.fixture
def mace(mace_checkpoint: Path) -> Iterator[LoadedPotential]:
    with load_potential(mace_checkpoint, trust_checkpoint=True, device="cpu") as potential:
        yield potential


def test_a_potential_computes_batches_until_it_is_closed(mace: Any) -> None:
    batch = molecules()
    prediction = mace.compute(batch)
    assert prediction.energy.shape == (3,)
    assert prediction.forces.shape == (len(batch.atomic_numbers), 3)
    assert prediction.failures == {}
    assert (mace.traits.family, mace.traits.dtype, mace.is_closed) == ("mace", "float64", False)
    process = mace._potential._worker._process
    assert process.poll() is None
    mace.close()
    mace.close()
    assert process.poll() is not None
    with pytest.raises(UsageError, match=r"small\.model was closed; load it again"):
        mace.compute(batch)


def test_a_worker_ends_with_the_potential_that_nobody_closed() -> None:
    potential = load_potential("zero", isolation="always")
    process = potential._potential._worker._process  # type: ignore[union-attr]
    del potential
    assert process.wait(timeout=30) is not None


def test_a_checkpoint_that_nobody_trusts_is_not_loaded(mace_checkpoint: Path) -> None:
    with pytest.raises(ModelError, match="add --trust-checkpoint"):
        load_potential(mace_checkpoint)
    with pytest.raises(ModelError, match="add --trust-checkpoint"):
        calculator(mace_checkpoint)


SPRINGS = "tests.harness.pages.springs:steady"


def test_a_known_name_is_computed_by_its_own_family_beside_a_calculator(tiny_dataset: Path, tmp_path: Path) -> None:
    options: dict[str, Any] = {"dataset": tiny_dataset, "tasks": "task4", "output": tmp_path, "quiet": True}
    own = evaluate("mmff94", **options)
    mine, again = evaluate(["mine", "mmff94"], calculator=SPRINGS, isolation="never", **options)
    assert (mine.model.family, again.model.family) == ("ase", "mmff94")
    assert again.tasks == own.tasks
    assert again.model == own.model


def test_a_calculator_that_makes_no_model_is_refused() -> None:
    refusal = rf"--calculator {SPRINGS} has no effect on zero \(family zero\); expected a model .* such as \./name"
    with pytest.raises(UsageError, match=refusal):
        evaluate("zero", calculator=SPRINGS)
    with pytest.raises(UsageError, match="has no effect on reference"):
        calculator("reference", calculator=SPRINGS, isolation="never")
    with pytest.raises(UsageError, match="has no effect on zero"):
        evaluate_command(["--model", "task4=zero", "--calculator", SPRINGS])


def test_options_of_an_evaluation_are_none_of_loading() -> None:
    with pytest.raises(UsageError, match="unknown option 'labels'; options: family calculator"):
        load_potential("zero", labels="wb97x")  # type: ignore[call-arg]


def test_the_environment_has_its_tokens_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    import os

    with load_potential("zero") as potential:
        assert os.environ["HF_TOKEN"] == "hf_secret"
        assert np.array_equal(potential.compute(molecules()).energy, np.zeros(3))


def test_the_result_is_the_documented_one(runs: Path) -> None:
    (saved,) = runs.glob("mmff94/*/result.json")
    assert json.loads(saved.read_text())["tasks"].keys() == {"task4"}
