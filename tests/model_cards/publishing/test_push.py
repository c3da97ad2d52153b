import json
import warnings

import pytest
from huggingface_hub import HfApi, ModelCard

from dataset_builders.core.console import exit_code_of
from dataset_builders.core.errors import DataError, IncompleteError, ModelError, SetupError, UsageError
from model_cards.cards.section_picture import SECTION_PICTURE
from model_cards.entries.entries import ENTRIES_PATH, PULL_REQUEST_TITLE, read_entries
from model_cards.entries.notes import parse_notes
from model_cards.publishing.push import PushedRepo, PushOptions, push_results
from model_cards.publishing.push_command import main
from tests.model_cards.conftest import DATASET, FILES, FOREIGN, MODEL

OWN, DIRECT, BY_PULL_REQUEST = PushOptions(), PushOptions(route="commit"), PushOptions(route="pull request")


def pushed(result, options=OWN):
    return push_results([result], options).repos[0]


def text_at(hub, path, repo=MODEL, revision="main"):
    return hub.files(repo, "model", revision=revision)[path].decode()


def writes(hub):
    return [each for each in hub.log if each.method in ("POST", "PUT", "DELETE") and "/commit/" in each.path]


def test_a_push_to_ones_own_repo_is_one_commit(hub, own_repo, hub_result):
    done = pushed(hub_result("task2"))
    newest, first = hub.history(MODEL, "model")
    assert done == PushedRepo(MODEL, "pushed", f"{hub.endpoint}/{MODEL}/commit/{newest.sha}")
    assert done.text == f"{MODEL}: {done.url}"
    assert (first.sha, newest.title, newest.author) == (own_repo, PULL_REQUEST_TITLE, "ann")
    assert newest.changed == (ENTRIES_PATH, "README.md", SECTION_PICTURE)
    assert DATASET in newest.message
    card = text_at(hub, "README.md")
    assert card.startswith("---\nlicense: mit\ntags:\n- mlip-ood\nmodel-index:\n")
    assert "\n---\n\n# A model\n\n<!-- mlip-ood:begin -->\n" in card


def test_the_clients_read_what_was_pushed(hub, own_repo, hub_result):
    pushed(hub_result("task2", "task3"))
    info = HfApi().model_info(MODEL, expand=["evalResults", "tags"])
    assert [entry.task_id for entry in info.eval_results][:2] == ["task2_score", "task3_score"]
    assert "mlip-ood" in info.tags
    data = ModelCard.load(MODEL).data
    assert data.model_name == MODEL
    assert len(data.eval_results) == 12
    published = {(each.dataset_config, each.metric_name): each.metric_value for each in data.eval_results}
    entries = {entry.task_id: entry.value for entry in read_entries(text_at(hub, ENTRIES_PATH))}
    assert published["task3", "score, 0 to 100"] == entries["task3_score"]
    assert published["task2", "ID force MAE, meV/Å"] == entries["task2_id_force_mae"]


def test_the_section_shows_the_gap_as_a_picture(hub, own_repo, hub_result):
    pushed(hub_result("task2"))
    first = hub.files(MODEL, "model")[SECTION_PICTURE]
    assert first.startswith(b"\x89PNG")
    line = next(each for each in text_at(hub, "README.md").splitlines() if each.startswith("!["))
    values = {entry.task_id: entry.value for entry in read_entries(text_at(hub, ENTRIES_PATH))}
    assert line.startswith(
        "![Force errors with 95 % intervals. task2 (fragment duplication), edition standard, this model"
    )
    assert f"ID {values['task2_id_force_mae']:.1f} (" in line
    assert f"gap {values['task2_gap']:.2f} (" in line
    assert line.endswith(f"]({SECTION_PICTURE})")
    pushed(hub_result("task3"))
    assert hub.files(MODEL, "model")[SECTION_PICTURE] != first
    assert "; task3 (fragment combination), edition standard" in text_at(hub, "README.md")


def test_a_picture_by_another_version_of_a_library_stays(hub, own_repo, hub_result):
    pushed(hub_result())
    other = hub.files(MODEL, "model")[SECTION_PICTURE] + b"\0"
    hub.commit(MODEL, "model", {SECTION_PICTURE: other})
    assert pushed(hub_result()).state == "unchanged"
    hub.commit(MODEL, "model", {}, deletions=[SECTION_PICTURE])
    assert pushed(hub_result()).state == "pushed"
    assert hub.files(MODEL, "model")[SECTION_PICTURE] == other[:-1]


