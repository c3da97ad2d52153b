"""A training that was stopped does not pass for a model: not here, not on the Hub, not in what it is compared with."""

import json
import shutil
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from dataset_builders.core.errors import IncompleteError, ModelError
from harness.cli import main
from harness.core.potential import LoadOptions
from harness.models.registry import REFERENCE_DIRECTORY
from harness.networks.checkpoint_format import read_config, write_config
from harness.networks.finished import STATE_FILE, follows_the_clock, training_progress
from harness.potentials.graph_pes import load
from harness.report.compare import comparison_documents
from harness.results.result import RESULT_NAME, ModelRecord, RunResult, load_results
from harness.train.command import main as train
from model_cards.cards.model_card import render_card
from model_cards.publishing.publish_checkpoint import publish_checkpoint
from model_cards.publishing.publishable import require_publishable
from tests.harness.training_set import SHAPE, interrupting_after

TRAIN = ("--task", "task1", "--device", "cpu", "--epochs", "2", "--validations", "4", *SHAPE)


@pytest.fixture(scope="module")
def stopped(tiny_dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint whose training was interrupted after a quarter; do not write to it."""
    out = tmp_path_factory.mktemp("stopped") / "model"
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("harness.train.loop.write_state", interrupting_after(1))
        with pytest.raises(KeyboardInterrupt):
            train(["--dataset", str(tiny_dataset), "--out", str(out), *TRAIN])
    return out


@pytest.fixture
def as_on_the_hub(stopped: Path, tmp_path: Path) -> Path:
    """The two files of it that are read, without what the training would go on from."""
    folder = tmp_path / "copied"
    folder.mkdir()
    for name in ("config.json", "model.safetensors"):
        (folder / name).write_bytes((stopped / name).read_bytes())
    return folder


def evaluated(checkpoint: Path, dataset: Path, output: Path, *options: str) -> int:
    command = ["--model", str(checkpoint), "--dataset", str(dataset), "--output", str(output), "--quiet", *options]
    return main(command)


def test_it_is_not_evaluated(
    stopped: Path, as_on_the_hub: Path, tiny_dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for checkpoint in (stopped, as_on_the_hub):
        assert evaluated(checkpoint, tiny_dataset, tmp_path / "results") == 4
        error = capsys.readouterr().err
        assert (
            f"{checkpoint} is an unfinished model: its training was stopped or is still running "
            "(weights of step 13 of 50)" in error
        )
        assert "Resume it with the command that started it" in error
        assert "--allow-unfinished" in error
    assert not list((tmp_path / "results").rglob(RESULT_NAME))


def test_what_is_made_of_it_says_so(
    as_on_the_hub: Path, tiny_dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "results"
    assert evaluated(as_on_the_hub, tiny_dataset, output, "--allow-unfinished") == 0
    table = capsys.readouterr().out
    said = " ".join(table.split())
    assert "unfinished" in table.partition("data set")[0]
    assert f"caution: the training of {as_on_the_hub} was stopped early (weights of step 13 of 50)" in said
    (path,) = output.rglob(RESULT_NAME)
    document = json.loads(path.read_text())
    assert document["model"]["unfinished"] == "weights of step 13 of 50"

    # The predictions remember it, too.
    assert main(["report", str(path.parent), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["model"]["unfinished"] == "weights of step 13 of 50"
    (result,) = load_results([path])
    with pytest.raises(IncompleteError, match=r"was stopped early \(weights of step 13 of 50\); finish it"):
        require_publishable([result])
    other = result.model_copy(update={"created": result.created + timedelta(seconds=1)})
    (document,) = comparison_documents([result, other])[:1]
    assert len(document["unfinished"]) == 2
    assert all(name.startswith(result.model.id) for name in document["unfinished"])
    card = " ".join(render_card(as_on_the_hub, [result]).split())
    assert "**The training was stopped early** (weights of step 13 of 50): this is not a finished model." in card
    assert "from-scratch, training not finished" in card


def test_it_is_neither_published_nor_trained_further(stopped: Path, tiny_dataset: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="is an unfinished model"):
        publish_checkpoint(stopped, "org/model")
    with pytest.raises(ModelError, match="is an unfinished model"):
        train(["--dataset", str(tiny_dataset), "--out", str(tmp_path / "out"), *TRAIN[:-8], "--init", str(stopped)])


def test_a_training_that_came_to_its_end_is_a_model(stopped: Path, tiny_dataset: Path, tmp_path: Path) -> None:
    out = tmp_path / "model"
    out.mkdir()
    for path in stopped.iterdir():
        (out / path.name).write_bytes(path.read_bytes())
    train(["--dataset", str(tiny_dataset), "--out", str(out), *TRAIN])
    assert read_config(out).training["finished"] is True
    assert load(out, LoadOptions(device="cpu")).traits.unfinished is None
    assert "stopped early" not in render_card(out, [])


EPOCHS = {"settings": {"epochs": 3, "batch_size": 4, "steps": None, "budget_minutes": None}, "n_frames": 50}
STEPS = {"settings": {"epochs": None, "batch_size": 4, "steps": 900, "budget_minutes": None}, "n_frames": 50}
TIME = {"settings": {"epochs": None, "batch_size": 4, "budget_minutes": 5.0}, "n_frames": 50}


@pytest.mark.parametrize(
    ("training", "found"),
    [
        ({**EPOCHS, "steps": 36}, None),
        ({**EPOCHS, "steps": 24}, "weights of step 24 of 36"),
        ({**EPOCHS, "steps": 24, "ended_early": True}, None),
        ({**EPOCHS, "steps": 24, "ended_early": False}, "weights of step 24 of 36"),
        ({**STEPS, "steps": 900}, None),
        ({**STEPS, "steps": 450}, "weights of step 450 of 900"),
        ({**TIME, "steps": 1200, "wall_time_s": 300.0}, None),
        ({**TIME, "steps": 1200, "wall_time_s": 299.9}, None),
        ({**TIME, "steps": 600, "wall_time_s": 150.2}, "weights of step 600"),
        ({**TIME, "steps": 600, "wall_time_s": 150.2, "ended_early": True}, None),
        # What says nothing of its length cannot be told, such as a checkpoint that another program wrote.
        ({}, None),
        ({"settings": {}, "steps": 5}, None),
        ({"settings": "none", "steps": "many"}, None),
        ({**EPOCHS, "steps": 36, "finished": False}, "weights of step 36 of 36"),
        ({**EPOCHS, "steps": 24, "finished": True}, None),
        ({"finished": False}, "it does not state after how many steps"),
    ],
)
def test_checkpoints_of_earlier_releases_are_recognised_by_their_length(
    training: dict[str, Any], found: str | None, tmp_path: Path
) -> None:
    assert training_progress(tmp_path, training) == found


def test_what_a_training_left_beside_a_checkpoint_of_an_earlier_release_tells(tmp_path: Path) -> None:
    (tmp_path / STATE_FILE).touch()
    assert training_progress(tmp_path, {**EPOCHS, "steps": 36}) == "weights of step 36 of 36"
    assert training_progress(tmp_path, {**EPOCHS, "steps": 36, "finished": True}) is None


def test_the_shipped_checkpoint_is_finished() -> None:
    training = read_config(REFERENCE_DIRECTORY).training
    assert training_progress(REFERENCE_DIRECTORY, training) is None
    assert load(REFERENCE_DIRECTORY, LoadOptions(device="cpu")).traits.unfinished is None
    # It can be made again: its learning rate followed the steps.
    assert not follows_the_clock(training)
    assert "followed the clock" not in (REFERENCE_DIRECTORY / "README.md").read_text()


def test_a_card_says_that_a_learning_rate_followed_the_clock(tmp_path: Path) -> None:
    checkpoint = shutil.copytree(REFERENCE_DIRECTORY, tmp_path / "checkpoint")
    config = read_config(checkpoint)
    training = {"settings": {"budget_minutes": 38.0}, "steps": 71817, "wall_time_s": 2282.7}
    write_config(checkpoint, replace(config, training=training))
    assert training_progress(checkpoint, training) is None
    assert follows_the_clock(training)
    assert "The learning rate followed the clock" in render_card(checkpoint, [])


def test_results_that_were_written_before_still_load(tmp_path: Path) -> None:
    from tests.harness.results.test_result import result_of

    document = json.loads(result_of({}).model_dump_json())
    assert document["model"].pop("unfinished") is None
    path = tmp_path / RESULT_NAME
    path.write_text(json.dumps(document))
    assert RunResult.load(path).model.unfinished is None
    assert ModelRecord.model_validate_json(json.dumps(document["model"])).unfinished is None
