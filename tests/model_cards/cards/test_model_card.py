import hashlib
import re
from dataclasses import replace

import numpy as np
import pytest
import yaml
from safetensors.numpy import save_file

from dataset_builders.core.errors import DataError, ModelError, UsageError
from harness.core.known_checkpoints import known_checkpoints
from harness.networks.architectures import IN_ENVIRONMENTS
from harness.networks.checkpoint_format import WEIGHTS_FILE, read_config, write_config
from harness.report.control_gaps import control_tasks
from harness.results.result import Estimate
from model_cards.cards.gap_picture import panels_of
from model_cards.cards.model_card import card_picture, count_parameters, render_card, write_card
from model_cards.cards.result_tables import estimate_text, results_table
from model_cards.cli import main
from tests.harness.control_checkpoints import small_control
from tests.harness.results.test_result import failed, result_of, tasks  # noqa: F401 (a fixture)
from tests.harness.small_checkpoint import SMALL_CONFIG


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
    assert "# PaiNN, trained on task2 (fragment duplication)" in body
    assert "| elements | H C O |" in body
    assert result.dataset.content_hash in body
    assert results_table([result]) in body
    assert "python -m harness --model org/model --task task2 --dataset mini" in body
    assert "- versions:\n  - torch: 2.13.0\n" in body
    assert "| parameters | 6, " in body
    assert "the data they were trained on are under CC-BY-4.0" in body
    assert "to evaluate" not in body


def test_a_card_names_the_environment_of_a_network_that_needs_one(checkpoint, tasks):  # noqa: F811
    write_config(checkpoint, replace(read_config(checkpoint), architecture="GemNet"))
    card = render_card(checkpoint, [own_result(result_of(tasks), checkpoint)])
    (line,) = [line for line in card.splitlines() if line.startswith("| to evaluate |")]
    command = f"python -m harness env create {IN_ENVIRONMENTS['GemNet']}"
    assert line.endswith(f" create the environment of its package first: `{command}` |")


def head_of(card):
    """The first 15 lines below the YAML."""
    return card.split("---\n", 2)[2].strip().splitlines()[:15]


def require_head(card, command):
    title, _, *said = head_of(card)
    assert title.startswith("# ")
    assert all(len(line) > 80 for line in said[:3])
    assert said[3] == said[5] == ""
    assert re.fullmatch(r"!\[.*\]\(mlip-ood-checkpoint\.png\)", said[4])
    assert said[6:9] == ["```console", f"$ {command}", "```"]


def test_a_card_begins_with_three_lines_its_gap_and_the_command(checkpoint, tasks):  # noqa: F811
    result = own_result(result_of(tasks), checkpoint)
    card = render_card(checkpoint, [result])
    require_head(card, "python -m harness --model org/model --dataset compgen/mlip-ood")
    known, unseen = (tasks["task2"].splits[split].metrics["force_mae"] for split in ("test_id", "test_ood"))
    gap = tasks["task2"].gap
    numbers = (
        f"ID {1000 * known.value:.1f} ({1000 * known.low:.1f}–{1000 * known.high:.1f}), "
        f"OOD {1000 * unseen.value:.1f} ({1000 * unseen.low:.1f}–{1000 * unseen.high:.1f}) meV/Å, "
        f"gap {gap.value:.2f} ({gap.low:.2f}–{gap.high:.2f})"
    )
    # The task of its training comes first, whatever else was measured.
    assert head_of(card)[3] == f"Force MAE on task2 (fragment duplication), this model: {numbers}."
    assert numbers in head_of(card)[6]


def test_gfn1_xtb_stands_beside_the_gap_where_it_was_measured_on_the_same_data(checkpoint, tasks):  # noqa: F811
    result = own_result(result_of(tasks), checkpoint)
    control = result_of(tasks)
    physics = {"id": "gfn1-xtb", "protocol": "control"}
    control = control.model_copy(update={"model": control.model.model_copy(update=physics)})
    assert "; GFN1-xTB: ID " in head_of(render_card(checkpoint, [result, control]))[3]
    pairs = panels_of(result, control_tasks(result.dataset.content_hash, [control]))[1].pairs
    assert [(pair.label, pair.is_control) for pair in pairs] == [("this model", False), ("GFN1-xTB", True)]


def test_the_picture_shows_the_gap_or_the_task(checkpoint, tasks):  # noqa: F811
    result = own_result(result_of(tasks), checkpoint)
    write_card(checkpoint, [result])
    picture = (checkpoint / "mlip-ood-checkpoint.png").read_bytes()
    assert picture.startswith(b"\x89PNG")
    assert b"mlip-ood gap " in picture
    assert card_picture(checkpoint, [result]) == picture
    require_head(render_card(checkpoint, []), f"python -m harness --model {checkpoint} --dataset compgen/mlip-ood")
    assert "were not measured for this card" in head_of(render_card(checkpoint, []))[3]
    assert b"mlip-ood tasks " in card_picture(checkpoint, [])
    # Numbers of a task with failures do not represent it.
    with_failures = result.model_copy(update={"tasks": {"task2": failed(tasks["task2"])}})
    assert b"mlip-ood tasks " in card_picture(checkpoint, [with_failures])


def test_a_card_may_come_before_its_results(checkpoint):
    body = render_card(checkpoint, [], model_id="compgen/painn")
    assert "python -m harness --model compgen/painn --dataset compgen/mlip-ood" in body
    assert "are added at the end of this card" in body


