"""What errors on training frames and gaps of controls say about a test."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from harness.data.dataset import open_dataset
from harness.evaluation.run import RunOptions, evaluate_again, evaluate_model
from harness.models.resolve import resolve_model
from harness.models.training_declaration import Statement
from harness.report.leak_cautions import cautions_of_evidence, errors_on_train, gaps_of_controls
from harness.report.table import footer
from harness.results.result import Estimate, RunResult, TaskResult
from harness.scoring.intervals import IntervalSettings
from harness.scoring.paired_frames import TaskFrames
from tests.harness.frame_tables import evaluate_frames, make_task
from tests.harness.results.test_result import result_of
from tests.harness.toy_potential import TRAITS, Harmonic

FEW = IntervalSettings()


def trained(frames: TaskFrames, error: float) -> TaskFrames:
    """The task of a model that was trained on it, with an error of its forces on training frames."""
    train = frames.train
    reference = np.ones((len(train.index.atomic_numbers), 3))
    train = replace(train, reference_forces=reference, predicted_forces=reference + error)
    return replace(frames, protocol="from-scratch", train=train)


def measured(error: float, ood_error: float = 0.2) -> TaskResult:
    return evaluate_frames(trained(make_task(ood_error=ood_error), error), FEW)


def with_gap(task: TaskResult, gap: float) -> TaskResult:
    number = Estimate(value=gap, low=None, high=None, unit="1", reason="by hand")
    return task.model_copy(update={"gap": number})


def of_model(task: TaskResult, **changes: object) -> RunResult:
    result = result_of({task.task: task})
    model = result.model.model_copy(update={"id": "m", "protocol": "from-scratch", "trained_on": task.task} | changes)
    return result.model_copy(update={"model": model})


def test_the_errors_on_training_frames_are_those_of_the_arrays() -> None:
    task = measured(0.03)
    assert task.train is not None
    assert task.train.force_mae.value == pytest.approx(0.03)
    assert (task.train.n_frames, task.train.n_failed) == (2 * task.train.n_molecules, 0)
    assert task.train.force_mae.unit == "eV/Å"
    assert errors_on_train(of_model(task)) == (
        f"force MAE of m on a sample of its training frames, meV/Å: task3 30.0 ({task.train.n_frames} frames)"
    )


def test_a_model_that_was_not_trained_on_the_task_has_none() -> None:
    frames = trained(make_task(), 0.03)
    task = evaluate_frames(replace(frames, protocol="zero-shot"), FEW)
    assert task.train is None
    assert errors_on_train(of_model(task)) is None


def test_failed_training_frames_leave_the_error_of_the_others_without_an_interval() -> None:
    frames = trained(make_task(), 0.03)
    spoilt = replace(frames, train=frames.train.without_failures({0: "no SCF"}))
    train = evaluate_frames(spoilt, FEW).train
    assert train is not None
    assert (train.n_failed, train.force_mae.low) == (1, None)
    assert train.force_mae.value == pytest.approx(0.03)


def test_better_on_ood_than_on_training_frames_is_said() -> None:
    assert cautions_of_evidence(of_model(measured(0.03)), {}) == []
    (caution,) = cautions_of_evidence(of_model(measured(0.5)), {})
    assert caution.startswith("m has a smaller error on OOD of task3 (")
    assert "meV/Å) than on its own training frames (500.0): it learned little, or OOD" in caution
    assert f"caution: {caution}" in footer([of_model(measured(0.5))])


@pytest.mark.parametrize(
    ("gap", "controls", "is_said"),
    [
        (0.97, (1.19, 1.5), True),
        (1.0, (1.19,), True),
        (1.03, (1.19, 1.5), False),
        (0.97, (1.19, 0.99), False),
        (0.97, (), False),
    ],
)
def test_ood_that_is_no_harder_than_id_is_said_where_it_is_for_controls(
    gap: float, controls: tuple[float, ...], is_said: bool
) -> None:
    result = of_model(with_gap(measured(0.03), gap))
    found = cautions_of_evidence(result, {"task3": controls})
    assert [each.startswith("OOD of task3 is not harder than ID for m (gap ") for each in found] == [True] * is_said
    assert cautions_of_evidence(of_model(with_gap(measured(0.03), gap), protocol="control"), {"task3": controls}) == []


def test_controls_are_those_that_compute_at_another_level() -> None:
    task = with_gap(measured(0.03), 1.4)
    known = {"protocol": "control", "trained_on": None, "level_of_theory": "MMFF94"}
    results = [of_model(task, family="mmff94", **known), of_model(task, family="zero", **known), of_model(task)]
    own = results[0].model_copy(update={"levels_agree": True})
    assert gaps_of_controls([*results, own], {"task3": 1.19, "task1": 0.95}) == {"task3": (1.19, 1.4), "task1": (0.95,)}


def test_a_run_keeps_the_errors_on_training_frames(
    tiny_dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    toy = Harmonic(replace(TRAITS, protocol="zero-shot"))
    monkeypatch.setattr("harness.worker.loading.load_potential", lambda model, options: toy)
    options = RunOptions(output=tmp_path, statement=Statement("task1"), quiet=True)
    run = evaluate_model(resolve_model("zero"), open_dataset(str(tiny_dataset)), options)
    assert run is not None
    train = RunResult.load(run.directory / "result.json").tasks["task1"].train
    assert train is not None
    # The first frame of each of five bursts of four molecules.
    assert (train.n_molecules, train.n_frames) == (4, 20)
    assert evaluate_again(run.directory).result.tasks["task1"].train == train


def test_a_result_of_before_there_were_errors_on_training_frames_is_read(tmp_path: Path) -> None:
    document = measured(0.03).model_dump(mode="json")
    del document["train"]
    assert TaskResult.model_validate_json(json.dumps(document)).train is None
