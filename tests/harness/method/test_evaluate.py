import json
import shutil
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from dataset_builders.core.errors import DataError, UsageError
from dataset_builders.tasks.regions import TASKS
from harness.cli import main
from harness.method.assemble import MeasuredMember, mean_result
from harness.method.document import METHOD_NAME, MethodResult
from harness.method.evaluate import load_method
from harness.results.result import RunResult


@pytest.fixture
def run(four_tasks, tmp_path, capsys):
    """Runs the command on the small data set, with results in a folder of the test."""

    def call(*arguments, code=0):
        capsys.readouterr()
        options = ("--dataset", str(four_tasks), "--output", str(tmp_path / "results"), "--quiet")
        assert main([*map(str, arguments), *options]) == code
        return capsys.readouterr()

    return call


@pytest.fixture(scope="module")
def measured(four_tasks, trained, tmp_path_factory):
    """The folder of the finished method; copy it, with all beside it, before changing anything."""
    output = tmp_path_factory.mktemp("measured") / "results"
    assert main(["--method", str(trained), "--dataset", str(four_tasks), "--output", str(output), "--quiet"]) == 0
    (path,) = output.glob(f"*/*/{METHOD_NAME}")
    return path.parent


@pytest.fixture
def copied(measured, tmp_path):
    """A copy of it that a test may change."""
    shutil.copytree(measured.parents[1], tmp_path / "results")
    return tmp_path / "results" / measured.relative_to(measured.parents[1])


def results_of(directory: Path) -> dict[str, RunResult]:
    method = MethodResult.load(directory)
    return {member.place: RunResult.load(method.run_of(member, directory) / "result.json") for member in method.members}


def test_each_model_is_a_run_of_its_own_and_the_result_their_mean(measured):
    method, runs = MethodResult.load(measured), results_of(measured)
    assert list(runs) == [f"{task}/seed{seed}" for task in TASKS for seed in (0, 1)]
    result = method.result
    for task in TASKS:
        of_task = [runs[f"{task}/seed{seed}"].tasks for seed in (0, 1)]
        assert all(set(tasks) == {task} for tasks in of_task)
        scores = [tasks[task].score.value for tasks in of_task]
        assert result.tasks[task].score.value == pytest.approx(np.mean(scores), rel=1e-12)
        spread = result.seeds[task].numbers["score"]
        assert spread.values == tuple(scores)
        assert spread.standard_deviation == pytest.approx(np.std(scores, ddof=1), rel=1e-12)
    overall = [np.mean([runs[f"{task}/seed{seed}"].tasks[task].score.value for task in TASKS]) for seed in (0, 1)]
    assert result.overall_score == pytest.approx(np.mean(overall), rel=1e-12)
    assert result.overall.values == pytest.approx(overall, rel=1e-12)
    assert result.overall.standard_deviation == pytest.approx(np.std(overall, ddof=1), rel=1e-12)
    assert (result.model.training, result.model.protocol, result.complete) == ("proved", "from-scratch", True)
    assert load_method(measured) == method


def test_the_table_shows_means_spread_and_overall(run, copied, trained):
    printed = run("--method", trained, "--provenance")
    result = MethodResult.load(copied).result
    deviation = result.overall.standard_deviation
    assert f"{result.overall_score:.1f} ± {deviation:.1f}" in printed.out
    assert "titles of the tasks" in printed.out  # 80 columns are too few for them
    assert f"overall score {result.overall_score:.1f}, the mean of the four tasks" in " ".join(printed.out.split())
    assert "task3/seed1: " in printed.out
    assert f"result: {copied / METHOD_NAME}" in printed.out


def test_the_same_again_goes_on_from_the_runs_and_writes_the_same(run, copied, trained):
    before = {path: path.stat().st_mtime_ns for path in copied.parents[1].rglob("predictions/*")}
    content = (copied / METHOD_NAME).read_bytes()
    document = json.loads(run("--method", trained, "--json").out)
    assert document["schema"] == "mlip-ood-method-result/1"
    assert {path: path.stat().st_mtime_ns for path in copied.parents[1].rglob("predictions/*")} == before
    assert (copied / METHOD_NAME).read_bytes() == content
    assert MethodResult.model_validate_json(json.dumps(document)) == MethodResult.load(copied)