def test_a_broken_weights_file_is_named(tmp_path):
    (tmp_path / WEIGHTS_FILE).write_bytes(b"weights")
    with pytest.raises(ModelError, match=r"model\.safetensors cannot be read as safetensors"):
        count_parameters(tmp_path)


def test_a_card_needs_a_result_of_its_own_weights(checkpoint, tasks):  # noqa: F811
    with pytest.raises(UsageError, match=r"none of the results belongs to the weights in .*; results given: org/model"):
        render_card(checkpoint, [result_of(tasks)])


def test_a_card_compares_on_one_data_set(checkpoint, tasks):  # noqa: F811
    first = own_result(result_of(tasks), checkpoint)
    other = first.model_copy(update={"dataset": first.dataset.model_copy(update={"content_hash": "f" * 64})})
    with pytest.raises(DataError, match=r"are on 2 different data sets, .*; the table of a card needs one"):
        render_card(checkpoint, [first, other])


def test_a_card_says_that_mini_does_not_rank(checkpoint, tasks):  # noqa: F811
    result = own_result(result_of(tasks), checkpoint)
    assert "\n\n**mini is the demonstration and test edition" in render_card(checkpoint, [result])
    standard = result.dataset.model_copy(update={"edition": "standard"})
    card = render_card(checkpoint, [result.model_copy(update={"dataset": standard})])
    assert "demonstration" not in card


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


def test_numbers_that_leave_failed_frames_out_are_marked_with_the_count(tasks):  # noqa: F811
    # As an earlier version wrote it: with a gap and intervals, and failures in the list alone.
    result = result_of({**tasks, "task2": failed(tasks["task2"])})
    lines = results_table([result]).splitlines()
    cells = [cell.strip() for cell in lines[3].split("|")[1:-1]]
    error = tasks["task2"].splits["test_id"].metrics["force_mae"].value
    assert cells[0].startswith("task2")
    assert cells[3] == f"{1000.0 * error:.1f}† (1 frames failed)"
    assert cells[4] == lines[3].split("|")[5].strip()
    assert "failed" not in cells[4]
    assert cells[5:] == ["–", "–"]


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


def card_of(checkpoint, **changes):
    write_config(checkpoint, replace(SMALL_CONFIG, **changes))
    return render_card(checkpoint, [])


def test_a_card_says_how_far_the_network_sees(checkpoint):
    assert "| receptive field | 8 Å: " in card_of(checkpoint)


def test_a_card_of_a_network_on_top_of_a_method(checkpoint):
    card = card_of(checkpoint, baseline="gfn1-xtb")
    assert "# PaiNN on top of GFN1-xTB, trained on task2" in card
    assert "GFN1-xTB, whose energies and forces are added" in card
    assert "fitted by least squares to the labels of `train` minus GFN1-xTB." in card


def test_a_card_of_pyg(checkpoint):
    assert "| architecture | DimeNet++ (torch-geometric), 4 channels" in card_of(checkpoint, architecture="DimeNet++")


START = {
    "id": "roitberg-group/ani2x",
    "revision": "a" * 40,
    "family": "torchani",
    "files": {"ani2x_state_dict.pt": "b" * 64},
    "protocol": "zero-shot",
    "level_of_theory": "wB97X/6-31G(d)",
    "head": None,
    "trained_on": [],
}


def test_a_card_of_a_tuned_foundation_model(checkpoint):
    arguments = {"ensemble": "ani2x_state_dict.pt", "layers": 1, "cutoff": 5.1}
    tuned = {"architecture": "ANI", "arguments": arguments, "protocol": "fine-tuned", "started_from": START}
    _, front, body = card_of(checkpoint, **tuned).split("---\n", 2)
    metadata = yaml.safe_load(front)
    # The licence of the weights is that of the model they derive from, which is not known here.
    assert "license" not in metadata
    assert metadata["base_model"] == "roitberg-group/ani2x"
    assert "# roitberg-group/ani2x, fine-tuned, trained on task2" in body
    assert "| architecture | ANI (torchani), ani2x_state_dict.pt, cutoff 5.1 Å |" in body
    assert f"| started from | `roitberg-group/ani2x` at `{'a' * 40}` (torchani, wB97X/6-31G(d)); " in body
    assert "| protocol | fine-tuned |" in body
    assert "its licence applies to them" in body
    local = card_of(checkpoint, **{**tuned, "started_from": {**START, "revision": None}})
    assert "base_model" not in local
    assert "whose weights are under the licence" not in body
    (ani2x,) = [row for row in known_checkpoints() if row.name == "ANI-2x"]
    published = {**START, "files": dict(ani2x.sha256)}
    known = card_of(checkpoint, **{**tuned, "started_from": published})
    assert "It is ANI-2x (Devereux et al., J. Chem. Theory Comput. 16, 4192 (2020)), whose weights are" in known
    assert "are under the licence MIT." in known


@pytest.mark.parametrize(("control", "title"), [("additive", "A sum of bonds"), ("knn", "A memoriser")])
def test_a_card_of_a_control(tmp_path, control, title):
    if control == "knn":
        pytest.importorskip("torchani")
    card = render_card(small_control(tmp_path, control), [])
    assert f"# {title}" in card
    assert "fitted to task2 (fragment duplication)" in card
    assert "The weights are under the MIT licence" in card
    assert "validation_curve" not in card
