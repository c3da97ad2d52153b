"""What strangers write never takes down, alters or outranks what others published."""

import json
from datetime import UTC, datetime, timedelta

import pytest
from huggingface_hub import HfApi
from ruamel.yaml import YAML

from dataset_builders.card.eval_yaml import eval_yaml
from dataset_builders.tasks.regions import TASKS
from model_cards.entries.entries import ENTRIES_PATH, PULL_REQUEST_TITLE
from model_cards.entries.notes import format_notes, parse_notes
from model_cards.leaderboard import published
from model_cards.leaderboard.command import main
from model_cards.leaderboard.ranking import read_leaderboard
from tests.harness.results.test_result import tasks  # noqa: F401 (a fixture)
from tests.loopback_hub import results as results_of_the_hub
from tests.model_cards.leaderboard.test_ranking import (  # noqa: F401 (fixtures)
    CARD,
    DATASET,
    add_model,
    commit_of_data,
    file_of,
    measured,
)

GOOD, BAD = "org/good", "org/bad"
ALIASES = "- &a0 [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"- &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]\n" for i in range(1, 10)
)


def open_pull_request(hub, model_id, files, title=PULL_REQUEST_TITLE):
    """A stranger's pull request, past what the Hub checks of files."""
    hub.add_user("eve")
    hub.log_in("eve")
    number = HfApi().create_pull_request(model_id, title=title).num
    HfApi().change_discussion_status(model_id, number, "open")
    hub.log_out()
    hub.commit(model_id, "model", files, revision=f"refs/pr/{number}")
    return number


def entry(**changes):
    """An entry for the score of task2, changed where its keys are named."""
    whole = {
        "dataset": {"id": DATASET, "task_id": "task2_score"},
        "value": 70.0,
        "notes": "protocol: zero-shot",
    } | changes
    return json.dumps([whole]).encode()


def ranked(board, config="task2"):
    return [(row.published.model_id, row.published.values["score"]) for row in board.by_config.get(config, ())]


