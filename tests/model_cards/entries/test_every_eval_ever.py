"""Records for Every Eval Ever, validated by the package's own schema and checks."""

import importlib
import json
import os
import sys
from pathlib import Path

import pytest

from dataset_builders.core.errors import UsageError
from dataset_builders.core.units import MILLI
from harness import cli
from model_cards.entries.every_eval_ever import Evaluator, evaluation_record, write_record
from tests.harness.results.test_lowered_precision import MEASURED

EVALUATOR = Evaluator("A group")
VERSION = "0.3.0"


@pytest.fixture(scope="module")
def validator():
    """The validator of the package: it asks for Python 3.12, so its wheel is read without installing it."""
    wheels = [*Path(os.environ.get("MLIP_OOD_ENVIRONMENTS", ".environments")).glob(f"every_eval_ever-{VERSION}-*.whl")]
    if not wheels:
        pytest.skip("needs the wheel of every-eval-ever, which `make pytest` downloads")
    sys.path.insert(0, str(wheels[0]))
    try:
        yield importlib.import_module("every_eval_ever.validator.validation_core")
    finally:
        sys.path.remove(str(wheels[0]))


@pytest.mark.parametrize("on_the_hub", [True, False], ids=["Hub", "local"])
def test_records_pass_the_validation_of_the_collection(validator, make_result, tmp_path, on_the_hub):
    result = make_result("task1", "task2", "task3", "task4")
    if not on_the_hub:
        result = make_result(
            "task2",
            model={"id": "/home/somebody/secret/mine.model", "revision": None},
            revision=None,
            dataset={"id": "/home/somebody/data", "revision": None},
        )
    path = write_record(result, EVALUATOR, tmp_path)
    where = path.relative_to(tmp_path).as_posix()
    report = validator.validate_file(path, repo_path=where, run_semantic_checks=True)
    assert report.valid, report.errors
    assert "somebody" not in path.read_text()


def test_numbers_have_their_direction_unit_and_interval(make_result):
    result = make_result("task1", "task2", "task3", "task4")
    record = evaluation_record(result, EVALUATOR)
    found = {each["evaluation_result_id"]: each for each in record["evaluation_results"]}
    assert len(found) == 25
    task = result.tasks["task2"]
    score, error = found["task2_score"], found["task2_ood_force_mae"]
    assert (score["metric_config"]["lower_is_better"], error["metric_config"]["lower_is_better"]) == (False, True)
    assert score["metric_config"]["max_score"] == 100.0
    assert error["metric_config"]["metric_unit"] == "meV/Å"
    assert score["score_details"]["score"] == task.score.value
    estimate = task.splits["test_ood"].metrics["force_mae"]
    assert error["score_details"]["score"] == pytest.approx(estimate.value / MILLI, rel=1e-15)
    interval = error["score_details"]["uncertainty"]["confidence_interval"]
    assert (interval["lower"], interval["upper"]) == pytest.approx((estimate.low / MILLI, estimate.high / MILLI))
    assert interval["confidence_level"] == 0.95
    assert found["overall_score"]["score_details"]["score"] == result.overall_score
    assert error["source_data"]["hf_repo"] == "compgen/mlip-ood"
    assert error["source_data"]["additional_details"]["edition"] == "standard"
    assert record["model_info"]["additional_details"]["protocol"] == result.model.protocol


def test_what_a_lower_precision_changes_is_a_detail_of_the_model(make_result):
    result = make_result(model={"dtype": "float32", "lowered_precision": MEASURED})
    details = evaluation_record(result, EVALUATOR)["model_info"]["additional_details"]
    assert (details["precision"], details["effect of the precision"]) == ("float32", MEASURED.text)
    unchanged = evaluation_record(make_result(), EVALUATOR)["model_info"]["additional_details"]
    assert "effect of the precision" not in unchanged


def test_fewer_than_four_tasks_have_no_overall_score(make_result):
    record = evaluation_record(make_result("task2"), EVALUATOR)
    assert all(each["evaluation_result_id"].startswith("task2_") for each in record["evaluation_results"])


def test_the_same_result_gives_the_same_file(make_result, tmp_path):
    result = make_result("task2")
    assert write_record(result, EVALUATOR, tmp_path) == write_record(result, EVALUATOR, tmp_path)
    assert len([*tmp_path.rglob("*.json")]) == 1
    write_record(result, Evaluator("Another group"), tmp_path)
    assert len([*tmp_path.rglob("*.json")]) == 2


def test_the_command_writes_each_run(make_result, tmp_path, capsys):
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        make_result("task2", model={"id": f"ann/{name}"}).save(tmp_path / name / "result.json")
    words = ["every-eval-ever", str(tmp_path / "one"), str(tmp_path / "two"), "--organization", "A group"]
    assert cli.main([*words, "--out", str(tmp_path / "eee"), "--relationship", "first_party"]) == 0
    paths = capsys.readouterr().out.split()
    assert [Path(path).parent.relative_to(tmp_path).as_posix() for path in paths] == [
        "eee/data/mlip-ood/ann/one",
        "eee/data/mlip-ood/ann/two",
    ]
    record = json.loads(Path(paths[0]).read_text())
    assert record["source_metadata"]["evaluator_relationship"] == "first_party"


@pytest.mark.parametrize("name", ["", "  ", "two\nlines"])
def test_an_evaluator_without_a_name_is_refused(name):
    with pytest.raises(UsageError, match="name of the evaluator"):
        Evaluator(name)


@pytest.mark.parametrize(
    ("model", "revision", "place"),
    [
        ("mdir/", None, "local/mdir"),
        ("/models/v2@best.model", None, "local/v2@best.model"),
        ("zero", None, "local/zero"),
        ("org/name@main/last.model", "a" * 40, "org/name"),
    ],
)
def test_a_model_has_a_developer_and_a_name(make_result, model, revision, place):
    result = make_result(model={"id": model, "revision": revision})
    assert evaluation_record(result, EVALUATOR)["model_info"]["id"] == place


@pytest.mark.parametrize("model", ["nodir/..", ".", "/"])
def test_a_model_without_a_name_has_no_place(make_result, tmp_path, model):
    with pytest.raises(UsageError, match=r"has no name for its record; evaluate it by a path that ends in the name"):
        write_record(make_result(model={"id": model, "revision": None}), EVALUATOR, tmp_path)
    assert list(tmp_path.iterdir()) == []
