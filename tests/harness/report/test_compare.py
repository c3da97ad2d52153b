import json
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from dataset_builders.core.errors import DataError, UsageError
from harness.cli import main
from harness.core.batch import Prediction, StructureBatch
from harness.report.compare import comparison_documents, comparisons
from harness.report.distinct_names import distinct_names
from harness.results.result import RunResult
from harness.worker.family_environments import find_environment
from tests.harness.potentials.molecules import saved, small_mace
from tests.harness.toy_potential import TRAITS, Harmonic


@pytest.fixture
def compare(tiny_dataset, tmp_path, capsys):
    def run(*arguments):
        options = ("--dataset", str(tiny_dataset), "--output", str(tmp_path / "results"), "--quiet")
        code = main(["compare", *arguments, *options])
        return code, capsys.readouterr()

    return run


def folder_of(tmp_path: Path, model: str) -> str:
    (folder,) = (tmp_path / "results" / model).iterdir()
    return str(folder)


def test_models_are_compared_with_the_first_one(compare):
    code, printed = compare("--model", "zero", "--model", "mmff94", "--json")
    assert code == 0
    documents = [json.loads(line) for line in printed.out.splitlines()]
    assert [(each["task"], each["split"]) for each in documents] == [
        ("task1", "test_id"),
        ("task1", "test_ood"),
        ("task4", "test_id"),
        ("task4", "test_ood"),
    ]
    # MMFF94 made these labels, so its error is that of rounding them.
    assert all((each["model"], each["compared_with"]) == ("mmff94", "zero") for each in documents)
    assert all(each["force_mae_ratio"]["value"] < 1e-5 for each in documents)
    # One or two fragments are too few for an interval.
    assert all("no interval: based on" in each["force_mae_ratio"]["reason"] for each in documents[1:])
    assert all(each["force_mae_difference"]["value"] < -0.1 for each in documents)


def test_a_model_beside_a_finished_run(compare, tmp_path):
    compare("--model", "zero", "--model", "mmff94")
    code, printed = compare("--model", "gfn1-xtb", folder_of(tmp_path, "zero"), "--task", "task1")
    assert code == 0
    assert "compared with" in printed.out
    assert "zero" in printed.out
    assert "result: " in printed.out
    code, printed = compare(folder_of(tmp_path, "zero"), folder_of(tmp_path, "mmff94"))
    assert code == 0
    assert "result: " not in printed.out


def test_finished_runs_are_compared_on_the_named_tasks(compare, tmp_path):
    compare("--model", "zero", "--model", "mmff94")
    folders = [folder_of(tmp_path, name) for name in ("zero", "mmff94")]
    code, printed = compare(*folders, "--task", "task4", "--json")
    assert code == 0
    assert {json.loads(line)["task"] for line in printed.out.splitlines()} == {"task4"}
    code, printed = compare(*folders, "--task", "task2")
    assert code == 2
    assert "no task has two results" in printed.err


@pytest.mark.parametrize(
    ("options", "remedy"),
    [
        (["--push"], "publish them with `harness push RUN_DIR`"),
        (["--labels", "wb97x"], "leave it out"),
        (["--trust-checkpoint"], "leave it out"),
        (["--batch-atoms", "512"], "leave it out"),
        (["--intervals"], "leave it out"),
    ],
)
def test_options_of_an_evaluation_have_no_effect_on_finished_runs(compare, tmp_path, options, remedy):
    compare("--model", "zero", "--model", "mmff94", "--task", "task4")
    code, printed = compare(*(folder_of(tmp_path, name) for name in ("zero", "mmff94")), *options)
    assert code == 2
    assert f"{options[0]} has no effect on finished runs, and no --model is named; {remedy}" in printed.err


def test_one_model_is_not_enough(compare, tmp_path):
    code, printed = compare("--model", "zero")
    assert code == 2
    assert "1 results; a comparison needs two or more" in printed.err
    assert "1 results" in compare("--model", "zero", "--model", "zero", "--task", "task4")[1].err
    assert not (tmp_path / "results").exists()


def test_finished_runs_come_first(compare, tmp_path):
    compare("--model", "zero", "--model", "mmff94")
    code, printed = compare("--model", "mmff94", folder_of(tmp_path, "zero"), "--json")
    assert code == 0
    found = {(each["model"], each["compared_with"]) for each in map(json.loads, printed.out.splitlines())}
    assert found == {("mmff94", "zero")}


def test_what_cannot_be_compared_is_not_evaluated(compare, tmp_path):
    compare("--model", "zero", "--model", "mmff94", "--task", "task1")
    zero = Path(folder_of(tmp_path, "zero"))
    code, printed = compare(str(zero), "--model", "gfn1-xtb", "--task", "task4")
    assert code == 2
    assert "no task would have two results (zero: task1; --model: task4)" in printed.err
    result = RunResult.load(zero / "result.json")
    elsewhere = result.dataset.model_copy(update={"content_hash": "f" * 64})
    result.model_copy(update={"dataset": elsewhere}).save(zero / "result.json")
    code, printed = compare(str(zero), "--model", "gfn1-xtb")
    assert code == 3
    assert "the results are on 2 different data sets" in printed.err
    assert not (tmp_path / "results" / "gfn1-xtb").exists()