def printed(capsys):
    assert main(["--dataset", DATASET]) == 0
    text = capsys.readouterr().out
    assert main(["--dataset", DATASET, "--json"]) == 0
    json.loads(capsys.readouterr().out)
    return " ".join(text.split())


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"5\n", "contains a int; expected a list"),
        (b"a: 1\n", "contains a dict; expected a list"),
        (b"text\n", "contains a str; expected a list"),
        (b"true\n", "contains a bool; expected a list"),
        (b"[" * 5000, "lists and mappings deep"),
        (b"[" * 5000 + b"]" * 5000, "lists and mappings deep"),
        (b"- " * 5000, "lists and mappings deep"),
        (b"{a: " * 5000, "lists and mappings deep"),
        (ALIASES.encode(), "values large with its aliases expanded"),
        (b"- &a [*a]\n", "contains itself"),
        (b"\xff\xfe\x00binary\x00", "is not UTF-8"),
        (b"- \xc3\x28\n", "is not UTF-8"),
        (b"- a: \x00\n", "is not YAML"),
        (b"- [\n", "is not YAML"),
        (b"- a: 1\n  a: 2\n", "duplicate key"),
        (b"- !!python/object/apply:os.system [exit]\n", "is not YAML"),
        (b'- !!int ""\n', "is not YAML"),
        (b"- !!bool x\n", "is not YAML"),
        (b"- " + b"9" * 5000 + b"\n", "is not YAML"),
        (b"- a:\n\t- b\n", "is not YAML"),
        (b"--- 1\n--- 2\n", "is not YAML"),
        (b"- '" + b"x" * 2**20 + b"'\n", "characters long"),
        (b"- '" + b"x" * 3 * 2**20 + b"'\n", "it has 3,145,733 bytes"),
        (entry(value=10**400), "task2_score: value is an integer of 1,329 bits"),
        (entry(value=True), "value is True"),
        (entry(value="70"), "value is 70; "),
        (entry(value=[70]), "value is [70]"),
        (entry(value=None), "value is None"),
        (entry(value=float("inf")).replace(b"Infinity", b".inf"), "value is inf"),
        (entry(value=float("nan")).replace(b"NaN", b".nan"), "value is nan"),
        (entry(value=1000), "value is 1000; expected 0 to 100"),
        (entry(value=100.001), "value is 100.001; expected 0 to 100"),
        (entry(value=-0.5), "value is -0.5; expected 0 to 100"),
        (entry(dataset={"id": DATASET, "task_id": "task2_ood_force_mae"}, value=-1), "expected 0 meV/Å or more"),
        (entry(dataset={"id": DATASET, "task_id": "task2_ood_force_mae"}, value=1e300), "expected 0 meV/Å or more"),
        (entry(dataset={"id": DATASET, "task_id": "task2_gap"}, value=0), "expected a number above 0"),
        (entry(dataset={"id": DATASET, "task_id": "task2_score", "revision": [1]}), "dataset.revision is [1]"),
        (entry(dataset={"id": DATASET, "task_id": "task2_score", "revision": "a](b)"}), "dataset.revision is a](b)"),
        (entry(notes="x" * 10**5), "notes is xxx"),
        (entry(notes={"protocol": "zero-shot"}), "notes is {'protocol'"),
        (entry(notes="protocol: \u202eabc"), "change the direction of text"),
        (entry(notes="protocol: \ud800"), "change the direction of text"),
        (entry(date="yesterday"), "date is yesterday; expected an ISO-8601"),
        (entry(date="1970-01-01"), "date is 1970-01-01; expected a date from 2020 until today"),
        (entry(date="9999-12-31T23:59:59-23:59"), "expected a date from 2020 until today"),
        (entry(date=(datetime.now(UTC) + timedelta(days=3)).isoformat()), "expected a date from 2020 until today"),
        (entry(date=3), "date is 3"),
        (entry(source="somewhere"), "source is somewhere"),
        (entry(source={"url": 3}), "source.url is 3"),
    ],
    ids=lambda value: repr(value)[:40] if isinstance(value, bytes) else "",
)
def test_a_file_that_is_wrong_is_listed_and_changes_nothing(hub, measured, capsys, content, said):  # noqa: F811
    add_model(hub, GOOD, measured({"task2": 60.0}))
    add_model(hub, BAD, measured({"task2": 50.0}))
    hub.commit(BAD, "model", {".eval_results/strange.yaml": content})
    board = read_leaderboard(DATASET)
    assert ranked(board) == [(GOOD, 60.0), (BAD, 50.0)]
    assert not board.unread
    (fault,) = board.faults
    assert (fault.model_id, fault.place) == (BAD, ".eval_results/strange.yaml")
    assert said in fault.cause
    text = printed(capsys)
    assert "left out: org/bad, .eval_results/strange.yaml: " in text
    assert text.isprintable()


def test_what_is_no_result_of_the_benchmark_is_no_fault(hub, measured):  # noqa: F811
    add_model(hub, GOOD, measured({"task2": 60.0}))
    strange = [
        b"",
        b"# nothing\n",
        b"[]\n",
        b"- 5\n- [a]\n- {}\n- ~\n- {dataset: 3}\n- {dataset: {id: 3, task_id: [task2_score]}}\n",
        b"- {dataset: {id: other/bench, task_id: task2_score}, value: .nan}\n",
        b"- {dataset: {id: compgen/mlip-ood, task_id: custom}, value: high}\n",
        b"\xef\xbb\xbf- {dataset: {id: other/bench, task_id: x}, value: 1}\r\n",
        b"- &a {dataset: {id: other/bench, task_id: x}}\n- {<<: *a, value: 1}\n- &a b\n",
    ]
    hub.commit(GOOD, "model", {f".eval_results/{number}.yaml": text for number, text in enumerate(strange)})
    board = read_leaderboard(DATASET)
    assert (ranked(board), board.faults, board.unread) == ([(GOOD, 60.0)], (), {})


