"""Labels of several levels of theory in one data set: which are taken, and that none are mixed."""

import json
import shutil
from dataclasses import replace
from io import StringIO
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from rich.console import Console

from dataset_builders.chemistry.levels import LEVELS, level_of_method
from dataset_builders.core.errors import DataError, MlipOodError, UsageError
from harness.cli import main
from harness.core.potential import PotentialTraits
from harness.data.dataset import PinnedDataset, open_dataset, open_levels
from harness.data.label_choice import labels_for, open_labels, tasks_without_labels
from harness.data.level_distances import distance_between
from harness.evaluation.run import FinishedRun, RunOptions, evaluate_again, evaluate_model
from harness.models.resolve import resolve_model
from harness.report.control_gaps import control_gaps
from harness.report.table import footer, report
from harness.report.view import View
from harness.results.result import RunResult
from tests.harness.small_dataset import METADATA, write_level, write_split
from tests.harness.toy_potential import TRAITS, Harmonic
from tests.loopback_hub import LoopbackHub

WB97X, PBE = LEVELS["wb97x"], LEVELS["pbe-d3bj"]
FOR_TESTS = {"train": 1, "validation": 0, "test_id": 4, "test_ood": 4}
WITHOUT_TRAIN = FOR_TESTS | {"train": 0}


