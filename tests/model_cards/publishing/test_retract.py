import pytest
from huggingface_hub import HfApi, ModelCard
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from dataset_builders.core.errors import DataError, SetupError, UsageError
from model_cards.cards.edit import card_with_results
from model_cards.cards.section import section_text
from model_cards.cards.section_picture import SECTION_PICTURE, section_panels, shows
from model_cards.entries.entries import (
    ENTRIES_PATH,
    PULL_REQUEST_TITLE,
    entries_of,
    eval_results_of,
    examine_entries,
    merge_entries,
    read_entries,
)
from model_cards.publishing.push import PushOptions
from model_cards.publishing.retract import RETRACTION_TITLE, RetractOptions, retract_each
from model_cards.publishing.retract_command import main
from model_cards.publishing.retraction import Files, retraction
from model_cards.publishing.selection import Selection
from model_cards.text.front_matter import split_card
from tests.loopback_hub import Fault
from tests.model_cards.conftest import DATASET, FOREIGN, MODEL
from tests.model_cards.publishing.test_push import pushed, text_at, writes

CARD = "---\nlicense: mit\n---\n\n# A model\n"
THEIRS = f"""\
# theirs
- dataset: {{id: {DATASET}, task_id: task4_score}}   # theirs too
  value: 70
- {{dataset: {{id: other/bench, task_id: t}}, value: 1}}
"""
EVERYTHING = RetractOptions()
OF_REPO = RetractOptions(repo=MODEL)


def retracted(results=(), options=EVERYTHING):
    return [*retract_each(results, options)]


def files_of(hub, repo=MODEL, revision="main"):
    found = hub.files(repo, "model", revision=revision)
    return {path: content for path, content in found.items() if path in (ENTRIES_PATH, "README.md")}


def test_a_result_is_taken_back_in_one_commit(hub, own_repo, hub_result):
    before = hub.files(MODEL, "model")
    pushed(hub_result("task2", "task3"))
    (done,) = retracted([hub_result("task2", "task3")])
    newest = hub.history(MODEL, "model")[0]
    assert (done.state, done.url) == ("retracted", f"{hub.endpoint}/{MODEL}/commit/{newest.sha}")
    assert (newest.title, newest.author) == (RETRACTION_TITLE, "ann")
    assert newest.changed == (ENTRIES_PATH, "README.md", SECTION_PICTURE)
    assert hub.files(MODEL, "model") == before
    assert len(hub.history(MODEL, "model")) == 3
    assert done.text.startswith(f"{MODEL}: retracted: {done.url}\n{MODEL}: removed, task2 on {DATASET} (score)")
    assert f"{MODEL}: removed, task3 on {DATASET} (" in done.text


@pytest.mark.parametrize("results", [True, False])
def test_a_second_call_changes_nothing(hub, own_repo, hub_result, results):
    pushed(hub_result())
    call = ([hub_result()],) if results else ((), OF_REPO)
    assert retracted(*call)[0].state == "retracted"
    (again,) = retracted(*call)
    assert (again.state, again.text) == ("unchanged", f"{MODEL}: nothing to retract: {hub.endpoint}/{MODEL}")
    assert len(hub.history(MODEL, "model")) == 3
    assert pushed(hub_result()).state == "pushed"
    assert retracted(*call)[0].state == "retracted"
    assert files_of(hub) == {"README.md": CARD.encode()}


def test_the_rest_stays_with_its_section(hub, own_repo, hub_result):
    pushed(hub_result("task2", "task3"))
    (done,) = retracted([hub_result("task2", "task3")], RetractOptions(tasks=("task2",)))
    card = text_at(hub, "README.md")
    assert {entry.task_id[:5] for entry in read_entries(text_at(hub, ENTRIES_PATH))} == {"task3"}
    assert {each.dataset_config for each in ModelCard(card).data.eval_results} == {"task3"}
    assert "mlip-ood" in ModelCard(card).data.tags
    assert [task for task in ("task2", "task3") if f"| {task} (" in card] == ["task3"]
    assert f"{MODEL}: left, task3 on {DATASET} (" in done.text
    panels = section_panels(read_entries(text_at(hub, ENTRIES_PATH)))
    assert [panel.title for panel in panels] == ["task3 (fragment combination), edition standard"]
    assert shows(hub.files(MODEL, "model")[SECTION_PICTURE], panels)
    assert f"({SECTION_PICTURE})" in card
    assert retracted((), RetractOptions(repo=MODEL, tasks=("task3",)))[0].state == "retracted"
    assert files_of(hub) == {"README.md": CARD.encode()}