def test_a_file_of_others_with_the_name_of_the_picture_stays(hub, foreign_result):
    hub.commit(FOREIGN, "model", {SECTION_PICTURE: b"Bob's own picture"})
    pushed(foreign_result())
    (opened,) = hub.pull_requests(FOREIGN, "model")
    files = hub.files(FOREIGN, "model", revision=opened.revision)
    assert files[SECTION_PICTURE] == b"Bob's own picture"
    assert SECTION_PICTURE not in files["README.md"].decode()
    assert "## Compositional generalisation" in files["README.md"].decode()


def test_the_same_result_again_changes_nothing(hub, own_repo, hub_result):
    pushed(hub_result())
    again = pushed(hub_result())
    assert again == PushedRepo(MODEL, "unchanged", f"{hub.endpoint}/{MODEL}")
    assert again.text == f"{MODEL}: unchanged, it already contains these results: {hub.endpoint}/{MODEL}"
    assert len(hub.history(MODEL, "model")) == 2
    assert len(writes(hub)) == 1


def test_a_later_task_keeps_the_earlier_one(hub, own_repo, hub_result):
    pushed(hub_result("task2"))
    pushed(hub_result("task3"))
    card = text_at(hub, "README.md")
    assert [task for task in ("task1", "task2", "task3", "task4") if f"| {task} (" in card] == ["task2", "task3"]
    assert len(read_entries(text_at(hub, ENTRIES_PATH))) == 12
    assert len(ModelCard(card).data.eval_results) == 12
    assert card.count("<!-- mlip-ood:begin -->") == 1
    assert pushed(hub_result("task2", "task3")).state == "unchanged"


def test_a_repo_without_card_gets_one(hub, own_repo, hub_result):
    hub.commit(MODEL, "model", {}, deletions=["README.md"])
    pushed(hub_result())
    card = text_at(hub, "README.md")
    assert set(ModelCard(card).data.to_dict()) == {"tags", "model-index"}
    assert "\n---\n\n# ann/model\n\n<!-- mlip-ood:begin -->\n" in card


def test_crlf_and_bytes_outside_stay(hub, own_repo, hub_result):
    card = "---\r\nlicense:   mit   # ours\r\n---\r\n\r\n# A model  \r\n\r\ttext\r\n"
    hub.commit(MODEL, "model", {"README.md": card.encode()})
    pushed(hub_result())
    new = text_at(hub, "README.md")
    assert new.startswith("---\r\nlicense:   mit   # ours\r\ntags:\r\n")
    assert "---\r\n\r\n# A model  \r\n\r\ttext\r\n\r\n<!-- mlip-ood:begin -->\r\n" in new
    assert new.count("\n") == new.count("\r\n")
    assert pushed(hub_result()).state == "unchanged"


def test_a_model_from_here_is_pushed_to_a_named_repo(hub, own_repo, hub_result):
    result = hub_result(model={"id": "reference", "revision": None})
    with pytest.raises(UsageError, match=r"reference was not loaded from the Hub.*give it with --repo org/name"):
        pushed(result)
    options = PushOptions(repo=MODEL)
    pushed(result, options)
    model = parse_notes(read_entries(text_at(hub, ENTRIES_PATH))[0].notes)["model"]
    assert model == f"{MODEL}@{own_repo}"
    assert pushed(result, options).state == "unchanged"


@pytest.mark.parametrize("repo", ["model", "a/b/c", "a/b@main", "https://huggingface.co/a/b", "a b/c"])
def test_a_repo_that_is_none_is_refused(hub, own_repo, hub_result, repo):
    with pytest.raises(UsageError, match=r"--repo .*; expected the id of a model repo on the Hub, org/name"):
        pushed(hub_result(), PushOptions(repo=repo))


def test_a_file_in_a_repo_goes_to_that_repo(hub, own_repo, hub_result):
    pushed(hub_result(model={"id": f"{MODEL}/model.safetensors"}))
    assert "| `ann/model/model.safetensors` |" in text_at(hub, "README.md")


def test_results_of_several_repos_go_to_each(hub, own_repo, hub_result):
    hub.add_repo("compgen/other", files=FILES)
    results = [hub_result("task2"), hub_result("task2", model={"id": "compgen/other"}), hub_result("task3")]
    done = push_results(results, PushOptions()).repos
    assert [(each.repo, each.state) for each in done] == [(MODEL, "pushed"), ("compgen/other", "pushed")]
    assert len(read_entries(text_at(hub, ENTRIES_PATH))) == 12
    assert len(hub.history(MODEL, "model")) == 2


