"""Traces: where they may go, what an entry says of them, and files of entries that the Hub refuses."""

from pathlib import Path

import pytest
import yaml

from dataset_builders.core.errors import DataError, UsageError
from dataset_builders.core.hub.repo import Repo
from model_cards.cards.section import section_text
from model_cards.entries.entries import ENTRIES_PATH, entries_of, eval_results_of, merge_entries, read_entries
from model_cards.entries.notes import parse_notes
from model_cards.entries.source import Source
from model_cards.entries.verification import refused_files
from model_cards.hub.ownership import User
from model_cards.publishing.push import PushOptions, push_results
from model_cards.publishing.push_command import main
from model_cards.publishing.trace import require_results_repo
from tests.model_cards.conftest import COST, DATASET, MODEL

ANN = User("ann", frozenset({"ann", "compgen"}))
TRACE = Source("https://hub.example/datasets/ann/results/tree/main/entries/x-0123456789ab", user="ann")
_BAD = b"- dataset: {id: some/data, task_id: t}\n  value: high\n"
PINNED = f"{MODEL}@{'c' * 40}"


def test_an_entry_names_its_trace_and_who_evaluated(make_result):
    text = merge_entries(None, entries_of(make_result("task2"), PINNED, TRACE))
    (item,) = yaml.safe_load(text)
    assert item["source"] == {"url": TRACE.url, "name": "mlip-ood", "user": "ann"}
    assert {entry.source_url for entry in read_entries(text)} == {TRACE.url}
    assert {each.source_url for each in eval_results_of(make_result("task2"), TRACE)} == {TRACE.url}


def test_the_notes_leave_out_what_the_trace_has(make_result):
    whole, short = (
        parse_notes(entries_of(make_result("task2", cost=COST), PINNED, trace)[0].notes) for trace in (None, TRACE)
    )
    assert set(whole) - set(short) == {"hardware", "memory", "python", "packages"}
    assert {key: whole[key] for key in short} == short
    assert next(iter(short)) == "protocol"


def test_the_card_links_to_the_trace(make_result):
    entries = read_entries(merge_entries(None, entries_of(make_result("task2"), PINNED, TRACE)))
    assert f"[predictions and whole record]({TRACE.url})" in section_text(entries)
    without = read_entries(merge_entries(None, entries_of(make_result("task2"), PINNED)))
    assert "whole record" not in section_text(without)


@pytest.mark.parametrize(
    ("repo", "user", "message"),
    [
        ("results", ANN, "not a valid Hub id"),
        (DATASET, ANN, "is the data set that was evaluated on"),
        ("bob/results", ANN, "ann may not write there"),
    ],
)
def test_a_repo_that_cannot_take_traces_is_refused(repo, user, message):
    with pytest.raises(UsageError, match=message):
        require_results_repo(repo, user, [DATASET])


def test_a_repo_of_ones_own_takes_traces():
    assert require_results_repo("compgen/results", ANN, [DATASET]) == Repo("compgen/results", "dataset")
    assert require_results_repo("bob/results", None, [DATASET]).id == "bob/results"  # a dry run without login


def test_traces_need_the_folders_of_the_runs(hub, own_repo, hub_result):
    with pytest.raises(UsageError, match="0 folders of runs were given for 1 results"):
        push_results([hub_result()], PushOptions(results_repo="ann/results"))


def test_a_result_without_predictions_has_no_trace(hub, own_repo, hub_result, tmp_path: Path):
    hub_result().save(tmp_path / "result.json")
    with pytest.raises(DataError, match=r"run\.json"):
        main([str(tmp_path), "--results-repo", "ann/results"])
    assert "ann/results" not in str([each.path for each in hub.log if each.method == "POST"])
    assert len(hub.history(MODEL, "model")) == 1


def test_a_file_of_others_that_the_hub_refuses_is_named(hub, own_repo, hub_result):
    hub.commit(MODEL, "model", {".eval_results/other.yaml": _BAD})
    ((path, reason),) = refused_files(Repo(MODEL, "model"))
    assert (path, "value" in reason) == (".eval_results/other.yaml", True)
    done = push_results([hub_result()], PushOptions()).repos[0]
    assert f"{MODEL}: the Hub refuses .eval_results/other.yaml, a file of others: {reason}" in done.text
    assert read_entries(hub.files(MODEL, "model")[ENTRIES_PATH].decode())


def test_a_refused_file_of_ones_own_is_an_error_after_the_push(hub, own_repo, hub_result):
    hub.commit(MODEL, "model", {".eval_results/mlip-ood-mini.yaml": _BAD})
    with pytest.raises(DataError, match=rf"refuses:\n{MODEL}: \.eval_results/mlip-ood-mini\.yaml: .*value"):
        push_results([hub_result()], PushOptions())
    assert read_entries(hub.files(MODEL, "model")[ENTRIES_PATH].decode())


def test_a_pull_request_is_asked_about_its_own_files(hub, foreign_repo, foreign_result):
    done = push_results([foreign_result()], PushOptions()).repos[0]
    assert (done.pull_request, done.refused) == (1, ())
