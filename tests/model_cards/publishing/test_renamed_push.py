"""A data set or a model that was renamed: one id, the one that the Hub gives it today, and the old one followed."""

import pytest
from huggingface_hub import ModelCard

from dataset_builders.card.eval_yaml import eval_yaml
from dataset_builders.core.errors import DataError, UsageError
from dataset_builders.core.hub.access import canonical
from dataset_builders.core.hub.repo import Repo
from dataset_builders.tasks.regions import TASKS
from model_cards.entries.entries import ENTRIES_PATH, read_entries
from model_cards.entries.notes import parse_notes
from model_cards.hub import dataset_names
from model_cards.hub.dataset_names import DatasetNames
from model_cards.publishing.push import PushOptions, push_results
from tests.loopback_hub import Fault
from tests.model_cards.conftest import DATASET, MODEL
from tests.model_cards.publishing.test_push import pushed, text_at

NEW = "compgen/renamed"
FOREIGN_ENTRY = "# theirs\n- dataset: {id: other/data, task_id: task2_score}   # theirs too\n  value: 1\n"


@pytest.fixture
def renamed(hub, own_repo, hub_result):
    """Pushes a result, and then gives the data set another id."""
    pushed(hub_result())
    hub.rename(DATASET, NEW, "dataset")
    return hub_result


def dataset_ids(hub):
    return {entry.dataset_id for entry in read_entries(text_at(hub, ENTRIES_PATH))}


def test_entries_under_an_earlier_id_are_replaced(hub, renamed):
    old = text_at(hub, "README.md")
    assert pushed(renamed()).state == "pushed"
    assert dataset_ids(hub) == {NEW}
    assert len(read_entries(text_at(hub, ENTRIES_PATH))) == 6
    card = text_at(hub, "README.md")
    assert DATASET in old
    assert DATASET not in card
    assert card.count("| task2 (") == 1
    assert {each.dataset_type for each in ModelCard(card).data.eval_results} == {NEW}
    assert len(ModelCard(card).data.eval_results) == 6
    assert f"{hub.endpoint}/datasets/{NEW}/tree/" in card
    assert pushed(renamed()).state == "unchanged"
    assert pushed(renamed(dataset={"id": NEW})).state == "unchanged"


def test_entries_that_were_doubled_become_one_set(hub, renamed):
    text = text_at(hub, ENTRIES_PATH)
    hub.commit(MODEL, "model", {ENTRIES_PATH: (text + text.replace(DATASET, NEW)).encode()})
    pushed(renamed())
    assert dataset_ids(hub) == {NEW}
    assert len(read_entries(text_at(hub, ENTRIES_PATH))) == 6
    assert text_at(hub, "README.md").count("| task2 (") == 1


def test_entries_of_other_data_sets_keep_their_bytes(hub, renamed):
    hub.add_repo("other/data", "dataset", {})
    hub.add_repo("other/old", "dataset", {})
    hub.rename("other/old", "other/new", "dataset")
    theirs = FOREIGN_ENTRY + FOREIGN_ENTRY.replace("other/data", "other/old").replace("task2", "task3")
    theirs += FOREIGN_ENTRY.replace("other/data", "not/there").replace("task2", "task4")
    hub.commit(MODEL, "model", {ENTRIES_PATH: (theirs + text_at(hub, ENTRIES_PATH)).encode()})
    pushed(renamed())
    text = text_at(hub, ENTRIES_PATH)
    assert text.startswith(theirs)
    assert len(read_entries(text)) == 9


def test_another_task_under_the_earlier_id_stays_and_the_card_names_the_id_of_today(hub, renamed):
    pushed(renamed("task3"))
    assert dataset_ids(hub) == {DATASET, NEW}
    card = text_at(hub, "README.md").partition("<!-- mlip-ood:begin -->")[2]
    assert DATASET not in card
    assert pushed(renamed("task2", "task3")).state == "pushed"
    assert dataset_ids(hub) == {NEW}


def test_results_under_both_ids_of_a_repo_form_one_parcel(hub, own_repo, hub_result):
    hub.rename(MODEL, "ann/later", "model")
    results = [hub_result("task2"), hub_result("task3", model={"id": "ann/later/model.safetensors"})]
    done = push_results(results, PushOptions()).repos
    assert [(each.repo, each.state) for each in done] == [("ann/later", "pushed")]
    assert len(hub.history("ann/later", "model")) == 2
    entries = read_entries(text_at(hub, ENTRIES_PATH, "ann/later"))
    named = {parse_notes(entry.notes)["model"].partition("@")[0] for entry in entries}
    assert (named, len(entries)) == ({"ann/later"}, 12)


@pytest.mark.parametrize("spelling", ["ann/old", "ANN/Model"])
def test_a_named_repo_is_the_one_of_today(hub, own_repo, hub_result, spelling):
    if spelling == "ann/old":
        hub.rename(MODEL, spelling, "model")
        hub.rename(spelling, MODEL, "model")
    done = pushed(hub_result(model={"id": "here", "revision": None}), PushOptions(repo=spelling))
    assert (done.repo, done.state) == (MODEL, "pushed")


def test_a_data_set_is_named_in_the_case_of_the_hub(hub, own_repo, hub_result):
    pushed(hub_result(dataset={"id": DATASET.upper()}))
    assert dataset_ids(hub) == {DATASET}


def test_two_results_of_a_task_under_two_ids_are_refused(hub, renamed):
    with pytest.raises(UsageError, match=f"several results of task2 on {NEW} are for one repo"):
        push_results([renamed(), renamed(dataset={"id": NEW})], PushOptions())


def test_a_look_up_that_fails_is_said_and_stops_nothing(hub, renamed, monkeypatch):
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    hub.commit(MODEL, "model", {ENTRIES_PATH: (FOREIGN_ENTRY + text_at(hub, ENTRIES_PATH)).encode()})
    hub.order(Fault(path="/api/datasets/other/data", status=500, times=99))
    done = pushed(renamed())
    assert done.state == "pushed"
    assert "cannot check whether other/data is an earlier id of this data set" in done.text


def test_look_ups_are_bounded_and_made_once(hub, monkeypatch):
    asked = []
    monkeypatch.setattr(dataset_names, "canonical", lambda repo: asked.append(repo.id) or repo)
    names = DatasetNames({"a/b": "a/b"})
    for _ in range(2):
        for each in ["a/b", "no id", "x" * 300 + "/y", *(f"org/{i}" for i in range(100))]:
            assert names.today(each) == each
    assert asked == [f"org/{i}" for i in range(dataset_names.MAX_LOOKUPS)]
    assert len(names.faults) == 1
    names.renewed().today("org/99")
    assert asked[-1] == "org/99"


def test_a_repo_is_called_what_the_hub_calls_it(hub):
    hub.add_repo("org/Name", "dataset", {})
    assert canonical(Repo("ORG/name", "dataset")).id == "org/Name"
    with pytest.raises(DataError, match="there is no data set org/none"):
        canonical(Repo("org/none", "dataset"))


def test_the_benchmark_is_looked_for_under_the_id_of_today(hub, own_repo, hub_result):
    result = hub_result()
    hub.rename(DATASET, NEW, "dataset")
    other = hub.add_repo(DATASET, "dataset", {"eval.yaml": eval_yaml([*TASKS]).encode()})
    assert other != result.dataset.revision
    with pytest.raises(DataError, match=f"data set {DATASET} has no revision"):
        pushed(result)