def test_a_picture_of_others_stays(hub, own_repo, hub_result):
    pushed(hub_result("task2"))
    hub.commit(MODEL, "model", {SECTION_PICTURE: b"another picture under this name"})
    retracted([hub_result("task2")])
    assert files_of(hub) == {"README.md": CARD.encode()}
    assert hub.files(MODEL, "model")[SECTION_PICTURE] == b"another picture under this name"


def test_what_was_pushed_one_by_one_goes_one_by_one(hub, own_repo, hub_result):
    for task in ("task2", "task3"):
        pushed(hub_result(task))
    for task in ("task2", "task3"):
        retracted([hub_result(task)])
    assert files_of(hub) == {"README.md": CARD.encode()}


def test_numbers_of_other_evaluations_are_left_and_named(hub, own_repo, hub_result):
    hub.commit(MODEL, "model", {ENTRIES_PATH: THEIRS.encode()})
    pushed(hub_result("task2"))
    theirs = text_at(hub, ENTRIES_PATH)
    from datetime import UTC, datetime

    (none,) = retracted([hub_result("task2", created=datetime(2026, 8, 2, tzinfo=UTC)), hub_result("task4")])
    assert none.state == "unchanged"
    assert "left, task2 on" in none.text
    assert "not from these results" in none.text
    assert f"left, task4 on {DATASET} (score): not written by push" in none.text
    assert text_at(hub, ENTRIES_PATH) == theirs
    (done,) = retracted((), OF_REPO)
    assert f"left, task4 on {DATASET} (score): not written by push" in done.text
    assert files_of(hub) == {"README.md": CARD.encode(), ENTRIES_PATH: THEIRS.encode()}


def test_numbers_in_other_files_are_left_and_named(hub, own_repo, hub_result):
    pushed(hub_result("task2"))
    files = {".eval_results/other.yaml": THEIRS.encode(), ".eval_results/odd.yaml": b"- ["}
    hub.commit(MODEL, "model", files)
    (done,) = retracted((), OF_REPO)
    assert (
        f"left, task4 on {DATASET} (score): in .eval_results/other.yaml, which is not a file that push writes"
        in done.text
    )
    assert "left, .eval_results/odd.yaml, which cannot be read" in done.text
    assert files.items() <= hub.files(MODEL, "model").items()
    assert ENTRIES_PATH not in hub.files(MODEL, "model")


def test_only_the_data_set_or_level_that_is_named(hub, own_repo, hub_result, make_result):
    from dataset_builders.card.eval_yaml import eval_yaml
    from dataset_builders.chemistry.levels import LEVELS

    configs = ["task2", "task2-wb97x"]
    commit = hub.add_repo("compgen/other", "dataset", {"eval.yaml": eval_yaml(configs).encode()})
    pushed(hub_result())
    pushed(make_result(revision=commit, dataset={"id": "compgen/other"}))
    pushed(make_result(revision=commit, dataset={"id": "compgen/other", "suffix": "wb97x"}))
    hub.rename("compgen/other", "compgen/later", "dataset")
    retracted((), RetractOptions(repo=MODEL, level=LEVELS["wb97x"]))
    found = read_entries(text_at(hub, ENTRIES_PATH))
    assert {(each.dataset_id, each.task_id[:6]) for each in found} == {(DATASET, "task2_"), ("compgen/other", "task2_")}
    retracted((), RetractOptions(repo=MODEL, dataset="compgen/later"))
    assert {each.dataset_id for each in read_entries(text_at(hub, ENTRIES_PATH))} == {DATASET}
    retracted((), RetractOptions(repo=MODEL, dataset=DATASET.upper()))
    assert files_of(hub) == {"README.md": CARD.encode()}


