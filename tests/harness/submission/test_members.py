"""Entries of several runs: one model a task, or the members of a method."""

import hashlib
import json
import os
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from dataset_builders.core.errors import DataError, UsageError
from harness.evaluation.run import FinishedRun
from harness.method.assemble import MeasuredMember, mean_result
from harness.method.document import MethodMember, MethodResult
from harness.models.training_declaration import Statement
from harness.results.result import RunResult
from harness.submission.findings import EntryReport
from harness.submission.members import member_directory, method_members
from harness.submission.verify import verify_entry
from harness.submission.write import EntryOptions, write_entry
from tests.harness.submission.forging import edit, evaluated, reseal


@pytest.fixture(scope="module")
def seeds(tiny_dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> list[FinishedRun]:
    """Two seeds of task1 and one model of task4."""
    folder = tmp_path_factory.mktemp("seeds")
    runs = []
    for name, task in (("a", "task1"), ("b", "task1"), ("c", "task4")):
        checkpoint = folder / f"{name}.model"
        checkpoint.write_bytes(name.encode())
        runs.append(evaluated(checkpoint, None, tiny_dataset, folder / "out", Statement(task)))
    return runs


def method_of(runs: list[FinishedRun], directory: Path) -> Path:
    """A folder with the `method.json` of some runs, which names their folders relative to itself."""
    directory.mkdir()
    tasks = [next(iter(run.result.tasks)) for run in runs]
    counts = [tasks[:number].count(task) for number, task in enumerate(tasks)]
    members = tuple(
        MethodMember(
            task=task,
            seed=seed,
            model=run.result.model.id,
            family=run.result.model.family,
            run=os.path.relpath(run.directory, directory),
            result_sha256=hashlib.sha256((run.directory / "result.json").read_bytes()).hexdigest(),
        )
        for run, task, seed in zip(runs, tasks, counts, strict=True)
    )
    measured = [MeasuredMember(task, seed, run.result) for run, task, seed in zip(runs, tasks, counts, strict=True)]
    MethodResult(members=members, result=mean_result("method", measured, datetime.now(UTC))).save(directory)
    return directory


def options(dataset: Path) -> EntryOptions:
    return EntryOptions(name="method", datasets=(str(dataset),))


def faults(report: EntryReport) -> str:
    return "\n".join(fault.text for fault in report.faults)


def test_one_model_a_task_makes_one_entry(seeds: list[FinishedRun], tiny_dataset: Path, tmp_path: Path) -> None:
    runs = [seeds[0].directory, seeds[2].directory]
    written = write_entry(runs, tmp_path, options(tiny_dataset))
    assert {task for run in written.report.runs for task in run.result.tasks} == {"task1", "task4"}
    assert written.directory.name == write_entry(runs[::-1], tmp_path, options(tiny_dataset)).directory.name
    assert [path.name for path in tmp_path.iterdir()] == [written.directory.name]


def test_a_task_that_is_there_twice_needs_a_method(
    seeds: list[FinishedRun], tiny_dataset: Path, tmp_path: Path
) -> None:
    runs = [run.directory for run in seeds]
    with pytest.raises(DataError, match=r"task1 occurs 2 times, without a method\.json"):
        write_entry(runs, tmp_path / "entries", options(tiny_dataset))
    assert not list((tmp_path / "entries").iterdir())
    with pytest.raises(UsageError, match=r"a method, which is an entry of its own; submit it separately"):
        write_entry([method_of(seeds, tmp_path / "m"), runs[0]], tmp_path / "entries", options(tiny_dataset))


def test_a_method_is_one_entry(seeds: list[FinishedRun], tiny_dataset: Path, tmp_path: Path) -> None:
    written = write_entry([method_of(seeds, tmp_path / "m")], tmp_path / "entries", options(tiny_dataset))
    assert len(written.report.runs) == 3
    said = "\n".join(finding.text for finding in written.report.findings)
    assert "the 3 runs are the members that method.json names, by the sha256 of their results" in said
    assert "every mean of method.json equals the one computed from the runs of the entry, to the last bit" in said
    members = json.loads((written.directory / "method.json").read_text())["members"]
    for member in members:
        assert RunResult.load(written.directory / member["run"] / "result.json").complete is False


@pytest.fixture
def method_entry(seeds: list[FinishedRun], tiny_dataset: Path, tmp_path: Path) -> Path:
    return write_entry([method_of(seeds, tmp_path / "m")], tmp_path / "entries", options(tiny_dataset)).directory


CHANGES = {
    "other mean": (
        lambda document: document["result"]["tasks"]["task1"]["score"].update(value=99.0),
        r"values of method\.json differ from those computed from the runs of the entry, first .*score",
    ),
    "other model": (
        lambda document: document["members"][0].update(model="org/other"),
        "calls its member task1/seed0 .*org/other",
    ),
    "one less": (
        lambda document: document["members"].pop() and None,
        "the 2 members of method.json are not the 3 runs",
    ),
    "one twice": (lambda document: document["members"].append(document["members"][0]), "the 4 members of"),
    "elsewhere": (lambda document: document["members"][0].update(run="../../x"), r"first \.\./\.\./x"),
    "other result": (lambda document: document["members"][0].update(result_sha256="0" * 64), "are not the 3 runs"),
    "no members": (lambda document: document.update(members=[]), "method.json lists no members"),
    "no hash": (lambda document: document["members"][0].pop("result_sha256") and None, "without run and result_sha256"),
    "a list": (lambda document: [document], "method.json lists no members"),
}


@pytest.mark.parametrize(("change", "match"), CHANGES.values(), ids=CHANGES)
def test_the_members_are_the_runs(method_entry: Path, tiny_dataset: Path, change: Any, match: str) -> None:
    edit(method_entry / "method.json", change)
    reseal(method_entry)
    assert re.search(match, faults(verify_entry(method_entry, [str(tiny_dataset)])))


def test_a_method_in_which_a_key_stands_twice_is_refused(method_entry: Path, tiny_dataset: Path) -> None:
    path = method_entry / "method.json"
    path.write_text(path.read_text().replace('"schema"', '"schema": "other/1", "schema"', 1))
    reseal(method_entry)
    assert "method.json cannot be read: the key schema occurs twice" in faults(
        verify_entry(method_entry, [str(tiny_dataset)])
    )


def test_one_checkpoint_is_no_two_seeds(seeds: list[FinishedRun], tiny_dataset: Path, tmp_path: Path) -> None:
    checkpoint = tmp_path / "a.model"
    checkpoint.write_bytes(b"a")
    again = evaluated(checkpoint, None, tiny_dataset, tmp_path / "out", Statement("task1"), dtype="float32")
    with pytest.raises(UsageError, match="task1/seed0 and task1/seed1 of the method have the same weights"):
        method_of([seeds[0], again], tmp_path / "m")
    runs = [seeds[0].directory, again.directory]
    with pytest.raises(DataError, match="task1 occurs 2 times with the same checkpoint; expected once"):
        write_entry(runs, tmp_path / "entries", options(tiny_dataset))


def test_protocols_are_never_mixed(seeds: list[FinishedRun], tiny_dataset: Path, tmp_path: Path) -> None:
    checkpoint = tmp_path / "z.model"
    checkpoint.write_bytes(b"z")
    tuned = evaluated(checkpoint, None, tiny_dataset, tmp_path / "out", Statement("task4", "fine-tuned", "org/base"))
    with pytest.raises(
        DataError, match=r"its runs have several protocols \(fine-tuned, from-scratch\); an entry never mixes them"
    ):
        write_entry([seeds[0].directory, tuned.directory], tmp_path / "entries", options(tiny_dataset))


def test_a_result_that_is_not_the_one_of_the_method_is_not_written(
    seeds: list[FinishedRun], tiny_dataset: Path, tmp_path: Path
) -> None:
    method = method_of(seeds, tmp_path / "m")
    edit(method / "method.json", lambda document: document["members"][1].update(result_sha256="1" * 64))
    with pytest.raises(DataError, match="with sha256 111111111111, but that file now has"):
        write_entry([method], tmp_path / "entries", options(tiny_dataset))


@pytest.mark.parametrize("run", ["/etc", "a\\b", "a\0b"])
def test_members_are_named_by_relative_paths(run: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="expected a relative path"):
        member_directory(run, tmp_path)


def test_members_are_read_from_any_method() -> None:
    content = b'{"members": [{"run": "../a", "result_sha256": "00", "seed": 1}], "other": 1}'
    assert method_members(content, "method.json") == [("../a", "00")]
