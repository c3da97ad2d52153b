"""A data set or a model that was renamed has one place on the leaderboard, under the id that the Hub gives it today."""

import pytest

from dataset_builders.card.eval_yaml import eval_yaml
from model_cards.entries.entries import ENTRIES_PATH, entries_of, merge_entries
from model_cards.hub import dataset_names
from model_cards.leaderboard.ranking import read_leaderboard
from tests.harness.results.test_result import tasks  # noqa: F401 (a fixture)
from tests.loopback_hub import Fault
from tests.model_cards.conftest import DATASET
from tests.model_cards.leaderboard.test_ranking import add_model, commit_of_data, measured  # noqa: F401 (fixtures)
from tests.model_cards.leaderboard.test_strangers import open_pull_request, ranked

NEW = "compgen/renamed"


@pytest.fixture
def moved(hub, measured):  # noqa: F811
    """A model with results under the earlier id, one with results under that of today."""
    add_model(hub, "org/early", measured({"task2": 60.0}))
    hub.rename(DATASET, NEW, "dataset")
    late = measured({"task2": 70.0})
    late = late.model_copy(update={"dataset": late.dataset.model_copy(update={"id": NEW})})
    add_model(hub, "org/late", late)
    return late


def test_both_ids_give_the_same_board(hub, moved):
    board = read_leaderboard(DATASET)
    assert board == read_leaderboard(NEW) == read_leaderboard(NEW.upper())
    assert board.dataset_id == NEW
    assert ranked(board) == [("org/late", 70.0), ("org/early", 60.0)]
    assert board.faults == ()


def test_each_id_is_looked_up_once(hub, moved, measured):  # noqa: F811
    for i in range(3):
        add_model(hub, f"org/m{i}", measured({"task2": 10.0 + i}))
    before = len(hub.log)
    assert len(read_leaderboard(NEW).by_config["task2"]) == 5
    asked = [each.path for each in hub.log[before:] if each.path.startswith(f"/api/datasets/{DATASET}")]
    assert asked == [f"/api/datasets/{DATASET}"]


def test_an_id_of_somebody_else_does_not_count(hub, moved):
    hub.add_repo(DATASET, "dataset", {"README.md": b"another data set under the name that is free again"})
    assert ranked(read_leaderboard(NEW)) == [("org/late", 70.0)]


def test_results_under_the_id_of_today_supersede_earlier_ones(hub, moved, measured):  # noqa: F811
    text = merge_entries(hub.files("org/early", "model")[ENTRIES_PATH].decode(), entries_of(moved, "org/early@main"))
    hub.commit("org/early", "model", {ENTRIES_PATH: text.encode()})
    board = read_leaderboard(NEW)
    assert ranked(board) == [("org/early", 70.0), ("org/late", 70.0)]
    assert [fault.cause for fault in board.faults] == [
        f"task2: entries under {DATASET}, an earlier id of {NEW}, are replaced by those under its current id"
    ]


def test_a_look_up_that_fails_takes_no_board_down(hub, moved, monkeypatch):
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    hub.order(Fault(path=f"^/api/datasets/{DATASET}$", status=500, times=99))
    board = read_leaderboard(NEW)
    assert ranked(board) == [("org/late", 70.0)]
    assert [(fault.model_id, DATASET in fault.cause) for fault in board.faults] == [("org/early", True)]


def test_many_ids_of_a_stranger_use_up_no_look_up_of_others(hub, moved):
    for i in range(dataset_names.MAX_LOOKUPS + 5):
        hub.add_repo(f"x/{i}", "dataset", {})
    text = "".join(
        f"- dataset: {{id: x/{i}, task_id: task2_score}}\n  value: 1\n" for i in range(dataset_names.MAX_LOOKUPS + 5)
    )
    hub.add_repo("aaa/stranger", files={"README.md": b"---\ntags: [mlip-ood]\n---\n", ENTRIES_PATH: text.encode()})
    open_pull_request(hub, "org/early", {".eval_results/a.yaml": text.encode()})
    board = read_leaderboard(NEW)
    assert ranked(board) == [("org/late", 70.0), ("org/early", 60.0)]
    assert {fault.model_id for fault in board.faults} == {"aaa/stranger", "org/early"}


def test_a_renamed_model_appears_once(hub, moved):
    hub.rename("org/late", "org/latest", "model")
    board = read_leaderboard(NEW, models=["org/late", "org/latest", "ORG/Latest", "org/absent"])
    assert ranked(board) == [("org/latest", 70.0), ("org/early", 60.0)]
    assert [*board.unread] == ["org/absent"]


def test_the_boards_of_the_hub_follow(hub, moved):
    files = {"eval.yaml": eval_yaml(["task2"]).encode()}
    hub.commit(NEW, "dataset", files)
    hub.allow_list(NEW)
    assert read_leaderboard(DATASET) == read_leaderboard(NEW)
    assert ranked(read_leaderboard(DATASET))[0] == ("org/late", 70.0)