def test_results_are_found_under_the_names_of_today(hub, own_repo, hub_result):
    result = hub_result()
    pushed(result)
    hub.rename(DATASET, "compgen/later", "dataset")
    hub.rename(MODEL, "ann/later", "model")
    (done,) = retracted([result])
    assert (done.repo, done.state) == ("ann/later", "retracted")
    assert files_of(hub, "ann/later") == {"README.md": CARD.encode()}


def test_numbers_on_a_data_set_that_is_gone_can_go(hub, own_repo, hub_result):
    result = hub_result()
    pushed(result)
    HfApi().delete_repo(DATASET, repo_type="dataset")
    assert retracted([result])[0].state == "retracted"
    assert files_of(hub) == {"README.md": CARD.encode()}


def test_weights_that_changed_keep_no_number(hub, own_repo, hub_result):
    pushed(hub_result())
    hub.commit(MODEL, "model", {"model.safetensors": b"new \0 weights"})
    assert retracted([hub_result()])[0].state == "retracted"


def test_a_tag_that_was_there_before_stays(hub, own_repo, hub_result):
    card = "---\ntags: [a, mlip-ood]   # mine\n---\n# A model\n"
    hub.commit(MODEL, "model", {"README.md": card.encode()})
    pushed(hub_result())
    hub.commit(MODEL, "model", {"README.md": text_at(hub, "README.md").replace("# A model", "# Mine").encode()})
    retracted([hub_result()])
    assert text_at(hub, "README.md") == card.replace("# A model", "# Mine")


def test_what_the_owner_changed_since_stays(hub, own_repo, hub_result):
    pushed(hub_result())
    card = text_at(hub, "README.md").replace("license: mit", "license: mit # x\nlanguage: en") + "\n## More\n\ntext"
    hub.commit(MODEL, "model", {"README.md": card.encode()})
    retracted([hub_result()])
    assert text_at(hub, "README.md") == "---\nlicense: mit # x\nlanguage: en\n---\n\n# A model\n\n## More\n\ntext"


def test_a_repo_without_card_or_history_of_pushes(hub, own_repo, hub_result):
    hub.commit(MODEL, "model", {}, deletions=["README.md"])
    pushed(hub_result())
    files = files_of(hub)
    hub.commit(MODEL, "model", {}, deletions=[*files])
    hub.commit(MODEL, "model", files, message="squashed")
    hub.rename(MODEL, "ann/other", "model")
    retracted([hub_result()])
    assert files_of(hub, "ann/other") == {}


def test_a_card_of_which_no_history_is_known_loses_the_section_alone(hub, own_repo, hub_result):
    pushed(hub_result())
    hub.add_repo("ann/copy", files=hub.files(MODEL, "model"))
    retracted((), RetractOptions(repo="ann/copy"))
    assert files_of(hub, "ann/copy") == {"README.md": CARD.encode()}


def test_a_section_without_entries_goes_when_all_is_asked_for(hub, own_repo, hub_result):
    pushed(hub_result())
    hub.commit(MODEL, "model", {}, deletions=[ENTRIES_PATH])
    retracted((), OF_REPO)
    assert files_of(hub) == {"README.md": CARD.encode()}


def test_a_repo_of_others_gets_a_pull_request(hub, foreign_result):
    pushed(foreign_result())
    hub.log_in("ann")
    hub.add_user("bob")
    hub.log_in("bob")
    HfApi().merge_pull_request(FOREIGN, 1)
    hub.log_in("ann")
    (done,) = retracted([foreign_result()])
    opened = hub.pull_requests(FOREIGN, "model")[1]
    assert (done.state, done.url) == ("retracted", f"{hub.endpoint}/{FOREIGN}/discussions/2")
    assert "retraction is a pull request, for the owner to merge" in done.text
    assert (opened.title, opened.author) == (RETRACTION_TITLE, "ann")
    (again,) = retracted([foreign_result()])
    assert (again.state, again.url) == ("unchanged", done.url)
    assert "your open pull request 2 already removes it" in again.text
    hub.log_in("bob")
    HfApi().merge_pull_request(FOREIGN, 2)
    assert ENTRIES_PATH not in hub.files(FOREIGN, "model")
    assert text_at(hub, "README.md", FOREIGN) == "---\nlicense: mit\n---\n\n# Bob's\n"


