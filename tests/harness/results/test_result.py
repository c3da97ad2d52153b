import json
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest
from pydantic import ValidationError

from dataset_builders.core.errors import DataError, SetupError
from dataset_builders.tasks.regions import TASKS, TaskName
from harness.results.result import (
    DatasetRecord,
    EnvironmentRecord,
    Estimate,
    Failure,
    ModelRecord,
    RunResult,
    SettingsRecord,
    TaskResult,
    overall_score,
)
from harness.scoring.intervals import IntervalSettings
from tests.harness.frame_tables import evaluate_frames, make_task

HASH = "0123456789abcdef" * 4


@pytest.fixture(scope="module")
def tasks() -> dict[TaskName, TaskResult]:
    settings = IntervalSettings()
    return {name: evaluate_frames(make_task(name, seed, frames_each=2), settings) for seed, name in enumerate(TASKS)}


def result_of(tasks: dict[TaskName, TaskResult], created: datetime = datetime(2026, 8, 1, 12, tzinfo=UTC)) -> RunResult:
    return RunResult.of(
        model=ModelRecord(
            id="org/model",
            family="mace",
            revision=None,
            files={"b.model": HASH, "a.json": HASH},
            protocol="zero-shot",
            trained_on=None,
            dtype="float64",
            device="cpu",
            level_of_theory=None,
            elements=(1, 6),
            conservative=True,
        ),
        dataset=DatasetRecord(id="mini", revision=None, content_hash=HASH, edition="mini", level_of_theory="GFN2-xTB"),
        environment=EnvironmentRecord(python="3.11", platform="Linux", packages={"numpy": "2"}, code_hash=HASH),
        settings=SettingsRecord(batch_atoms=4096, confidence=0.95),
        created=created,
        tasks=tasks,
    )


def failed(task: TaskResult) -> TaskResult:
    failure = Failure(split="test_id", molecule_id="OH-2-H", trajectory="secondary", frame=7, cause="no convergence")
    none = Estimate(value=None, low=None, high=None, unit="1", reason="a frame failed")
    return task.model_copy(update={"failures": (failure,), "n_failed": 1, "score": none})


def test_what_is_saved_is_loaded(tasks: dict[TaskName, TaskResult], tmp_path: Path) -> None:
    result = result_of(tasks)
    path = tmp_path / "new" / "result.json"
    result.save(path)
    assert RunResult.load(path) == result
    assert [entry.name for entry in path.parent.iterdir()] == ["result.json"]


def test_file_is_plain_json_in_a_stable_order(tasks: dict[TaskName, TaskResult], tmp_path: Path) -> None:
    paths = [tmp_path / "first.json", tmp_path / "second.json"]
    result_of(tasks).save(paths[0])
    result_of(dict(reversed(tasks.items()))).save(paths[1])
    text = paths[0].read_text(encoding="utf-8")
    assert text == paths[1].read_text(encoding="utf-8")
    assert text.endswith("}\n")
    assert "NaN" not in text
    assert "Infinity" not in text
    document = json.loads(text)
    assert list(document) == sorted(document)
    assert document["created"] == "2026-08-01T12:00:00Z"
    assert document["schema_version"] == "2.1"


def test_failed_save_leaves_the_old_file(tasks: dict[TaskName, TaskResult], tmp_path: Path) -> None:
    (tmp_path / "file").write_text("old")
    with pytest.raises(SetupError, match="cannot write the result"):
        result_of(tasks).save(tmp_path / "file" / "result.json")
    target = tmp_path / "folder"
    target.mkdir()
    with pytest.raises(SetupError, match="cannot write the result"):
        result_of(tasks).save(target)
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["file", "folder"]


def test_overall_score_is_the_mean_of_four(tasks: dict[TaskName, TaskResult]) -> None:
    result = result_of(tasks)
    scores = [task.score.value for task in tasks.values()]
    assert None not in scores
    assert result.complete
    assert result.overall_score == pytest.approx(sum(score for score in scores if score is not None) / 4.0)


def test_no_overall_score_without_all_four_tasks(tasks: dict[TaskName, TaskResult]) -> None:
    result = result_of({"task1": tasks["task1"]})
    assert (result.overall_score, result.complete) == (None, False)


