"""A method on the Hub, as users go: published into one repo, evaluated, pushed, ranked as one line, and taken back."""

import json
import shutil

import pytest
import yaml

from dataset_builders.card.eval_yaml import eval_yaml
from dataset_builders.tasks.regions import TASKS
from harness.cli import main as harness
from harness.method.document import METHOD_NAME, MethodResult
from model_cards.cli import main as model_cards
from model_cards.entries.entries import entries_path
from model_cards.entries.notes import parse_notes

DATASET = "compgen/four"
ENTRIES = entries_path("tiny")
MODEL = "ann/painn"


@pytest.fixture
def published(hub, four_tasks, trained):
    """The data set and the method on the Hub, and ann logged in."""
    hub.add_user("ann", orgs={"compgen": "write"})
    hub.log_in("ann")
    files = {path.relative_to(four_tasks).as_posix(): path.read_bytes() for path in four_tasks.rglob("*.parquet")}
    hub.add_repo(DATASET, "dataset", files | {"eval.yaml": eval_yaml([*TASKS]).encode(), "README.md": b"# Data\n"})
    assert model_cards(["publish", str(trained), MODEL]) == 0
    return hub


@pytest.fixture
def run(tmp_path, capsys):
    def call(*arguments, code=0):
        capsys.readouterr()
        assert harness([*arguments]) == code
        return capsys.readouterr()

    return call


def test_a_method_of_four_checkpoints_and_two_seeds_is_one_entry(published, run, tmp_path):
    hub, output = published, tmp_path / "results"
    assert "evaluated together" in hub.files(MODEL, "model")["README.md"].decode()
    evaluate = ("--method", MODEL, "--dataset", DATASET, "--output", str(output), "--push", "--quiet")
    printed = run(*evaluate)
    assert "overall score" in " ".join(printed.out.split())
    (path,) = output.glob(f"*/*/{METHOD_NAME}")
    result = MethodResult.load(path.parent).result
    assert len(result.seeds) == len(TASKS)
    assert result.overall_score == pytest.approx(sum(result.tasks[name].score.value for name in TASKS) / 4)
    measured = hub.history(MODEL, "model")[1].sha
    assert result.model.revision == measured
    check_entries(hub, result)
    card = hub.files(MODEL, "model")["README.md"].decode()
    assert f"--method {MODEL}@{measured} --dataset {DATASET}@" in card
    assert card.count("| task |") == 2  # the models, and one table of results
    assert f"overall score {result.overall_score:.2f}, the mean of the four tasks" in card

    before = len(hub.history(MODEL, "model"))
    assert "unchanged" in run("--method", f"{MODEL}@{measured}", *evaluate[2:]).out
    assert "unchanged" in run("push", str(path.parent)).out
    assert len(hub.history(MODEL, "model")) == before
    check_leaderboard(run, result)

    assert "removed, task1" in run("retract", str(path.parent)).out
    files = hub.files(MODEL, "model")
    assert ENTRIES not in files
    assert "mlip-ood:begin" not in files["README.md"].decode()


def check_entries(hub, result):
    entries = yaml.safe_load(hub.files(MODEL, "model")[ENTRIES])
    published = {each["dataset"]["task_id"]: each for each in entries}
    assert list(published) == ["overall_score", *(f"{name}_score" for name in TASKS)]
    assert published["overall_score"]["value"] == pytest.approx(result.overall_score, abs=0.01)
    for name in TASKS:
        score = published[f"{name}_score"]
        assert score["value"] == round(result.tasks[name].score.value, 2)
        notes = parse_notes(score["notes"])
        gap, spread = result.tasks[name].gap.value, result.seeds[name].numbers["gap"].standard_deviation
        assert notes["gap"].startswith(f"{gap:.2f} ± {spread:.2f}")
        assert (notes["seeds"], notes["trained on"], notes["training"]) == ("2", name, "proved")
        deviation = result.seeds[name].numbers["score"].standard_deviation
        assert notes["standard deviation"] == f"{deviation:.2f}"
        assert notes["method"] == "task1 task2 task3 task4"


def check_leaderboard(run, result):
    board = json.loads(run("leaderboard", "--dataset", DATASET, "--json").out)
    (line,) = board["overall"]
    assert (line["rank"], line["model_id"], line["seeds"], line["status"]) == (1, MODEL, "2", "merged")
    assert line["score"] == pytest.approx(result.overall_score, abs=0.01)
    assert [len(rows) for rows in board["by_config"].values()] == [1, 1, 1, 1]
    assert not board["faults"]
    shown = run("leaderboard", "--dataset", DATASET).out
    assert "overall: mean score of the four tasks" in shown
    assert "seeds" in shown


def test_a_method_here_is_pushed_to_the_repo_that_holds_it(published, run, tmp_path, trained):
    output = tmp_path / "results"
    run("--method", str(trained), "--dataset", DATASET, "--output", str(output), "--quiet")
    (path,) = output.glob(f"*/*/{METHOD_NAME}")
    refused = run("push", str(path), code=2)
    assert "give it with --repo org/name" in refused.err
    assert "/commit/" in run("push", str(path), "--repo", MODEL).out
    card = published.files(MODEL, "model")["README.md"].decode()
    assert f"--method {MODEL}@" in card


def test_a_repo_that_is_not_laid_out_as_the_method_is_refused(published, run, tmp_path, trained):
    run("--method", str(trained), "--dataset", DATASET, "--output", str(tmp_path / "results"), "--quiet")
    (path,) = (tmp_path / "results").glob(f"*/*/{METHOD_NAME}")
    files = {
        file.relative_to(trained).as_posix().replace("task1/seed0", "first"): file.read_bytes()
        for file in trained.rglob("*")
        if file.is_file()
    }
    published.add_repo("ann/other", "model", files)
    refused = run("push", str(path), "--repo", "ann/other", code=4)
    assert "not in the layout of a method: task1/seed0/" in refused.err


def test_the_same_method_again_changes_nothing_and_another_one_is_refused(published, trained, tmp_path, capsys):
    n_commits = len(published.history(MODEL, "model"))
    assert model_cards(["publish", str(trained), MODEL]) == 0
    assert "already contains this method" in capsys.readouterr().out
    fewer = tmp_path / "fewer"
    shutil.copytree(trained, fewer)
    shutil.rmtree(fewer / "task2" / "seed1")
    assert model_cards(["publish", str(fewer), MODEL]) == 2
    assert f"contains task2/seed1, which {fewer} does not" in capsys.readouterr().err
    swapped = tmp_path / "swapped"
    shutil.copytree(trained, swapped)
    (swapped / "task2/seed0").rename(swapped / "task2/other")
    (swapped / "task2/seed1").rename(swapped / "task2/seed0")
    (swapped / "task2/other").rename(swapped / "task2/seed1")
    assert model_cards(["publish", str(swapped), MODEL]) == 2
    assert "contains other weights" in capsys.readouterr().err
    assert len(published.history(MODEL, "model")) == n_commits


def test_a_push_needs_a_method_on_the_hub(published, run, trained):
    refused = run("--method", str(trained), "--dataset", DATASET, "--push", code=2)
    assert "none was read from the Hub" in refused.err