def test_nothing_is_sent_where_one_of_several_is_refused(hub, own_repo, hub_result):
    hub.add_repo("compgen/other", files={"model.safetensors": b"other"})
    with pytest.raises(ModelError, match="does not belong to the files in model compgen/other"):
        push_results([hub_result(), hub_result(model={"id": "compgen/other"})], PushOptions())
    assert writes(hub) == []


def test_a_repo_of_others_gets_a_pull_request(hub, foreign_result):
    done = pushed(foreign_result())
    (opened,) = hub.pull_requests(FOREIGN, "model")
    assert done == PushedRepo(
        FOREIGN, "pushed", f"{hub.endpoint}/{FOREIGN}/discussions/{opened.number}", pull_request=1
    )
    assert (opened.title, opened.author, opened.status) == (PULL_REQUEST_TITLE, "ann", "open")
    assert len(hub.history(FOREIGN, "model")) == 1
    assert ENTRIES_PATH in hub.files(FOREIGN, "model", revision=opened.revision)


def test_an_open_pull_request_is_added_to(hub, foreign_result):
    pushed(foreign_result("task2"))
    again = pushed(foreign_result("task2"))
    (opened,) = hub.pull_requests(FOREIGN, "model")
    assert again == PushedRepo(
        FOREIGN, "unchanged", f"{hub.endpoint}/{FOREIGN}/discussions/{opened.number}", pull_request=1
    )
    later = pushed(foreign_result("task3"))
    assert (later.state, later.url) == ("pushed", again.url)
    assert len(hub.pull_requests(FOREIGN, "model")) == 1
    assert len(read_entries(text_at(hub, ENTRIES_PATH, FOREIGN, opened.revision))) == 12
    assert len(hub.history(FOREIGN, "model", revision=opened.revision)) == 3


def test_pull_requests_of_others_or_closed_ones_are_left_alone(hub, foreign_result):
    hub.add_user("eve")
    for user, title in [("eve", PULL_REQUEST_TITLE), ("ann", "Another matter")]:
        hub.log_in(user)
        HfApi().create_pull_request(FOREIGN, title=title)
    hub.log_in("ann")
    pushed(foreign_result())
    third = hub.pull_requests(FOREIGN, "model")[2]
    assert (third.title, third.author) == (PULL_REQUEST_TITLE, "ann")
    HfApi().change_discussion_status(FOREIGN, third.number, "closed")
    assert pushed(foreign_result()).url.endswith("/discussions/4")


@pytest.mark.parametrize(
    ("repo", "options", "by_pull_request"),
    [
        (MODEL, PushOptions(), False),
        ("compgen/model", PushOptions(), False),
        ("readers/model", PushOptions(), True),
        (FOREIGN, PushOptions(), True),
        (MODEL, BY_PULL_REQUEST, True),
    ],
)
def test_how_results_go(hub, foreign_repo, hub_result, repo, options, by_pull_request):
    if repo not in (MODEL, FOREIGN):
        hub.add_repo(repo, files=FILES)
    done = pushed(hub_result(model={"id": repo}), options)
    assert ("/discussions/" in done.url) == by_pull_request
    assert len(hub.pull_requests(repo, "model")) == by_pull_request


def test_a_direct_push_to_others_is_refused_by_the_hub(hub, foreign_result):
    with pytest.raises(
        SetupError, match=r"your token does not permit this on model bob/model .* pull request with --create-pr"
    ):
        pushed(foreign_result(), DIRECT)
    assert len(hub.history(FOREIGN, "model")) == 1


def test_without_login_nothing_is_done(hub, own_repo, hub_result):
    hub.log_out()
    before = len(hub.log)
    for result in (hub_result(), hub_result(revision=None)):
        with pytest.raises(SetupError, match=r"pushing needs a login: run `hf auth login`, or set HF_TOKEN"):
            pushed(result)
    assert len(hub.log) == before


def test_a_token_of_nobody_is_refused(hub, own_repo, hub_result, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "hf_nobody")
    with pytest.raises(SetupError, match="the Hub does not accept your token") as found:
        pushed(hub_result())
    assert "hf_nobody" not in str(found.value)