def test_an_open_pull_request_of_ones_own_is_closed(hub, foreign_result):
    pushed(foreign_result())
    (done,) = retracted([foreign_result()])
    (found,) = hub.pull_requests(FOREIGN, "model")
    assert (done.state, found.status) == ("retracted", "closed")
    assert f"closed your pull request 1: {hub.endpoint}/{FOREIGN}/discussions/1" in done.text
    assert retracted([foreign_result()])[0].state == "unchanged"


def test_an_open_pull_request_with_more_is_amended(hub, foreign_result):
    pushed(foreign_result("task2", "task3"))
    (done,) = retracted([foreign_result("task2", "task3")], RetractOptions(tasks=("task3",)))
    (found,) = hub.pull_requests(FOREIGN, "model")
    assert (done.state, found.status) == ("retracted", "open")
    assert "amended your pull request 1" in done.text
    left = read_entries(text_at(hub, ENTRIES_PATH, FOREIGN, "refs/pr/1"))
    assert {entry.task_id[:5] for entry in left} == {"task2"}


def test_pull_requests_of_others_are_left_alone(hub, foreign_result):
    pushed(foreign_result())
    hub.add_user("eve")
    hub.log_in("eve")
    assert retracted([foreign_result()])[0].state == "unchanged"
    assert [each.status for each in hub.pull_requests(FOREIGN, "model")] == ["open"]


def test_merged_and_open_results_go_both(hub, own_repo, hub_result):
    pushed(hub_result("task2"))
    pushed(hub_result("task3"), PushOptions(route="pull request"))
    both = retracted((), OF_REPO)
    assert [each.state for each in both] == ["retracted", "retracted"]
    assert files_of(hub) == {"README.md": CARD.encode()}
    assert [each.status for each in hub.pull_requests(MODEL, "model")] == ["closed"]


def test_a_dry_run_shows_the_diff_and_sends_nothing(hub, foreign_result, hub_result):
    pushed(hub_result())
    pushed(foreign_result())
    n_writes = len(writes(hub))
    (done,) = retracted([hub_result()], RetractOptions(dry_run=True))
    assert done.text.startswith(
        f"{MODEL}: would be one commit; nothing was sent\n{MODEL}: would be removed, task2 on {DATASET}"
    )
    assert f"--- a/{ENTRIES_PATH}\n+++ /dev/null\n" in done.text
    assert "-<!-- mlip-ood:begin -->\n" in done.text
    (theirs,) = retracted([foreign_result()], RetractOptions(dry_run=True))
    assert "would close your open pull request 1; nothing was sent" in theirs.text
    hub.log_out()
    (nobody,) = retracted((), RetractOptions(repo=MODEL, dry_run=True))
    assert "would be one commit if the repo is yours, else a pull request (nobody is logged in)" in nobody.text
    assert len(writes(hub)) == n_writes


def test_without_login_or_name_nothing_is_done(hub, own_repo, hub_result):
    with pytest.raises(UsageError, match="nothing to retract is given; expected run folders, or a repo"):
        retracted()
    with pytest.raises(UsageError, match="--repo 'a b/c'; expected the id of a model repo"):
        retracted((), RetractOptions(repo="a b/c"))
    with pytest.raises(UsageError, match="not pinned to a commit"):
        retracted([hub_result(revision=None)])
    with pytest.raises(UsageError, match=r"here was not loaded from the Hub.*--repo org/name"):
        retracted([hub_result(model={"id": "here", "revision": None})])
    with pytest.raises(DataError, match="there is no model ann/absent on the Hub"):
        retracted((), RetractOptions(repo="ann/absent"))
    hub.log_out()
    with pytest.raises(SetupError, match="retracting needs a login"):
        retracted([hub_result()])