def test_a_report_makes_it_again_from_the_runs(copied, capsys):
    content, before = (copied / METHOD_NAME).read_text(), MethodResult.load(copied)
    score = before.result.tasks["task2"].splits["test_ood"].metrics["force_mae"].value
    assert str(score) in content
    (copied / METHOD_NAME).write_text(content.replace(str(score), str(score / 2.0)))
    with pytest.raises(DataError, match="is not the mean of the results that it names: it was edited"):
        load_method(copied)
    assert main(["push", str(copied), "--repo", "org/x", "--dry-run"]) == 3
    assert main(["report", str(copied), "--quiet"]) == 0
    after = MethodResult.load(copied)
    assert after.members == before.members
    assert after.result.model_copy(update={"created": before.result.created}) == before.result
    assert "overall" in capsys.readouterr().out


def test_a_changed_or_absent_run_is_named(copied, capsys):
    method = MethodResult.load(copied)
    run = method.run_of(method.members[3], copied)
    path = run / "result.json"
    path.write_text(path.read_text() + "\n")
    with pytest.raises(DataError, match=r"result.json has sha256 .* was computed from one with"):
        load_method(copied)
    assert main(["report", str(copied), "--quiet"]) == 0
    load_method(copied)
    shutil.rmtree(run)
    with pytest.raises(DataError, match="the run of task2/seed1 of the method is not at"):
        load_method(copied)
    capsys.readouterr()
    assert main(["report", str(copied)]) == 3
    assert "the run of task2/seed1 of the method is not at" in capsys.readouterr().err


def test_a_missing_task_leaves_no_overall_score(run, trained, tmp_path):
    shutil.copytree(trained, tmp_path / "three", ignore=lambda folder, names: {"task3"} & {*names})
    document = json.loads(run("--method", tmp_path / "three", "--json").out)
    assert document["result"]["overall_score"] is None
    printed = run("--method", tmp_path / "three")
    assert "no overall score, which is the mean of all four tasks: no model of task3" in " ".join(printed.out.split())
    assert run("--method", trained, "--task", "task1", "task2", "--json").out.count('"place"') == 0
    refused = run("--method", tmp_path / "three", "--task", "task3", code=2)
    assert "--task task3, but" in refused.err
    assert "contains models of task1 task2 task4 only" in refused.err


def test_uneven_seeds_are_allowed_and_shown(run, trained, tmp_path):
    shutil.copytree(trained, tmp_path / "uneven")
    shutil.rmtree(tmp_path / "uneven/task3/seed0")
    printed = run("--method", tmp_path / "uneven")
    assert "seeds differ between the tasks: task1 2, task2 2, task3 1, task4 2" in printed.out
    (path,) = (tmp_path / "results").glob(f"*/*/{METHOD_NAME}")
    result = MethodResult.load(path.parent).result
    assert result.seeds["task3"].numbers["score"].standard_deviation is None
    assert result.overall is None
    assert result.overall_score is not None
    own = results_of(path.parent)["task3/seed1"].tasks["task3"]
    assert result.tasks["task3"] == own


def test_models_named_one_by_one_are_a_method_too(run, trained, tmp_path):
    models = [f"task1={trained}/task1/seed1", f"task2={trained}/task2/seed0", f"task2={trained}/task2/seed1"]
    options = [word for model in models for word in ("--model", model)]
    document = json.loads(run(*options, "--name", "mine", "--json").out)
    assert document["result"]["model"]["id"] == "mine"
    assert [(each["task"], each["seed"]) for each in document["members"]] == [
        ("task1", None),
        ("task2", 0),
        ("task2", 1),
    ]
    assert list((tmp_path / "results" / "mine").iterdir())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--model", "task1=zero", "--model", "mmff94"), "--model mmff94 together with --model TASK=MODEL"),
        (("--model", "task1=zero", "--model", "task1=zero"), "task1=zero is given twice"),
        (("--model", "task9=zero"), "unknown task 'task9'; known tasks: task1 task2 task3 task4"),
        (("--model", "task1=zero", "--trained-on", "task1"), "--trained-on task1 with the models of a method"),
        (("--model", "zero", "--name", "x"), "--name x without --model TASK=MODEL"),
        (("--model", "task1=zero", "--name", " "), "--name ' '; expected one line"),
        (("--method", ".", "--name", "x"), "--name x with --method"),
        (("--method", "no such folder"), "is neither a local folder nor a repo on the Hub"),
        (("--method", ".", "--protocol", "fine-tuned"), "--protocol fine-tuned without --base"),
    ],
)
def test_contradictions_are_refused(run, arguments, message, tmp_path, monkeypatch, trained):
    monkeypatch.chdir(trained)
    assert message in run(*arguments, code=2).err
    assert not (tmp_path / "results").exists()