def test_a_dry_run_shows_the_diff_and_sends_nothing(hub, own_repo, hub_result):
    hub.log_out()
    done = pushed(hub_result(), PushOptions(dry_run=True))
    assert done.state == "dry run"
    assert done.text.startswith(
        f"{MODEL}: would be one commit if the repo is yours, else a pull request (nobody is logged in); nothing was "
        f"sent\n--- /dev/null\n+++ b/{ENTRIES_PATH}\n"
    )
    assert "--- a/README.md\n+++ b/README.md\n@@ -1,5 +1," in done.plan
    assert "\n license: mit\n+tags:\n+- mlip-ood\n" in done.plan
    assert writes(hub) == []


def test_a_dry_run_says_how_results_would_go(hub, foreign_result, hub_result):
    dry = PushOptions(dry_run=True)
    assert f"{MODEL}: would be one commit; nothing" in pushed(hub_result(), dry).text
    assert f"{FOREIGN}: would be a new pull request; nothing" in pushed(foreign_result(), dry).text
    pushed(foreign_result())
    added = pushed(foreign_result("task3"), dry).text
    assert f"{FOREIGN}: would be one commit in your open pull request 1; nothing" in added
    assert "+    task_id: task2_score" not in added
    assert pushed(foreign_result(), dry).state == "unchanged"


def test_a_dry_run_names_a_missing_last_line_ending(hub, own_repo, hub_result):
    hub.commit(MODEL, "model", {"README.md": b"# A model"})
    assert "-# A model\n\\ No newline at end of file\n+---\n" in pushed(hub_result(), PushOptions(dry_run=True)).plan


@pytest.mark.parametrize(
    ("card", "error", "message"),
    [
        ("---\nlicense: [\n---\n", DataError, r"the YAML at the head of README\.md is not YAML"),
        ("---\n- a\n---\n", DataError, r"the YAML at the head of README\.md is a list; expected keys and values"),
        ("---\nmodel-index: 3\n---\n", DataError, "model-index in the YAML .* is not a list of models"),
        ("# A\n<!-- mlip-ood:begin -->\n", DataError, "expected one of each, in this order"),
    ],
)
def test_a_card_that_cannot_be_added_to_is_left_alone(hub, own_repo, hub_result, card, error, message):
    hub.commit(MODEL, "model", {"README.md": card.encode()})
    with pytest.raises(error, match=message):
        pushed(hub_result())
    assert text_at(hub, "README.md") == card
    assert writes(hub) == []


STRANGE = f"""\
- dataset: {{id: {DATASET}, task_id: task4_score}}   # theirs
  value: 1000
- dataset: {{id: {DATASET}, task_id: task1_score}}
  value: 70
  source: {{url: https://example.org, name: x}}
  notes: "protocol: a | b <img src=x> `c` [d](https://example.org); model: x`y|z"
"""


def test_entries_of_strangers_stay_and_reach_the_card_as_text_or_not_at_all(hub, own_repo, hub_result):
    hub.commit(MODEL, "model", {ENTRIES_PATH: STRANGE.encode()})
    done = pushed(hub_result())
    assert text_at(hub, ENTRIES_PATH).startswith(STRANGE)
    assert f"{MODEL}: not on the card, entry 1, task4_score: value is 1000; expected 0 to 100" in done.text
    card = text_at(hub, "README.md")
    assert "<img" not in card
    (row,) = (line for line in card.splitlines() if line.startswith("| task1 "))
    assert row.replace("\\|", "").count("|") == 8
    assert "a \\| b &lt;img src=x&gt; &#96;c&#96; [d]\\(`https://example.org`)" in row
    assert pushed(hub_result()).state == "unchanged"


def test_entries_with_a_source_without_address_end_no_push(hub, own_repo, hub_result):
    text = "- dataset: {id: other/bench, task_id: t}\n  value: 1\n  source: {name: x}\n" + STRANGE.replace(
        "url: https://example.org, ", ""
    )
    hub.commit(MODEL, "model", {ENTRIES_PATH: text.encode(), ".eval_results/other.yaml": text.encode()})
    done = pushed(hub_result(), PushOptions(dry_run=True))
    assert not [line for line in done.plan.splitlines() if line.startswith("-") and not line.startswith("---")]
    with pytest.raises(
        DataError, match=r"the Hub rejects the content sent to model ann/model as invalid: .*source\.url"
    ):
        pushed(hub_result())
    hub.commit(MODEL, "model", {}, deletions=[ENTRIES_PATH])
    assert pushed(hub_result()).state == "pushed"
    assert text_at(hub, ".eval_results/other.yaml") == text