def test_neither_side_of_a_conflict_is_lost(hub, own_repo, hub_result):
    pushed(hub_result("task2"))
    entries = text_at(hub, ENTRIES_PATH) + THEIRS
    card = text_at(hub, "README.md").replace("# A model", "# A better title")
    change = {"README.md": card.encode(), ENTRIES_PATH: entries.encode()}
    hub.order(Fault(method="POST", path="/commit/", before=lambda: hub.commit(MODEL, "model", change)))
    assert retracted([hub_result("task2")])[0].state == "retracted"
    assert files_of(hub) == {
        "README.md": CARD.replace("# A model", "# A better title").encode(),
        ENTRIES_PATH: THEIRS.encode(),
    }


@pytest.mark.parametrize("by_pull_request", [False, True])
@pytest.mark.parametrize(
    "fault",
    [
        Fault(method="POST", path="/commit/", truncate=5),
        Fault(method="POST", path="/commit/", status=503),
        Fault(method="POST", path="/commit/", status=412),
        Fault(path="/commits/", status=500),
        Fault(path="/api/models/", cut=True),
        Fault(path="/discussions", status=500),
        Fault(path="README.md", truncate=3),
    ],
    ids=lambda fault: f"{fault.path}-{fault.status or fault.truncate or 'cut'}",
)
def test_what_may_pass_is_tried_again(hub, own_repo, hub_result, no_waiting, fault, by_pull_request):
    pushed(hub_result())
    route = "pull request" if by_pull_request else "own"
    hub.order(fault)
    assert retracted([hub_result()], RetractOptions(route=route))[0].state == "retracted"
    assert retracted([hub_result()], RetractOptions(route=route))[0].state == "unchanged"
    revision = "refs/pr/1" if by_pull_request else "main"
    assert files_of(hub, revision=revision) == {"README.md": CARD.encode()}
    assert len(hub.history(MODEL, "model", revision=revision)) == 3
    assert len(hub.pull_requests(MODEL, "model")) == by_pull_request


def test_a_lost_answer_closes_a_pull_request_once(hub, foreign_result, no_waiting):
    pushed(foreign_result())
    hub.order(Fault(method="POST", path="/status", truncate=3))
    assert retracted([foreign_result()])[0].state == "retracted"
    assert [each.status for each in hub.pull_requests(FOREIGN, "model")] == ["closed"]


def test_a_run_that_was_never_whole_is_in_no_repo(hub, own_repo, hub_result):
    result = hub_result()
    task = result.tasks["task2"]
    partial = task.model_copy(update={"splits": {"test_id": task.splits["test_id"]}})
    assert retracted([result.model_copy(update={"tasks": {"task2": partial}})])[0].state == "unchanged"


@pytest.mark.parametrize(
    ("path", "content"),
    [("README.md", b"---\na: [\n---\n"), ("README.md", b"\xff"), (ENTRIES_PATH, b"- ["), (ENTRIES_PATH, b"\xff")],
)
def test_files_that_cannot_be_read_are_left_alone(hub, own_repo, hub_result, path, content):
    pushed(hub_result())
    hub.commit(MODEL, "model", {path: content})
    with pytest.raises(DataError, match=r"is not (YAML|UTF-8)"):
        retracted((), OF_REPO)
    assert len(writes(hub)) == 1


def test_the_command_takes_run_folders_back(hub, own_repo, hub_result, tmp_path, capsys):
    from harness.cli import main as harness

    hub_result("task2").save(tmp_path / "run" / "result.json")
    pushed(hub_result("task2"))
    assert main([str(tmp_path / "run"), "--dry-run"]) == 0
    assert "would be one commit; nothing was sent" in capsys.readouterr().out
    assert harness(["retract", str(tmp_path / "run")]) == 0
    newest = hub.history(MODEL, "model")[0]
    assert f"{MODEL}: retracted: {hub.endpoint}/{MODEL}/commit/{newest.sha}\n" in capsys.readouterr().out
    assert harness(["retract", "--repo", MODEL, "--task", "task2", "--labels", "gfn2-xtb"]) == 0
    assert capsys.readouterr().out == f"{MODEL}: nothing to retract: {hub.endpoint}/{MODEL}\n"
    assert harness(["retract"]) == 2
    assert "nothing to retract is given" in capsys.readouterr().err