def test_a_method_or_models(run):
    for arguments in ((), ("--method", ".", "--model", "zero")):
        with pytest.raises(SystemExit, match="2"):
            run(*arguments)


def test_controls_may_stand_for_a_method(run):
    document = json.loads(run(*(word for task in TASKS for word in ("--model", f"{task}=zero")), "--json").out)
    assert document["result"]["overall_score"] == 0.0


PAIRS = """
from ase.calculators.lj import LennardJones

def steady(path, device):
    return LennardJones(rc=6.0)
"""


@pytest.fixture
def own_pairs(tmp_path, monkeypatch):
    """A module with a calculator, in the working directory."""
    Path(tmp_path, "own_pairs.py").write_text(PAIRS)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    yield
    sys.modules.pop("own_pairs", None)


# Once here and once in workers, so that both ways of computing are taken.
@pytest.mark.parametrize(("names", "isolation"), [(("one", "other"), "never"), (("./one.npz", "./other.npz"), "auto")])
@pytest.mark.usefixtures("own_pairs")
def test_models_of_one_calculator_may_be_a_method(run, names, isolation):
    for name in ("one", "other"):
        Path(f"{name}.npz").write_text(name)
    models = [word for task, name in zip(TASKS, names, strict=False) for word in ("--model", f"{task}={name}")]
    how = ("--calculator", "own_pairs:steady", "--trust-checkpoint", "--protocol", "from-scratch")
    document = json.loads(run(*models, *how, "--isolation", isolation, "--json").out)
    assert [each["model"] for each in document["members"]] == list(names)


def test_members_are_one_model_if_all_weights_are_the_same(copied):
    member, other = members_of(copied)[:2]
    code, common = {"net": "c" * 64}, {"embedding.safetensors": "e" * 64}
    one, two = {"model.safetensors": "a" * 64}, {"model.safetensors": "b" * 64}
    for first, second in ((one | code, two | code), (one | common, two | common), (code, code)):
        mean_result("x", [with_files(member, first), with_files(other, second)], member.result.created)
    with pytest.raises(UsageError, match="task1/seed0 and task1/seed1 of the method have the same weights"):
        mean_result(
            "x", [with_files(member, one | code), with_files(other, one | {"net": "d" * 64})], member.result.created
        )


def members_of(directory: Path) -> list[MeasuredMember]:
    method, results = MethodResult.load(directory), results_of(directory)
    return [MeasuredMember(each.task, each.seed, results[each.place]) for each in method.members]


def with_files(member: MeasuredMember, files: dict[str, str]) -> MeasuredMember:
    model = member.result.model.model_copy(update={"files": files})
    return replace(member, result=member.result.model_copy(update={"model": model}))


def test_a_model_in_the_folder_of_another_task_is_refused_before_anything_is_computed(run, trained, tmp_path):
    shutil.copytree(trained, tmp_path / "mixed")
    (tmp_path / "mixed/task4").rename(tmp_path / "mixed/other")
    shutil.copytree(trained / "task3", tmp_path / "mixed/task4")
    refused = run("--method", tmp_path / "mixed", code=2)
    assert "task4/seed0 of the method is" in refused.err
    assert "was trained on task3, not on task4" in refused.err
    assert not (tmp_path / "results").exists()