@pytest.mark.parametrize(
    ("path", "content", "message"),
    [
        (ENTRIES_PATH, b"5\n", "contains a int; expected a list"),
        (ENTRIES_PATH, b"[" * 5000, "lists and mappings deep"),
        (ENTRIES_PATH, b"\xff", "is not UTF-8"),
        (ENTRIES_PATH, b"#" * 11 * 2**20, "is larger than 10,485,760 bytes"),
        ("README.md", b"#" * 11 * 2**20, "is larger than 10,485,760 bytes"),
        ("README.md", b"\xff", "is not UTF-8"),
        ("README.md", b"---\na: " + b"[" * 5000 + b"\n---\n", "lists and mappings deep"),
        ("README.md", b"\xef\xbb\xbf---\nlicense: mit\n---\n", "byte order mark"),
    ],
    ids=lambda value: repr(value)[:30],
)
def test_files_that_cannot_be_added_to_are_left_alone(hub, own_repo, hub_result, path, content, message):
    hub.commit(MODEL, "model", {path: content})
    with pytest.raises(DataError, match=message):
        pushed(hub_result())
    assert hub.files(MODEL, "model")[path] == content
    assert writes(hub) == []


def test_a_card_with_carriage_returns_is_pushed_once(hub, own_repo, hub_result):
    card = "---\rlicense: mit\r---\r\r# A model\r\rtext\r"
    hub.commit(MODEL, "model", {"README.md": card.encode()})
    assert pushed(hub_result()).state == "pushed"
    assert pushed(hub_result()).state == "unchanged"
    new = text_at(hub, "README.md")
    assert new.count("\n") == 1
    assert "\r# A model\r\rtext\r" in new
    assert "mlip-ood" in ModelCard(new).data.tags


def test_a_card_that_the_hub_refuses_is_one_clear_error(hub, own_repo, hub_result):
    hub.commit(MODEL, "model", {"README.md": b"---\nlicense: my own\n---\n"})
    with pytest.raises(DataError, match=r"the Hub rejects the content sent to model ann/model as invalid: .*license"):
        pushed(hub_result())
    assert writes(hub) == []


def test_entries_that_are_no_list_are_left_alone(hub, own_repo, hub_result):
    hub.commit(MODEL, "model", {ENTRIES_PATH: b"a: 1\n"})
    with pytest.raises(DataError, match=r"\.eval_results/mlip-ood\.yaml contains a dict; expected a list"):
        pushed(hub_result())


def test_refusals_come_before_anything_is_sent(hub, own_repo, hub_result):
    hub.commit(MODEL, "model", {"model.safetensors": b"new \0 weights"})
    with pytest.raises(ModelError, match="does not belong to the files in model ann/model"):
        pushed(hub_result())
    with pytest.raises(DataError, match="there is no model ann/absent on the Hub"):
        pushed(hub_result(), PushOptions(repo="ann/absent"))
    with pytest.raises(UsageError, match="not pinned to a commit"):
        pushed(hub_result(revision=None))
    assert writes(hub) == []


def test_the_command_pushes_run_folders(hub, own_repo, hub_result, tmp_path, capsys):
    hub_result("task2").save(tmp_path / "run" / "result.json")
    hub_result("task3").save(tmp_path / "other.json")
    runs = [str(tmp_path / "run"), str(tmp_path / "other.json"), str(tmp_path / "run")]
    assert main(runs) == 0
    newest = hub.history(MODEL, "model")[0]
    assert capsys.readouterr().out == f"{MODEL}: {hub.endpoint}/{MODEL}/commit/{newest.sha}\n"
    assert main([*runs, "--repo", MODEL, "--create-pr"]) == 0
    assert main([*runs, "--dry-run"]) == 0
    assert (
        capsys.readouterr().out
        == 2 * f"{MODEL}: unchanged, it already contains these results: {hub.endpoint}/{MODEL}\n"
    )