FRONTS = [
    "",
    "license: mit\n",
    "tags: mlip-ood\n",
    "tags: other\n",
    "tags: []\n",
    "tags:\nlicense: mit # theirs\n",
    "tags: [a, b]\nmodel-index: []\n",
    "tags:\n- a\n# theirs\n- b\nlicense: mit\n",
    "tags:\n  - mlip-ood\n",
    "model-index:\n- name: x\n  results:\n  - task: {type: t}\n    dataset: {name: d, type: d}\n    metrics: []  # c\n",
    "model_name: M\nmodel-index: [{name: M, results: []}]\n",
]
BODIES = [
    "",
    "# A model",
    "# A model\n",
    "# A model\n\n",
    "\n# A model\n\n\n\ntext\n\n\n",
    "\n",
    "\n\n",
    "text  \n\t\n",
]
ENTRIES = [None, "# comment", "# comment\n", "- {dataset: {id: a/b, task_id: t}, value: 1}", THEIRS]


@st.composite
def cards(draw):
    front = draw(st.sampled_from(FRONTS))
    has_front = draw(st.booleans())
    text = (f"---\n{front}---\n" if has_front else "") + draw(st.sampled_from(BODIES))
    return text.replace("\n", draw(st.sampled_from(["\n", "\r\n", "\r"])))


def push_to(files, result):
    """The files as a push makes them."""
    entries = merge_entries(files.entries.get(ENTRIES_PATH), entries_of(result, f"{MODEL}@main"))
    sound = examine_entries(entries).entries
    return Files(
        {ENTRIES_PATH: entries}, card_with_results(files.card, MODEL, eval_results_of(result), section_text(sound))
    )


@settings(
    max_examples=20,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(card=st.one_of(st.none(), cards()), entries=st.sampled_from(ENTRIES), of_runs=st.booleans())
@example(card="\ufeff---\nlicense: mit\n---\n", entries=None, of_runs=True)
@example(card="\ufeff# A model\n", entries=None, of_runs=False)
def test_push_and_retract_give_back_the_same_bytes(make_result, card, entries, of_runs):
    before, result = Files({} if entries is None else {ENTRIES_PATH: entries}, card), make_result("task2")
    try:
        after = push_to(before, result)
    except DataError:
        return  # nothing was pushed
    selection = Selection(results=(result,)) if of_runs else Selection()
    found = retraction(after, MODEL, selection, str, lambda: before).files
    if "tags: other" not in (card or "") and "tags: mlip-ood" not in (card or ""):  # which the Hub takes no more
        assert found == before
    # Where the history is not known, no word of others is lost.
    rest = retraction(after, MODEL, selection, str, lambda: None).files
    assert "mlip-ood:begin" not in (rest.card or "")
    words = [*split_card(card or "").body.split(), *(entries or "").split()]
    assert all(word in (rest.card or "") + rest.entries.get(ENTRIES_PATH, "") for word in words)


@pytest.mark.parametrize("card", ["# A model", "---\r\ntags: [x]\r\n---\r\ntext", "---\rtags: []\r---\rtext\r\r\r"])
def test_the_hub_gives_back_the_same_bytes(hub, own_repo, hub_result, card):
    hub.commit(MODEL, "model", {"README.md": card.encode(), ENTRIES_PATH: THEIRS.encode()})
    before = hub.files(MODEL, "model")
    pushed(hub_result("task2"))
    retracted([hub_result("task2")])
    assert hub.files(MODEL, "model") == before
    assert PULL_REQUEST_TITLE in [commit.title for commit in hub.history(MODEL, "model")]