def test_line_ends_a_byte_order_mark_and_merge_keys_are_read(hub, measured):  # noqa: F811
    content = file_of(measured({"task2": 60.0})).decode()
    for number, text in enumerate((content.replace("\n", "\r\n"), content.replace("\n", "\r"), f"\ufeff{content}")):
        hub.add_repo(f"org/model{number}", files={"README.md": CARD, ENTRIES_PATH: text.encode()})
    items = YAML(typ="safe", pure=True).load(content)
    merged = [{"base": items[0] | {"value": 0}}]
    lines = "".join(f"- <<: *b\n  value: {item['value']}\n  dataset: {json.dumps(item['dataset'])}\n" for item in items)
    text = f"- &b {json.dumps(merged[0]['base'])}\n{lines}"
    hub.add_repo("org/model3", files={"README.md": CARD, ENTRIES_PATH: text.encode()})
    board = read_leaderboard(DATASET)
    assert [model for model, _ in ranked(board)] == ["org/model0", "org/model1", "org/model2"]
    assert {fault.model_id for fault in board.faults} == {"org/model3"}


def test_a_source_without_address_is_left_out_and_the_number_stands(hub, measured):  # noqa: F811
    content = file_of(measured({"task2": 60.0})).decode()
    lines = [line for line in content.splitlines(keepends=True) if not line.startswith("    url:")]
    hub.add_repo(GOOD, files={"README.md": CARD, ENTRIES_PATH: "".join(lines).encode()})
    assert "source:\n    name: mlip-ood\n" in "".join(lines)
    board = read_leaderboard(DATASET)
    assert (ranked(board), board.faults, board.unread) == ([(GOOD, 60.0)], (), {})


@pytest.mark.parametrize("path", [".eval_results/sub/x.yaml", ".eval_results/x.yaml", ENTRIES_PATH])
@pytest.mark.parametrize("content", [b"- [\n", b"[" * 5000, b"5\n", b"\xff"])
def test_a_pull_request_never_touches_what_is_merged(hub, measured, path, content):  # noqa: F811
    add_model(hub, GOOD, measured({"task2": 60.0}))
    open_pull_request(hub, GOOD, {path: content})
    board = read_leaderboard(DATASET)
    assert (ranked(board), board.community, board.unread) == ([(GOOD, 60.0)], {}, {})
    places = {fault.place for fault in board.faults}
    assert places == (set() if "/sub/" in path else {f"pull request 1, {path}"})


def test_a_pull_request_that_cannot_be_read_is_listed(hub, measured):  # noqa: F811
    from tests.loopback_hub import Fault

    add_model(hub, GOOD, measured({"task2": 60.0}))
    open_pull_request(hub, GOOD, {"a": b"b"})
    hub.order(Fault(method="GET", path=f"/api/models/{GOOD}/revision/refs", status=403, times=99))
    board = read_leaderboard(DATASET)
    assert ranked(board) == [(GOOD, 60.0)]
    assert [fault.place for fault in board.faults] == ["pull request 1"]


def test_an_open_pull_request_outranks_and_removes_nothing(hub, measured, capsys):  # noqa: F811
    whole = dict.fromkeys(TASKS, 60.0)
    add_model(hub, GOOD, measured(whole))
    hub.add_repo("org/empty", files={"README.md": CARD})
    open_pull_request(hub, GOOD, {ENTRIES_PATH: file_of(measured(dict.fromkeys(TASKS, 99.0)))})
    open_pull_request(hub, GOOD, {ENTRIES_PATH: b"[]\n"})
    open_pull_request(hub, "org/empty", {ENTRIES_PATH: file_of(measured({"task2": 80.0}))})
    board = read_leaderboard(DATASET)
    for config in TASKS:
        assert ranked(board, config) == [(GOOD, 60.0)]
    assert [(row.model_id, row.score, row.status) for row in board.overall] == [(GOOD, 60.0, "merged")]
    rows = [(row.rank, row.published.model_id, row.published.pull_request) for row in board.community["task2"]]
    assert rows == [(1, GOOD, 1), (2, "org/empty", 1)]
    assert [(row.score, row.pull_request) for row in board.community_overall] == [(99.0, 1)]
    text = printed(capsys)
    assert text.rindex("60.0") < text.index("; open pull requests, not merged by the owners") < text.index("99.0")
    assert "community (PR 1)" in text