def test_results_without_a_common_task_are_refused(compare, tmp_path):
    compare("--model", "zero", "--model", "mmff94")
    first, second = (RunResult.load(Path(folder_of(tmp_path, name)) / "result.json") for name in ("zero", "mmff94"))
    apart = [
        result.model_copy(update={"tasks": {task: result.tasks[task]}})
        for result, task in ((first, "task1"), (second, "task4"))
    ]
    with pytest.raises(UsageError, match=r"no task has two results \(zero: task1, mmff94: task4\)"):
        comparisons(apart)
    elsewhere = second.model_copy(update={"dataset": second.dataset.model_copy(update={"content_hash": "f" * 64})})
    with pytest.raises(DataError, match="on 2 different data sets"):
        comparisons([first, elsewhere])
    larger = elsewhere.dataset.model_copy(update={"edition": "standard"})
    with pytest.raises(DataError, match=r"are on 2 editions, standard and tiny; a comparison needs one"):
        comparisons([first, elsewhere.model_copy(update={"dataset": larger})])


def test_two_runs_of_one_model_are_named_by_what_differs(compare, tmp_path):
    compare("--model", "zero", "--model", "mmff94", "--task", "task1")
    zero, first = (RunResult.load(Path(folder_of(tmp_path, name)) / "result.json") for name in ("zero", "mmff94"))
    second = with_model(first, dtype="float32", files={"a.model": "a" * 64})
    third = with_model(first, dtype="float32", files={"a.model": "b" * 64})
    assert [(each["model"], each["compared_with"]) for each in comparison_documents([zero, first])] == [
        ("mmff94", "zero"),
        ("mmff94", "zero"),
    ]
    assert distinct_names([zero, first, second]) == [
        "zero",
        "mmff94 (precision float64)",
        "mmff94 (precision float32)",
    ]
    assert {each["model"] for each in comparison_documents([first, second, third])} == {
        "mmff94 (precision float32, a.model aaaaaaaaaaaa)",
        "mmff94 (precision float32, a.model bbbbbbbbbbbb)",
    }
    later = first.model_copy(update={"created": first.created + timedelta(hours=1)})
    assert distinct_names([first, later])[0] == f"mmff94 (evaluated {first.created.isoformat()})"
    assert distinct_names([first, with_model(first, id="other")]) == ["mmff94", "other"]


def test_one_run_given_twice_is_refused(compare, tmp_path):
    compare("--model", "zero", "--model", "mmff94", "--task", "task1")
    code, printed = compare(folder_of(tmp_path, "zero"), folder_of(tmp_path, "zero"))
    assert code == 2
    assert "two of the results are of one evaluation of zero; give each run once" in printed.err


def with_model(result: RunResult, **changes: object) -> RunResult:
    """The result with other values of its model."""
    return result.model_copy(update={"model": result.model.model_copy(update=changes)})


def test_two_families_with_conflicting_packages_in_one_run(compare, tmp_path):
    """MACE pins e3nn 0.4.4, and SevenNet needs 0.5 or newer."""
    pytest.importorskip("mace")
    if find_environment("sevennet") is None:
        pytest.skip("no environment of sevennet; make it with: python -m harness env create sevennet")
    model = saved(
        small_mace(num_elements=5, atomic_numbers=[1, 6, 7, 8, 9], atomic_energies=[[-1.0] * 5]),
        tmp_path / "small.model",
    )
    code, printed = compare(
        "--model", str(model), "--model", "7net-0", "--trust-checkpoint", "--json", "--task", "task1"
    )
    assert code == 0, printed.err
    assert [json.loads(line)["model"] for line in printed.out.splitlines()] == ["7net-0", "7net-0"]
    versions = {
        name: RunResult.load(Path(folder_of(tmp_path, name)) / "result.json").environment.packages["e3nn"]
        for name in ("7net-0", next(path.name for path in (tmp_path / "results").iterdir() if path.name != "7net-0"))
    }
    assert len(set(versions.values())) == 2


def test_failures_leave_a_comparison_undefined_with_the_count_and_the_others_as_they_are(
    compare, tmp_path, tiny_dataset, capsys, monkeypatch
):
    compare("--model", "zero", "--model", "mmff94")
    broken = Fails()
    monkeypatch.setattr("harness.worker.loading.load_potential", lambda model, options: broken)
    options = ("--dataset", str(tiny_dataset), "--output", str(tmp_path / "results"), "--quiet")
    assert main(["--model", "gfn1-xtb", "--task", "task1", *options]) == 5
    capsys.readouterr()
    folders = [folder_of(tmp_path, name) for name in ("zero", "mmff94", "broken")]
    code, printed = compare(*folders, "--json")
    assert code == 5
    documents = {
        (each["model"], each["task"], each["split"]): each for each in map(json.loads, printed.out.splitlines())
    }
    assert len(documents) == 6
    for (model, _, _), each in documents.items():
        for number in (each["force_mae_difference"], each["force_mae_ratio"]):
            assert (number["value"] is None) == (model == "broken")
            assert (
                model != "broken"
                or f"{broken.n_failed} of broken; a comparison requires all frames" in number["reason"]
            )
    code, printed = compare(*folders)
    assert code == 5
    assert f"– task1, broken and zero: failed frames of task1: {broken.n_failed} of broken" in " ".join(
        printed.out.split()
    )


class Fails(Harmonic):
    """The first structure of each batch fails."""

    def __init__(self) -> None:
        super().__init__(traits=replace(TRAITS, model_id="broken"))
        self.n_failed = 0

    def compute(self, batch: StructureBatch) -> Prediction:
        prediction = super().compute(batch)
        self.n_failed += 1
        return Prediction(prediction.energy, prediction.forces, {0: "no SCF"})