def test_the_command_refuses_other_files(hub, own_repo, hub_result, tmp_path, capsys):
    path = tmp_path / "result.json"
    hub_result().save(path)
    path.write_text(json.dumps(json.loads(path.read_text()) | {"schema_version": "0.9"}))
    assert exit_code_of(lambda: main([str(path)])) == 3
    assert "has schema version '0.9'" in capsys.readouterr().err
    assert exit_code_of(lambda: main([str(tmp_path / "nowhere")])) == 3
    with pytest.raises(SystemExit):
        main([str(path), "--direct", "--create-pr"])


def test_failures_of_structures_have_their_exit_code(hub, own_repo, hub_result):
    from tests.harness.results.test_result import failed

    result = hub_result()
    spoilt = result.model_copy(update={"tasks": {"task2": failed(result.tasks["task2"])}})
    with pytest.raises(IncompleteError, match="structures of task2 of ann/model failed"):
        pushed(spoilt)


def test_the_hub_has_nothing_to_warn_of(hub, own_repo, hub_result):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        # The client's own way of sending the picture to large-file storage.
        warnings.filterwarnings("ignore", "Use 'content=<...>' to upload", DeprecationWarning)
        pushed(hub_result())


MINI = {"edition": "mini", "content_hash": "9" * 64}
MINI_PATH = ".eval_results/mlip-ood-mini.yaml"


def test_a_result_on_mini_replaces_nothing_of_standard(hub, own_repo, hub_result):
    pushed(hub_result("task2"))
    of_standard = text_at(hub, ENTRIES_PATH)
    done = pushed(hub_result("task2", dataset=MINI))
    assert done.text == (
        f"{MODEL}: {done.url}\n{MODEL}: mini is the demonstration and test edition (2 conformers of an OOD molecule); "
        "standard (20) ranks models"
    )
    assert text_at(hub, ENTRIES_PATH) == of_standard
    assert {parse_notes(entry.notes)["edition"] for entry in read_entries(of_standard)} == {"standard"}
    assert {parse_notes(entry.notes)["edition"] for entry in read_entries(text_at(hub, MINI_PATH))} == {"mini"}
    card = text_at(hub, "README.md")
    index = [(each.dataset_args["edition"], each.dataset_split) for each in ModelCard(card).data.eval_results]
    assert sorted(set(index)) == [
        (edition, split) for edition in ("mini", "standard") for split in ("test_id", "test_ood")
    ]
    assert len(index) == 12
    assert card.index("edition standard") < card.index("mini is the demonstration and test edition")
    assert "edition mini" in hub.history(MODEL, "model")[0].message
    # In the other order, it is the same.
    assert pushed(hub_result("task2")).state == "unchanged"
    assert pushed(hub_result("task2", dataset=MINI)).state == "unchanged"


def test_results_on_two_editions_go_in_one_push(hub, own_repo, hub_result):
    results = [hub_result("task2"), hub_result("task2", dataset=MINI)]
    (done,) = push_results(results, PushOptions()).repos
    assert done.state == "pushed"
    assert hub.history(MODEL, "model")[0].changed == (MINI_PATH, ENTRIES_PATH, "README.md", SECTION_PICTURE)


def test_retracting_one_edition_keeps_the_other(hub, own_repo, hub_result):
    from model_cards.publishing.retract import RetractOptions, retract_each

    pushed(hub_result("task2"))
    before = hub.files(MODEL, "model")
    pushed(hub_result("task2", dataset=MINI))
    (done,) = retract_each([hub_result("task2", dataset=MINI)], RetractOptions())
    assert done.gone == (f"task2 on {DATASET} (score)",)
    assert hub.files(MODEL, "model") == before


def test_the_overall_score_is_the_first_entry_and_needs_all_four_tasks(hub, own_repo, hub_result):
    from model_cards.publishing.retract import RetractOptions, retract_each

    def published():
        return {entry.task_id: entry for entry in HfApi().model_info(MODEL, expand=["evalResults"]).eval_results}

    pushed(hub_result("task1", "task2", "task3"))
    assert list(published()) == ["task1_score", "task2_score", "task3_score"]
    pushed(hub_result("task4"))
    found = published()
    scores = [found.pop(f"task{number}_score").value for number in range(1, 5)]
    assert list(found) == ["overall_score"]
    assert found["overall_score"].value == pytest.approx(sum(scores) / 4, abs=0.00501)
    assert parse_notes(found["overall_score"].notes)["mean of"] == "task1 task2 task3 task4"
    (done,) = retract_each([hub_result("task4")], RetractOptions())
    assert done.state == "retracted"
    assert list(published()) == ["task1_score", "task2_score", "task3_score"]