def test_no_overall_score_with_a_failure(tasks: dict[TaskName, TaskResult]) -> None:
    result = result_of({**tasks, "task2": failed(tasks["task2"])})
    assert (result.overall_score, result.complete) == (None, False)


def test_a_task_of_ones_own_is_no_part_of_the_overall_score(tasks: dict[TaskName, TaskResult], tmp_path: Path) -> None:
    own = evaluate_frames(make_task("ethers", 9, frames_each=2), IntervalSettings(), "ether meets alkene")
    for each in (own, failed(own)):
        result = result_of({**tasks, "ethers": each})
        assert (result.overall_score, result.complete) == (result_of(tasks).overall_score, True)
    result.save(tmp_path / "result.json")
    assert RunResult.load(tmp_path / "result.json").tasks["ethers"].title == "ether meets alkene"
    assert result_of({"ethers": own}).overall_score is None


def test_a_result_of_before_there_were_titles_is_read(tasks: dict[TaskName, TaskResult], tmp_path: Path) -> None:
    path = tmp_path / "result.json"
    result_of(tasks).save(path)
    document = json.loads(path.read_text())
    for task in document["tasks"].values():
        del task["title"]
    path.write_text(json.dumps(document))
    assert RunResult.load(path) == result_of(tasks)


def test_no_overall_score_where_one_is_undefined(tasks: dict[TaskName, TaskResult]) -> None:
    none = Estimate(value=None, low=None, high=None, unit="1", reason="because")
    assert overall_score({**tasks, "task2": tasks["task2"].model_copy(update={"score": none})}) is None


def test_task_with_failures_and_a_score_is_refused(tasks: dict[TaskName, TaskResult]) -> None:
    document = failed(tasks["task1"]).model_dump() | {"score": tasks["task1"].score.model_dump()}
    with pytest.raises(ValidationError, match="a task with failures has no score"):
        TaskResult.model_validate(document)
    with pytest.raises(ValidationError, match="n_failed is 2, but 1 failures are listed"):
        TaskResult.model_validate(failed(tasks["task1"]).model_dump() | {"n_failed": 2})


def test_result_that_contradicts_its_tasks_is_refused(tasks: dict[TaskName, TaskResult]) -> None:
    document = result_of(tasks).model_dump()
    with pytest.raises(ValidationError, match=r"overall_score is 99\.0"):
        RunResult.model_validate(document | {"overall_score": 99.0})
    with pytest.raises(ValidationError, match="overall_score is None"):
        RunResult.model_validate(document | {"overall_score": None})
    with pytest.raises(ValidationError, match="complete is False"):
        RunResult.model_validate(document | {"complete": False})
    with pytest.raises(ValidationError, match="result of task1 is listed under the name task2"):
        result_of({"task2": tasks["task1"]})
    with pytest.raises(ValidationError, match="expected UTC"):
        result_of(tasks, datetime(2026, 8, 1, tzinfo=timezone(timedelta(hours=2))))


@pytest.mark.parametrize(
    ("value", "low", "high", "reason", "message"),
    [
        (1.0, 0.5, None, None, "both ends or none"),
        (1.0, 2.0, 1.5, None, "ends in the wrong order"),
        (None, 0.5, 1.5, None, "undefined number has no interval"),
        (None, None, None, None, "a reason is required"),
        (1.0, 0.5, 1.5, "because", "a reason is required"),
        (float("nan"), None, None, "because", "finite number"),
        (1.0, 0.5, float("inf"), None, "finite number"),
    ],
)
def test_unexplained_or_impossible_estimate_is_refused(
    value: float | None, low: float | None, high: float | None, reason: str | None, message: str
) -> None:
    with pytest.raises(ValidationError, match=message):
        Estimate(value=value, low=low, high=high, unit="eV", reason=reason)


def test_records_are_frozen_and_closed(tasks: dict[TaskName, TaskResult]) -> None:
    with pytest.raises(ValidationError, match="frozen"):
        result_of(tasks).complete = False
    with pytest.raises(ValidationError, match="Extra inputs are not permitted"):
        DatasetRecord.model_validate(
            {"id": "a", "revision": None, "content_hash": HASH, "edition": "mini", "level_of_theory": "x", "more": 1}
        )