def test_one_model_is_not_two_seeds(run, trained, tmp_path):
    shutil.copytree(trained, tmp_path / "twice")
    (tmp_path / "twice/task1/seed2").symlink_to(tmp_path / "twice/task1/seed0")
    refused = run("--method", tmp_path / "twice", code=2)
    assert "task1/seed0 and task1/seed2 of the method have the same weights (sha256 " in refused.err


def test_two_checkpoints_in_a_folder_are_named(run, trained, tmp_path):
    shutil.copytree(trained, tmp_path / "two")
    shutil.rmtree(tmp_path / "two/task1/seed1")
    (tmp_path / "two/task1/seed0").rename(tmp_path / "two/task1/a")
    shutil.copytree(trained / "task1/seed1", tmp_path / "two/task1/b")
    refused = run("--method", tmp_path / "two", code=4)
    assert "task1 contains" in refused.err
    (tmp_path / "two/task1/a/model.safetensors").unlink()


def test_two_methods_are_compared_by_the_mean_errors_of_their_molecules(run, copied, trained, capsys):
    models = [word for task in TASKS for word in ("--model", f"{task}={trained}/{task}/seed1")]
    run(*models, "--name", "second")
    (other,) = copied.parents[1].glob(f"second/*/{METHOD_NAME}")
    capsys.readouterr()
    assert main(["compare", str(copied), str(other.parent), "--json"]) == 0
    documents = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [(each["task"], each["split"]) for each in documents] == [
        (task, split) for task in TASKS for split in ("test_id", "test_ood")
    ]
    runs = results_of(copied)
    for each in documents:
        rows = [
            [
                row
                for row in runs[f"{each['task']}/seed{seed}"].tasks[each["task"]].by_molecule
                if row.split == each["split"]
            ]
            for seed in (0, 1)
        ]
        atoms = np.array([row.n_atoms for row in rows[0]])
        one, two = (np.array([row.force_mae for row in of]) for of in rows)
        expected = np.average(two - (one + two) / 2.0, weights=atoms)
        assert each["force_mae_difference"]["value"] == pytest.approx(expected, rel=1e-9)
        assert each["compared_with"].endswith("painn")


def test_a_damaged_file_is_named(copied):
    path = copied / METHOD_NAME
    content = json.loads(path.read_text())
    changes = [
        ("no JSON", "is not a result of a method"),
        (json.dumps(content | {"members": []}), "members"),
        (json.dumps(content | {"members": content["members"][1:]}), "the members do not match the tasks and seeds"),
        (json.dumps(content | {"schema": "mlip-ood-method-result/2"}), "schema"),
        (json.dumps(content | {"extra": 1}), "extra"),
    ]
    for text, message in changes:
        path.write_text(text)
        with pytest.raises(DataError, match=message):
            load_method(copied)
    away = [each | {"run": "/etc"} for each in content["members"]]
    path.write_text(json.dumps(content | {"members": away}))
    with pytest.raises(DataError, match="expected a relative path"):
        load_method(copied)
    with pytest.raises(DataError, match="cannot read"):
        load_method(copied / "absent")


@pytest.mark.parametrize("intervals", [False, True])
@pytest.mark.parametrize("width", [40, 80, 200])
def test_the_table_fits_the_terminal(measured, width, intervals):
    from rich.console import Console

    from harness.method.table import method_table
    from harness.report.view import View

    result = MethodResult.load(measured).result
    terminal = Console(width=width)
    with terminal.capture() as captured:
        terminal.print(
            method_table(MethodResult.load(measured), {"task1": 0.95}, View(width, intervals)), soft_wrap=True
        )
    lines = captured.get().splitlines()
    # Paths are never broken, and a method of several seeds has numbers wider than 40 columns.
    limit = max(width, 55)
    assert [line for line in lines if len(line) > limit and "/" not in line] == []
    table = lines[: next(number for number, line in enumerate(lines) if line.startswith("ID, OOD"))]
    assert sum(line.count("±") for line in table) >= 8
    gap, spread = result.tasks["task1"].gap.value, result.seeds["task1"].numbers["gap"].standard_deviation
    assert f"{gap:.2f} ± {spread:.2f}" in "\n".join(table)
    assert ("fragment duplication" in "\n".join(table)) == (width == 200)