def test_results_of_pull_requests_alone_are_shown(hub, measured, capsys):  # noqa: F811
    hub.add_repo("org/empty", files={"README.md": CARD})
    open_pull_request(hub, "org/empty", {ENTRIES_PATH: file_of(measured({"task2": 80.0}))})
    text = printed(capsys)
    assert "no results are published on these data" in text
    assert "task2: fragment duplication; open pull requests" in text
    assert "80.0" in text


def test_of_two_entries_for_one_number_neither_wins(hub, measured, capsys):  # noqa: F811
    add_model(hub, GOOD, measured({"task2": 60.0, "task3": 20.0}))
    add_model(hub, BAD, measured({"task2": 50.0}))
    hub.commit(GOOD, "model", {".eval_results/second.yaml": file_of(measured({"task2": 90.0}))})
    board = read_leaderboard(DATASET)
    assert ranked(board) == [(BAD, 50.0)]
    assert ranked(board, "task3") == [(GOOD, 20.0)]
    assert [(fault.model_id, fault.place) for fault in board.faults] == [(GOOD, "")]
    assert "task2: task2_score occurs 2 times (60, 90); none of its numbers is used" in printed(capsys)


def test_the_same_entry_in_two_files_counts_once(hub, measured):  # noqa: F811
    add_model(hub, GOOD, measured({"task2": 60.0}))
    hub.commit(GOOD, "model", {".eval_results/copy.yaml": file_of(measured({"task2": 60.0})) + b"# a copy\n"})
    board = read_leaderboard(DATASET)
    assert (ranked(board), board.faults) == ([(GOOD, 60.0)], ())


def changed(content, number, value):
    """The file with another value of a number in the notes of the score."""
    (item,) = YAML(typ="safe", pure=True).load(content.decode())
    notes = parse_notes(item["notes"])
    return json.dumps([item | {"notes": format_notes(notes | {number: value})}]).encode()


@pytest.mark.parametrize("number", ["gap", "id_force_mae", "ood_force_mae"])
def test_a_gap_that_is_not_the_ratio_of_the_errors_is_not_ranked(hub, measured, number):  # noqa: F811
    add_model(hub, GOOD, measured({"task2": 60.0}))
    strange = changed(file_of(measured({"task2": 90.0})), number, "0.50")
    hub.add_repo(BAD, files={"README.md": CARD, ENTRIES_PATH: strange})
    board = read_leaderboard(DATASET)
    assert ranked(board) == [(GOOD, 60.0)]
    assert "but OOD / ID is" in board.faults[0].cause


def test_numbers_of_other_data_do_not_mix_with_those_of_these(hub, measured):  # noqa: F811
    here, elsewhere = file_of(measured({"task2": 60.0})), file_of(measured({"task2": 90.0}, content="f" * 64))
    hub.add_repo(GOOD, files={"README.md": CARD, ENTRIES_PATH: elsewhere, ".eval_results/z.yaml": here})
    board = read_leaderboard(DATASET)
    assert ranked(board) == [(GOOD, 60.0)]
    assert [each.values["score"] for each in board.elsewhere] == [90.0]


def test_of_too_many_files_and_pull_requests_some_are_read_and_it_is_said(hub, measured, monkeypatch):  # noqa: F811
    monkeypatch.setattr(published, "MAX_FILES", 3)
    monkeypatch.setattr(published, "MAX_PULL_REQUESTS", 2)
    add_model(hub, GOOD, measured({"task2": 60.0}))
    hub.commit(GOOD, "model", {f".eval_results/{number}.yaml": b"[]\n# %d\n" % number for number in range(5)})
    monkeypatch.setattr(published, "MAX_FILES_OF_PULL_REQUEST", 1)
    for score in (10.0, 20.0, 99.0):
        strange = {ENTRIES_PATH: file_of(measured({"task2": score})), ".eval_results/a.yaml": b"- [\n"}
        open_pull_request(hub, GOOD, strange)
    board = read_leaderboard(DATASET)
    assert ranked(board) == [(GOOD, 60.0)]
    assert [row.published.pull_request for row in board.community["task2"]] == [2, 1]
    causes = " ".join(fault.cause for fault in board.faults)
    assert "there are 6 files" in causes
    assert causes.count("there are 2 files") == 2
    assert "is not YAML" not in causes
    assert "there are 3 of results; only the oldest 2 are read" in causes