def spoil(path: Path, tasks: dict[TaskName, TaskResult], **changes: object) -> Path:
    result_of(tasks).save(path)
    path.write_text(json.dumps(json.loads(path.read_text(encoding="utf-8")) | changes), encoding="utf-8")
    return path


def test_unusable_files_are_refused(tasks: dict[TaskName, TaskResult], tmp_path: Path) -> None:
    path = tmp_path / "result.json"
    with pytest.raises(DataError, match="cannot read the result"):
        RunResult.load(path)
    path.write_text('{"schema_version": ')
    with pytest.raises(DataError, match="cannot read the result"):
        RunResult.load(path)
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(DataError, match="cannot read the result"):
        RunResult.load(path)
    path.write_text("[1, 2]")
    with pytest.raises(DataError, match="schema version None"):
        RunResult.load(path)
    with pytest.raises(DataError, match=r"schema version '3\.0'; this version of the harness reads '2\.1'"):
        RunResult.load(spoil(path, tasks, schema_version="3.0"))
    former = r"1\.0, whose intervals are of an earlier kind .* `python -m harness report .*` recomputes it"
    with pytest.raises(DataError, match=former):
        RunResult.load(spoil(path, tasks, schema_version="1.0"))
    with pytest.raises(DataError, match="not a result of schema 2"):
        RunResult.load(spoil(path, tasks, surprise=1))
    with pytest.raises(DataError, match="not a result of schema 2"):
        RunResult.load(spoil(path, tasks, overall_score=float("nan")))
    odd = ((["2.1"], r"\['2\.1'\]"), ({}, r"\{\}"), ("x" * 90_000, "'x{60}…'"), (10**4000, "an integer of"))
    for version, shown in odd:
        with pytest.raises(DataError, match=f"schema version {shown}"):
            RunResult.load(spoil(path, tasks, schema_version=version))
    for text in ("[" * 100_000, '{"a": ' + "9" * 5000 + "}", '{"schema_version": "\\ud800"}'):
        path.write_text(text)
        with pytest.raises(DataError, match="cannot read the result"):
            RunResult.load(path)


def test_a_result_without_what_every_table_shows_is_refused(tasks: dict[TaskName, TaskResult], tmp_path: Path) -> None:
    """Both test splits, with the metrics that tables name; and the message is one line, however long a key."""
    path = tmp_path / "result.json"
    for spoiler, said in (
        (lambda task: task["splits"].pop("test_id"), "task1 lacks the split test_id"),
        (lambda task: task["splits"]["test_ood"]["metrics"].pop("force_mae"), "it lacks the metric force_mae"),
        (lambda task: task.update({"y" * 70_000: 1}), "y+…: unknown key; expected a file that the harness wrote"),
    ):
        result_of(tasks).save(path)
        document = json.loads(path.read_text())
        spoiler(document["tasks"]["task1"])
        path.write_text(json.dumps(document))
        with pytest.raises(DataError, match=said) as refused:
            RunResult.load(path)
        assert len(str(refused.value)) < 1000
        assert "\n" not in str(refused.value)


def test_a_result_written_before_failures_were_counted_by_split_loads(
    tasks: dict[TaskName, TaskResult], tmp_path: Path
) -> None:
    old = failed(tasks["task2"])
    assert old.gap.value is not None
    document = result_of({**tasks, "task2": old}).model_dump(mode="json")
    for task in document["tasks"].values():
        for row in (*task["splits"].values(), *task["by_molecule"]):
            del row["n_failed"]
    path = tmp_path / "result.json"
    path.write_text(json.dumps(document), encoding="utf-8")
    found = RunResult.load(path).tasks["task2"]
    assert {part: found.n_failed_in(part) for part in found.splits} == dict.fromkeys(found.splits, 0) | {"test_id": 1}
    assert found.comparable_gap.value is None
    assert "1 of test_id, 0 of test_ood" in (found.comparable_gap.reason or "")
    assert RunResult.load(path).tasks["task1"].comparable_gap == tasks["task1"].gap
