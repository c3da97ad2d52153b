import hashlib
from dataclasses import replace

import numpy as np
import pytest
import yaml
from safetensors.numpy import save_file

from dataset_builders.errors import DataError, ModelError, UsageError
from harness.checkpoints.format import WEIGHTS_FILE, write_config
from harness.result import Estimate
from model_cards.card import count_parameters, render_card
from model_cards.cli import main
from model_cards.results import estimate_text, results_table
from tests.harness.small_checkpoint import SMALL_CONFIG
from tests.harness.test_result import result_of, tasks  # noqa: F401 (a fixture)


@pytest.fixture
def checkpoint(tmp_path):
    training = {"seed": 0, "frames": 3600, "versions": {"torch": "2.13.0"}}
    config = replace(SMALL_CONFIG, training=training)
    write_config(tmp_path, config)
    save_file({"weight": np.zeros((2, 3), np.float32), "steps": np.zeros(7, np.int64)}, tmp_path / WEIGHTS_FILE)
    return tmp_path


def own_result(result, checkpoint):
    weights = hashlib.sha256((checkpoint / WEIGHTS_FILE).read_bytes()).hexdigest()
    return result.model_copy(update={"model": result.model.model_copy(update={"files": {WEIGHTS_FILE: weights}})})


def test_a_card_names_model_data_table_and_command(checkpoint, tasks):  # noqa: F811
    result = own_result(result_of(tasks), checkpoint)
    card = render_card(checkpoint, [result])
    _, front, body = card.split("---\n", 2)
    assert yaml.safe_load(front)["datasets"] == ["compgen/mlip-ood"]
    assert "# PaiNN trained on task2 (fragment duplication)" in body
    assert "| elements | H C O |" in body
    assert result.dataset.content_hash in body
    assert results_table([result]) in body
    assert "python -m harness --model org/model --task task2 --dataset mini" in body
    assert "- versions:\n  - torch: 2.13.0\n" in body
    assert "| parameters | 6, " in body
    assert "the data they were trained on are under CC-BY-4.0" in body


def test_a_card_may_come_before_its_results(checkpoint):
    body = render_card(checkpoint, [], model_id="compgen/painn")
    assert "python -m harness --model compgen/painn --dataset compgen/mlip-ood" in body
    assert "follow at the end of this card" in body


def test_a_broken_weights_file_is_named(tmp_path):
    (tmp_path / WEIGHTS_FILE).write_bytes(b"weights")
    with pytest.raises(ModelError, match=r"model\.safetensors cannot be read as safetensors"):
        count_parameters(tmp_path)


def test_a_card_needs_a_result_of_its_own_weights(checkpoint, tasks):  # noqa: F811
    with pytest.raises(UsageError, match=r"no result is of the weights in .*; results given: org/model"):
        render_card(checkpoint, [result_of(tasks)])


def test_a_card_compares_on_one_data_set(checkpoint, tasks):  # noqa: F811
    first = own_result(result_of(tasks), checkpoint)
    other = first.model_copy(update={"dataset": first.dataset.model_copy(update={"content_hash": "f" * 64})})
    with pytest.raises(DataError, match="results are of 2 data sets"):
        render_card(checkpoint, [first, other])


def test_the_command_writes_the_card(checkpoint, tasks, tmp_path, capsys):  # noqa: F811
    own_result(result_of(tasks), checkpoint).save(tmp_path / "run" / "result.json")
    assert main(["card", str(checkpoint), "--result", str(tmp_path / "run")]) == 0
    assert (checkpoint / "README.md").read_text().startswith("---\nlicense: mit\n")
    assert main(["card", str(checkpoint), "--result", str(tmp_path / "nowhere.json")]) == 3
    assert "nowhere.json" in capsys.readouterr().err


def test_the_table_has_a_line_for_each_task_and_model(tasks):  # noqa: F811
    table = results_table([result_of(tasks), result_of(tasks)]).splitlines()
    assert len(table) == 2 + 2 * 4
    assert table[2].startswith("| task1 (chain extension) | `org/model` | zero-shot |")


@pytest.mark.parametrize(
    ("estimate", "text"),
    [
        (Estimate(value=0.0173, low=0.0159, high=0.0188, unit="eV/Å", reason=None), "17.3 (15.9–18.8)"),
        (Estimate(value=0.0173, low=None, high=None, unit="eV/Å", reason="one molecule"), "17.3"),
        (Estimate(value=None, low=None, high=None, unit="eV/Å", reason="no frames"), "–"),
    ],
)
def test_estimates_show_their_interval(estimate, text):
    assert estimate_text(estimate, scale=1000.0) == text