def test_a_large_file_is_not_downloaded(hub, measured):  # noqa: F811
    add_model(hub, GOOD, measured({"task2": 60.0}))
    hub.commit(GOOD, "model", {".eval_results/a.yaml": b"#" * 12 * 2**20})
    assert ranked(read_leaderboard(DATASET)) == [(GOOD, 60.0)]
    assert not any("resolve" in request.path and "a.yaml" in request.path for request in hub.log)


def test_a_card_that_the_client_cannot_read_hides_no_model(hub, measured):  # noqa: F811
    for number, data in enumerate((b"ignore_metadata_errors: 1", b"self: 1", b"model-index: [{name: a, results: x}]")):
        card = b"---\ntags: [mlip-ood]\n%s\n---\n" % data
        add_model(hub, f"org/model{number}", measured({"task2": 60.0}), card=card)
    board = read_leaderboard(DATASET)
    assert (len(ranked(board)), board.unread) == (3, {})


@pytest.fixture
def verifies(monkeypatch):
    """Makes the Hub vouch for one number of a model, on its main branch or in pull requests."""

    def verify(task_id, **keys):
        of_hub = results_of_the_hub.eval_results

        def marked(hub, repo):
            for entry in of_hub(hub, repo):
                is_meant = entry.get("data", {}).get("dataset", {}).get("task_id") == task_id
                yield entry | ({"verified": True} | keys if is_meant else {})

        monkeypatch.setattr(results_of_the_hub, "eval_results", lambda hub, repo: [*marked(hub, repo)])
        from tests.loopback_hub import information

        monkeypatch.setattr(information, "eval_results", lambda hub, repo: [*marked(hub, repo)])

    return verify


@pytest.mark.parametrize("config", ["task1", "task3"])
def test_verification_is_of_each_task(hub, measured, verifies, config):  # noqa: F811
    add_model(hub, GOOD, measured(dict.fromkeys(TASKS, 60.0)))
    hub.commit(DATASET, "dataset", {"eval.yaml": eval_yaml([*TASKS]).encode()})
    hub.allow_list(DATASET)
    verifies(f"{config}_score")
    board = read_leaderboard(DATASET)
    statuses = {task: board.by_config[task][0].published.status for task in TASKS}
    assert statuses == dict.fromkeys(TASKS, "merged") | {config: "verified"}
    assert board.overall[0].status == "merged"


def test_what_is_verified_in_a_pull_request_vouches_for_nothing_on_main(hub, measured, verifies):  # noqa: F811
    add_model(hub, GOOD, measured({"task1": 60.0}))
    hub.commit(DATASET, "dataset", {"eval.yaml": eval_yaml([*TASKS]).encode()})
    hub.allow_list(DATASET)
    verifies("task1_score", pullRequest=3)
    assert read_leaderboard(DATASET).by_config["task1"][0].published.status == "merged"


@pytest.mark.parametrize(
    "row",
    [
        {},
        {"modelId": 3, "value": 1},
        {"modelId": "../../x", "value": 1, "verified": True},
        {"modelId": BAD, "value": "high"},
        {"modelId": GOOD, "value": 60.0, "verified": "yes"},
    ],
)
def test_a_strange_row_of_the_board_of_the_hub_ends_nothing(hub, measured, monkeypatch, row):  # noqa: F811
    add_model(hub, GOOD, measured({"task1": 60.0}))
    hub.commit(DATASET, "dataset", {"eval.yaml": eval_yaml([*TASKS]).encode()})
    hub.allow_list(DATASET)
    monkeypatch.setattr(results_of_the_hub, "_row", lambda hub, model, entry: {"value": 0} | row)
    board = read_leaderboard(DATASET)
    assert ranked(board, "task1") == [(GOOD, 60.0)]
    assert board.by_config["task1"][0].published.status == "merged"