@pytest.fixture(scope="module")
def levels(tiny_dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny data set, with a few frames at two more levels of theory: one task at wB97X, none to train on at PBE."""
    copy = Path(shutil.copytree(tiny_dataset, tmp_path_factory.mktemp("levels") / "data"))
    write_level(copy, WB97X, ["task1"], FOR_TESTS)
    return write_level(copy, PBE, ["task1", "task4"], WITHOUT_TRAIN)


@pytest.fixture
def own_levels(levels: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(levels, tmp_path / "own"))


def evaluated(
    monkeypatch: pytest.MonkeyPatch, datasets: tuple[PinnedDataset, ...], output: Path, **changes: object
) -> FinishedRun:
    traits: PotentialTraits = replace(TRAITS, **{"protocol": "zero-shot", **changes})
    monkeypatch.setattr("harness.worker.loading.load_potential", lambda model, options: Harmonic(traits))
    return evaluate_model(resolve_model("zero"), datasets, RunOptions(output=output, quiet=True))


def test_each_level_is_pinned_by_itself(levels: Path, tiny_dataset: Path) -> None:
    first, second, third = open_levels(str(levels))
    assert first.content_hash == open_dataset(str(tiny_dataset)).content_hash
    assert [each.level.name for each in (first, second, third)] == ["gfn2-xtb", "pbe-d3bj", "wb97x"]
    assert [each.level_of_theory for each in (first, second, third)] == ["MMFF94", PBE.method, WB97X.method]
    assert len({each.content_hash for each in (first, second, third)}) == 3
    assert third == open_dataset(str(levels), WB97X)
    assert (second.tasks, third.tasks) == (("task1", "task4"), ("task1",))
    assert third.left_out == {("task1", "validation")}
    assert ("task4", "train") in second.left_out


def test_the_mini_edition_keeps_its_content_hash() -> None:
    assert open_dataset("mini").content_hash.startswith("3e09dcfc984d")


def test_a_level_that_is_not_there_is_refused(levels: Path, tiny_dataset: Path, tmp_path: Path) -> None:
    message = r"has no labels of wb97m-d3bj \(wB97M-D3\(BJ\)/def2-TZVPPD\); its levels: gfn2-xtb pbe-d3bj wb97x"
    with pytest.raises(DataError, match=message):
        open_dataset(str(levels), LEVELS["wb97m-d3bj"])
    with pytest.raises(DataError, match=r"its levels: gfn2-xtb\. Use --labels gfn2-xtb, or make them with"):
        open_dataset(str(tiny_dataset), WB97X)
    with pytest.raises(DataError, match="is not a data-set folder: it contains none of task1"):
        open_levels(str(tmp_path))


def test_a_split_may_be_absent_only_if_the_files_say_so(own_levels: Path) -> None:
    next((own_levels / "task1-wb97x").glob("train-*")).unlink()
    with pytest.raises(DataError, match=r"task1-wb97x has no file train-\*\.parquet"):
        open_dataset(str(own_levels), WB97X)
    path = next((own_levels / "task1-pbe").glob("test_id-*"))
    said = METADATA | {"level_of_theory": {"method": PBE.method}}
    write_split(own_levels, "task1-pbe", "test_id", pq.read_table(path), said)
    with pytest.raises(DataError, match=r"disagree on the splits that are left out: .* states '[\w ]+', others state"):
        open_dataset(str(own_levels), PBE)


def test_labels_must_be_those_that_the_name_of_the_folder_promises(own_levels: Path) -> None:
    shutil.rmtree(own_levels / "task1-wb97x")
    (own_levels / "task1-pbe").rename(own_levels / "task1-wb97x")
    message = (
        r"states that its labels are PBE-D3\(BJ\)/def2-TZVP; expected wB97X/6-31G\(d\), according to -wb97x in the name"
    )
    with pytest.raises(DataError, match=message):
        open_dataset(str(own_levels), WB97X)


def test_an_evaluation_needs_both_test_splits(own_levels: Path, tmp_path: Path) -> None:
    write_level(own_levels, LEVELS["wb97m-d3bj"], ["task1"], FOR_TESTS | {"test_ood": 0})
    dataset = open_dataset(str(own_levels), LEVELS["wb97m-d3bj"])
    with pytest.raises(DataError, match=r"has no frames of test_ood of task1-wb97m, as its files state; an evaluation"):
        evaluate_model(resolve_model("zero"), dataset, RunOptions(output=tmp_path, quiet=True))


@pytest.mark.parametrize(
    ("level_of_theory", "tasks", "expected"),
    [
        (WB97X.method, (), "wb97x"),
        (WB97X.method, ("task1",), "wb97x"),
        (WB97X.method, ("task4",), "pbe-d3bj"),
        (PBE.method, (), "pbe-d3bj"),
        ("wB97M-D3(BJ)/def2-TZVPPD", ("task1",), "wb97x"),
        ("wB97M-D3(BJ)/def2-TZVPPD", ("task4",), "pbe-d3bj"),
        (PBE.method, ("task4",), "pbe-d3bj"),
        ("PBE", (), "gfn2-xtb"),
        ("wB97X/6-31G(d,p)", (), "gfn2-xtb"),
        (None, (), "gfn2-xtb"),
    ],
)
def test_labels_are_those_of_the_models_own_level_or_of_the_nearest(
    levels: Path, level_of_theory: str | None, tasks: tuple[str, ...], expected: str
) -> None:
    assert labels_for(level_of_theory, open_labels(str(levels), "auto"), tasks).level.name == expected


def test_tasks_that_a_choice_leaves_out_are_named(levels: Path) -> None:
    datasets = open_levels(str(levels))
    at_wb97x = labels_for(WB97X.method, datasets, ())
    assert tasks_without_labels(at_wb97x, datasets, ()) == ("task4",)
    assert tasks_without_labels(at_wb97x, datasets, ("task1",)) == ()
    assert tasks_without_labels(datasets[0], datasets, ()) == ()


def test_an_unknown_level_is_refused(levels: Path) -> None:
    with pytest.raises(UsageError, match="unknown level of theory 'ccsd'; known levels: gfn2-xtb pbe-d3bj"):
        open_labels(str(levels), "ccsd")


@pytest.mark.parametrize(
    ("text", "name"),
    [("wb97m-d3bj", "wb97m-d3bj"), ("WB97X/6-31g(d)", "wb97x"), ("wB97M-D3", None), ("wB97M-V/def2-TZVPD", None)],
)
def test_a_level_is_known_by_name_or_method(text: str, name: str | None) -> None:
    found = level_of_method(text)
    assert (None if found is None else found.name) == name


def test_a_result_at_another_level_says_so(levels: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = evaluated(monkeypatch, open_levels(str(levels)), tmp_path, level_of_theory=WB97X.method)
    result = RunResult.load(run.directory / "result.json")
    assert (result.dataset.suffix, result.dataset.level_of_theory) == ("wb97x", WB97X.method)
    assert (list(result.tasks), result.dataset.config("task1"), result.levels_agree) == (["task1"], "task1-wb97x", True)
    task = result.tasks["task1"]
    assert (task.splits["test_id"].n_frames, task.splits["test_ood"].n_frames) == (16, 8)
    assert task.reference_shift is not None
    assert task.reference_shift.n_frames == 4
    assert not any("caution" in line and "level" in line for line in footer([result]))
    assert evaluate_again(run.directory).result == result


def test_without_training_frames_what_needs_the_shift_says_why(
    levels: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    result = evaluated(monkeypatch, (open_dataset(str(levels), PBE),), tmp_path, level_of_theory=PBE.method).result
    for task in result.tasks.values():
        assert task.reference_shift is None
        for part in task.splits.values():
            assert part.metrics["energy_mae_per_atom"].value is None
            assert "holds no training frames at this level" in str(part.metrics["energy_mae_per_atom"].reason)
            assert part.metrics["centred_energy_mae"].value is not None
        assert task.score.value is not None


def test_differing_levels_are_reported_in_result_and_table(
    levels: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    datasets = open_levels(str(levels))
    only = (datasets[0],)
    differing = evaluated(monkeypatch, only, tmp_path / "a", level_of_theory="wB97M-D3(BJ)/def2-TZVPPD").result
    assert (differing.levels_agree, differing.dataset.suffix, differing.floor) == (False, "", None)
    lines = footer([differing])
    assert any("that of the labels MMFF94: every error" in line for line in lines)
    assert any("If the data set has such labels, select them with --labels wb97m-d3bj" in line for line in lines)
    unknown = evaluated(monkeypatch, datasets, tmp_path / "b", level_of_theory=None).result
    assert unknown.levels_agree is None
    assert any("If you know it, state it with --level-of-theory" in line for line in footer([unknown]))


def test_a_measured_distance_is_the_floor_of_result_and_table(
    levels: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    result = evaluated(monkeypatch, (open_dataset(str(levels), PBE),), tmp_path, level_of_theory=WB97X.method).result
    distance = distance_between(WB97X.method, PBE.method)
    assert distance is not None
    assert result.floor is not None
    assert (result.floor.test_id, result.floor.test_ood) == (distance.test_id.force_mae, distance.test_ood.force_mae)
    (line,) = (each for each in footer([result]) if "Floor" in each)
    known, unseen = distance.test_id, distance.test_ood
    errors = [f"{1e3 * each.force_mae:.1f}" for each in (known, unseen)]
    assert f"the forces of the two differ by {errors[0]} meV/Å on ID and {errors[1]} on OOD" in line
    assert f"({known.n_frames} and {unseen.n_frames} frames)" in line
    text = StringIO()
    Console(file=text, width=100).print(report([result], {}))
    row = next(line for line in text.getvalue().splitlines() if line.startswith("  floor"))
    assert row.split() == ["floor", *errors]
    control = evaluated(monkeypatch, (open_dataset(str(levels), PBE),), tmp_path / "c", level_of_theory=PBE.method)
    assert control.result.floor is None


def test_a_gap_of_the_control_counts_for_its_own_labels_only(
    levels: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    datasets = open_levels(str(levels))
    control = evaluated(monkeypatch, datasets[:1], tmp_path, model_id="gfn1-xtb", protocol="control").result
    assert control_gaps(datasets[0].content_hash, [control], None, tmp_path)
    assert control_gaps(datasets[1].content_hash, [control], None, tmp_path) == {}


def harness(dataset: Path, output: Path, *options: str) -> int:
    return main(["--dataset", str(dataset), "--output", str(output), "--quiet", *options])


def test_a_model_can_be_measured_at_a_level(levels: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert harness(levels, tmp_path, "--model", "mmff94", "--labels", "wb97x") == 0
    shown = capsys.readouterr().out
    assert f"labels {WB97X.method}" in " ".join(shown.split())
    assert "task4" not in shown
    assert main(["report", str(next(tmp_path.glob("mmff94/*"))), "--quiet"]) == 0
    assert capsys.readouterr().out.startswith(shown.rpartition("result:")[0])


def test_a_user_states_the_level_of_a_model(
    levels: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    traits = replace(TRAITS, protocol="zero-shot", level_of_theory=None)
    monkeypatch.setattr("harness.worker.loading.load_potential", lambda model, options: Harmonic(traits))
    stated = ("--level-of-theory", "wb97x", "--labels", "auto")
    assert harness(levels, tmp_path, "--model", "zero", *stated, "--json") == 0
    result = RunResult.model_validate_json(capsys.readouterr().out)
    assert (result.model.level_of_theory, result.model.level_is_stated) == (WB97X.method, True)
    assert (result.dataset.suffix, result.levels_agree) == ("wb97x", True)
    for view in (View(), View(provenance=True)):
        assert any("level of theory wB97X/6-31G(d) as stated" in line for line in footer([result], view=view))


def test_what_a_model_says_counts_more_than_what_the_user_says(
    levels: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    traits = replace(TRAITS, protocol="zero-shot", level_of_theory=PBE.method)
    monkeypatch.setattr("harness.worker.loading.load_potential", lambda model, options: Harmonic(traits))
    options = RunOptions(output=tmp_path, level_of_theory="wB97X", quiet=True)
    run = evaluate_model(resolve_model("zero"), open_levels(str(levels)), options)
    assert run is not None
    assert (run.result.model.level_of_theory, run.result.model.level_is_stated) == (PBE.method, False)
    assert "--level-of-theory wB97X is ignored for toy, which states PBE-D3(BJ)/def2-TZVP itself" in caplog.text


def test_models_on_different_labels_get_tables_of_their_own(
    levels: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    own = {"zero": None, "mmff94": WB97X.method}

    def load(model, options):  # type: ignore[no-untyped-def]
        return Harmonic(replace(TRAITS, protocol="zero-shot", level_of_theory=own[model.model_id]))

    monkeypatch.setattr("harness.worker.loading.load_potential", load)
    models = ("--model", "zero", "--model", "mmff94")
    assert harness(levels, tmp_path, *models, "--labels", "auto") == 0
    shown = capsys.readouterr().out
    assert shown.count("OOD/ID") == 2
    assert shown.split().count("content") == 2
    assert main(["compare", *models, "--labels", "auto", "--output", str(tmp_path)]) == 2
    assert "compare needs the same labels for all models" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--labels", "wb97m-d3bj"], "has no labels of wb97m-d3bj"),
        (["--labels", "wb97x", "--task", "task4"], "has no task4-wb97x; its tasks: task1-wb97x"),
        (["--level-of-theory", " "], "--level-of-theory is empty; expected a level such as gfn2-xtb"),
    ],
)
def test_what_cannot_be_had_is_explained(
    levels: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], options: list[str], message: str
) -> None:
    assert harness(levels, tmp_path, "--model", "zero", *options) in (2, 3)
    assert message in " ".join(capsys.readouterr().err.split())


def test_from_the_hub_only_the_files_of_the_level_are_fetched(hub: LoopbackHub, levels: Path) -> None:
    files = {path.relative_to(levels).as_posix(): path.read_bytes() for path in levels.rglob("*.parquet")}
    hub.add_repo("org/name", "dataset", {**files, "README.md": b"# Data\n"})
    pinned = open_dataset("org/name", WB97X)
    assert pinned.content_hash == open_dataset(str(levels), WB97X).content_hash
    assert sorted(path.name for path in pinned.directory.iterdir()) == ["README.md", "task1-wb97x"]
    assert [each.content_hash for each in open_levels("org/name")] == [
        each.content_hash for each in open_levels(str(levels))
    ]
    with pytest.raises(MlipOodError, match="has no labels of wb97m-d3bj"):
        open_dataset("org/name", LEVELS["wb97m-d3bj"])


def test_results_of_an_earlier_version_are_read(levels: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = evaluated(monkeypatch, (open_dataset(str(levels)),), tmp_path, level_of_theory="PBE")
    path = run.directory / "result.json"
    document = json.loads(path.read_text())
    del document["dataset"]["suffix"], document["levels_agree"], document["model"]["level_is_stated"]
    path.write_text(json.dumps(document))
    assert RunResult.load(path).dataset.config("task1") == "task1"
    path.write_text(json.dumps(document | {"levels_agree": True}))
    with pytest.raises(DataError, match="levels_agree is True, but the levels of theory give the opposite"):
        RunResult.load(path)


def test_a_model_is_trained_and_measured_at_a_level(own_levels: Path, tmp_path: Path) -> None:
    shutil.rmtree(own_levels / "task1-wb97x")
    write_level(own_levels, WB97X, ["task1"], {"train": 25, "validation": 5, "test_id": 2, "test_ood": 2})
    out = tmp_path / "additive"
    train = ["train", "--arch", "additive", "--task", "task1", "--dataset", str(own_levels), "--out", str(out)]
    assert main([*train, "--labels", "wb97x"]) == 0
    assert json.loads((out / "config.json").read_text())["level_of_theory"] == WB97X.method
    assert harness(own_levels, tmp_path, "--model", str(out), "--labels", "auto") == 0
    (path,) = tmp_path.glob("*additive/*/result.json")
    result = RunResult.load(path)
    assert (result.dataset.suffix, result.levels_agree, list(result.tasks)) == ("wb97x", True, ["task1"])


def test_training_says_which_split_was_left_out(
    levels: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    train = ["train", "--arch", "additive", "--task", "task1", "--dataset", str(levels), "--out", str(out)]
    assert main([*train, "--labels", "wb97x"]) == 3
    said = " ".join(capsys.readouterr().err.split())
    assert "task1-wb97x has no frames of validation, as its files state; training needs train and validation" in said
