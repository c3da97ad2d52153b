import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from dataset_builders.chemistry.levels import LEVELS
from dataset_builders.core.errors import DataError, UsageError
from dataset_builders.folder.mini import MINI_DIRECTORY
from dataset_builders.folder.schema import METADATA_KEY
from dataset_builders.tasks.regions import TASKS
from harness.cli import main as main_of_harness
from harness.data.dataset import open_dataset
from model_cards.entries.entries import ENTRIES_PATH, PULL_REQUEST_TITLE, entries_of, merge_entries
from model_cards.entries.notes import format_notes, parse_notes
from model_cards.leaderboard.command import main
from model_cards.leaderboard.data_on_hub import DataOnHub, DataState, data_on_hub, state_of
from model_cards.leaderboard.ranking import read_leaderboard
from tests.dataset_builders.core.test_printable import output_of
from tests.harness.results.test_result import result_of, tasks  # noqa: F401 (a fixture)
from tests.loopback_hub import Fault
from tests.model_cards.conftest import COST

DATASET = "compgen/mlip-ood"
CARD = b"---\ntags:\n- mlip-ood\n---\n# A model\n"


@pytest.fixture
def commit_of_data(hub):
    files = {
        path.relative_to(MINI_DIRECTORY).as_posix(): path.read_bytes()
        for path in MINI_DIRECTORY.glob("task*/*.parquet")
    }
    hub.add_user("ann", orgs={"compgen": "write"})
    return hub.add_repo(DATASET, kind="dataset", files=files)


@pytest.fixture
def measured(tasks, commit_of_data):  # noqa: F811
    """A result on the data set as it is on the Hub, with scores set by hand."""

    def make(scores, suffix="", **changes):
        content = changes.pop("content", open_dataset("mini").content_hash)
        chosen = {
            name: tasks[name].model_copy(update={"score": tasks[name].score.model_copy(update=exactly(score))})
            for name, score in scores.items()
        }
        result = result_of(chosen)
        pinned = {"id": DATASET, "revision": commit_of_data, "content_hash": content, "suffix": suffix}
        dataset = result.dataset.model_copy(update=pinned)
        return result.model_copy(update={"dataset": dataset, **changes})

    return make


def exactly(score):
    return {"value": score, "low": None, "high": None, "reason": "one molecule"}


def file_of(result):
    return merge_entries(None, entries_of(result, "org/model@main")).encode()


def add_model(hub, model_id, result, card=CARD):
    hub.add_repo(model_id, files={"README.md": card, ENTRIES_PATH: file_of(result)})


def test_the_content_hash_is_known_without_a_download(hub, commit_of_data):
    assert data_on_hub(DATASET) == DataOnHub(commit_of_data, open_dataset("mini").content_hash, tuple(TASKS))
    assert not any("resolve" in request.path for request in hub.log)


def test_models_are_ranked_by_score(hub, measured):
    add_model(hub, "org/good", measured({"task2": 60.0}))
    add_model(hub, "org/better", measured({"task2": 70.0, "task3": 10.0}))
    board = read_leaderboard(DATASET)
    assert [(row.rank, row.published.model_id) for row in board.by_config["task2"]] == [
        (1, "org/better"),
        (2, "org/good"),
    ]
    best = board.by_config["task2"][0].published
    assert (best.values["score"], best.notes["protocol"], best.status) == (70.0, "zero-shot", "merged")
    assert {"ood_force_mae", "id_force_mae", "gap"} <= set(best.values)
    assert list(board.by_config) == ["task2", "task3"]
    assert board.overall == ()


def test_each_level_of_theory_has_a_ranking_of_its_own(hub, measured, capsys):
    copies = {f"task2-wb97x/{path.name}": path.read_bytes() for path in (MINI_DIRECTORY / "task2").glob("*.parquet")}
    absent = [path for path in hub.files(DATASET, "dataset") if "-wb97m/" in path]
    hub.commit(DATASET, "dataset", copies, deletions=absent)
    data = data_on_hub(DATASET, level=LEVELS["wb97x"])
    commit, content = data.commit, data.content_hash
    assert data.configs == ("task2-wb97x", "task3-wb97x")
    assert content != data_on_hub(DATASET).content_hash == open_dataset("mini").content_hash
    add_model(hub, "org/both", measured({"task2": 60.0}))
    own = entries_of(measured({"task2": 80.0}, suffix="wb97x", content=content), "org/both@main")
    text = hub.files("org/both", "model")[ENTRIES_PATH].decode()
    hub.commit("org/both", "model", {ENTRIES_PATH: merge_entries(text, own).encode()})
    boards = [read_leaderboard(DATASET), read_leaderboard(DATASET, level=LEVELS["wb97x"])]
    assert [list(board.by_config) for board in boards] == [["task2"], ["task2-wb97x"]]
    assert [board.elsewhere for board in boards] == [(), ()]
    assert boards[1].by_config["task2-wb97x"][0].published.values["score"] == 80.0
    assert main(["--dataset", DATASET, "--labels", "wb97x"]) == 0
    shown = capsys.readouterr().out
    assert f"{commit[:12]}, content {content[:12]}, labels wb97x" in shown
    assert "task2-wb97x: fragment duplication" in shown
    with pytest.raises(DataError, match=r"contains no file such as task1-wb97m/test_ood-.* with wb97m-d3bj labels"):
        read_leaderboard(DATASET, level=LEVELS["wb97m-d3bj"])


def test_the_overall_score_is_the_mean_of_four(hub, measured):
    add_model(hub, "org/whole", measured(dict(zip(TASKS, (10.0, 20.0, 30.0, 40.0), strict=True))))
    add_model(hub, "org/part", measured({"task1": 90.0}))
    (first,) = read_leaderboard(DATASET).overall
    assert (first.rank, first.model_id, first.score) == (1, "org/whole", 25.0)


def test_numbers_that_stand_on_a_statement_are_told_from_proved_ones(hub, measured, capsys):
    scores = dict.fromkeys(("task1", "task2", "task3", "task4"), 50.0)
    for name, training in (("org/proved", "proved"), ("org/stated", "stated")):
        result = measured(scores)
        model = result.model.model_copy(update={"training": training, "protocol": "from-scratch"})
        whole = {key: task.model_copy(update={"protocol": "from-scratch"}) for key, task in result.tasks.items()}
        add_model(hub, name, result.model_copy(update={"model": model, "tasks": whole}))
    assert main(["--dataset", DATASET, "--json"]) == 0
    overall = {row["model_id"]: row["is_stated"] for row in json.loads(capsys.readouterr().out)["overall"]}
    assert overall == {"org/proved": False, "org/stated": True}


def test_what_stands_in_a_pull_request_is_of_the_community(hub, measured):
    hub.add_repo("org/open", files={"README.md": CARD})
    hub.log_in("ann")
    from huggingface_hub import HfApi

    HfApi().upload_file(
        path_or_fileobj=file_of(measured({"task2": 55.0})),
        path_in_repo=ENTRIES_PATH,
        repo_id="org/open",
        create_pr=True,
        commit_message=PULL_REQUEST_TITLE,
    )
    board = read_leaderboard(DATASET)
    (row,) = board.community["task2"]
    assert (row.published.status, row.published.pull_request) == ("community", 1)
    assert board.by_config == {}


def test_what_was_merged_is_not_listed_again_for_its_pull_request(hub, measured):
    result = measured({"task2": 55.0})
    add_model(hub, "org/model", result)
    hub.log_in("ann")
    from huggingface_hub import HfApi

    HfApi().upload_file(
        path_or_fileobj=file_of(result) + b"# again\n",
        path_in_repo=ENTRIES_PATH,
        repo_id="org/model",
        create_pr=True,
        commit_message=PULL_REQUEST_TITLE,
    )
    assert len(read_leaderboard(DATASET).by_config["task2"]) == 1


def test_results_on_other_data_are_listed_and_not_ranked(hub, measured, capsys):
    add_model(hub, "org/old", measured({"task2": 99.0}, content="f" * 64))
    board = read_leaderboard(DATASET)
    assert board.by_config == {}
    assert [each.model_id for each in board.elsewhere] == ["org/old"]
    assert main(["--dataset", DATASET]) == 0
    printed = " ".join(capsys.readouterr().out.split())
    assert "no results are published on these data" in printed
    assert "not ranked, since it was evaluated on other data: org/old, task2" in printed


def test_a_model_without_the_tag_is_found_by_name_or_on_the_board(hub, measured):
    add_model(hub, "org/shy", measured({"task1": 50.0}), card=b"# shy\n")
    assert read_leaderboard(DATASET).by_config == {}
    assert read_leaderboard(DATASET, models=["org/shy"]).by_config["task1"]
    from dataset_builders.card.eval_yaml import eval_yaml

    hub.commit(DATASET, "dataset", {"eval.yaml": eval_yaml(["task1"]).encode()})
    hub.allow_list(DATASET)
    assert read_leaderboard(DATASET).by_config["task1"][0].published.model_id == "org/shy"


def test_a_model_that_cannot_be_read_is_said(hub, measured, capsys):
    add_model(hub, "org/good", measured({"task2": 60.0}))
    hub.add_repo("org/broken", files={"README.md": CARD})
    hub.order(Fault(method="GET", path="/api/models/org/broken/revision", status=403, times=99))
    board = read_leaderboard(DATASET)
    assert len(board.by_config["task2"]) == 1
    assert "your token does not permit this on model org/broken" in board.unread["org/broken"]
    main(["--dataset", DATASET])
    assert "not read: org/broken" in capsys.readouterr().out


def test_the_table(hub, measured, capsys):
    add_model(hub, "org/good", measured(dict.fromkeys(TASKS, 60.0)))
    assert main(["--dataset", DATASET, "--task", "task2"]) == 0
    printed = capsys.readouterr().out
    assert "task2: fragment duplication" in printed
    assert "task1:" not in printed
    assert "overall: mean score of the four tasks" in printed
    assert "zero-shot" in printed
    assert "60.0" in printed


def test_speeds_have_a_column_if_one_is_stated(hub, measured, capsys):
    add_model(hub, "org/untimed", measured({"task2": 60.0}))
    assert main(["--dataset", DATASET, "--task", "task2"]) == 0
    assert "speed" not in capsys.readouterr().out.split("verified:")[0]
    add_model(hub, "org/timed", measured({"task2": 70.0}, cost=COST))
    strange = file_of(measured({"task2": 50.0}, cost=COST)).decode().replace("1,230 structures/s", "9e9 structures/s")
    hub.add_repo("org/strange", files={"README.md": CARD, ENTRIES_PATH: strange.encode()})
    assert main(["--dataset", DATASET, "--task", "task2"]) == 0
    table = capsys.readouterr().out.split("verified:")[0]
    assert "speed" in table
    assert "1,230" in table
    assert "9e9" not in table


def test_an_output_that_lacks_characters_loses_no_ranking(hub, measured):
    add_model(hub, "org/good", measured({"task2": 90.0}))
    for options in ([], ["--json"]):
        with output_of("ascii") as written:
            assert main_of_harness(["leaderboard", "--dataset", DATASET, *options]) == 0
            assert b"org/good" in written()
            assert b"?" not in written()


def test_json_holds_everything(hub, measured, capsys):
    add_model(hub, "org/good", measured({"task2": 60.0}))
    assert main(["--dataset", DATASET, "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["by_config"]["task2"][0]["published"]["values"]["score"] == 60.0
    assert document["content_hash"] == open_dataset("mini").content_hash


def test_strange_text_steers_no_terminal(hub, measured, capsys):
    result = measured({"task2": 60.0})
    text = file_of(result).decode().replace("protocol: zero-shot", "protocol: [red]%1B%5B2J")
    hub.add_repo("org/strange", files={"README.md": CARD, ENTRIES_PATH: text.encode()})
    main(["--dataset", DATASET])
    printed = capsys.readouterr().out
    assert "[red]\N{REPLACEMENT CHARACTER}[2J" in printed
    assert "\x1b[2J" not in printed


def test_what_is_not_there_is_said(hub, commit_of_data):
    with pytest.raises(DataError, match="there is no data set compgen/absent on the Hub"):
        read_leaderboard("compgen/absent")
    with pytest.raises(DataError, match="has no revision 'v9'"):
        read_leaderboard(DATASET, "v9")
    hub.add_repo("org/recipes", kind="dataset", files={"README.md": b"# Soup\n"})
    with pytest.raises(DataError, match=r"contains no file such as task1/test_ood-.* with gfn2-xtb labels"):
        read_leaderboard("org/recipes")
    with pytest.raises(UsageError, match="expected a Hub id org/name"):
        main(["--dataset", "mini"])


@pytest.fixture
def two_editions(hub, measured):
    """The data set as `mini`, then as `standard` on its main branch; a result on a state of it."""
    first = hub.history(DATASET, "dataset")[0].sha
    changed = {}
    for path in MINI_DIRECTORY.glob("task?/*.parquet"):
        table = pq.read_table(path)
        metadata = json.loads(table.schema.metadata[METADATA_KEY]) | {"edition": "standard"}
        sink = pa.BufferOutputStream()
        pq.write_table(table.replace_schema_metadata({METADATA_KEY: json.dumps(metadata)}), sink)
        changed[path.relative_to(MINI_DIRECTORY).as_posix()] = sink.getvalue().to_pybytes()
    hub.commit(DATASET, "dataset", changed)
    second = data_on_hub(DATASET)

    def make(edition, scores, named=None, **changes):
        result = measured(scores)
        data = {"edition": named or edition} | (
            {"revision": first}
            if edition == "mini"
            else {"revision": second.commit, "content_hash": second.content_hash}
        )
        return result.model_copy(update={"dataset": result.dataset.model_copy(update=data | changes)})

    return make


def models_of(board, config="task2"):
    return [row.published.model_id for row in board.by_config.get(config, ())]


def test_one_edition_is_ranked_at_a_time_the_best_by_default(hub, two_editions, capsys):
    add_model(hub, "org/small", two_editions("mini", dict.fromkeys(TASKS, 90.0)))
    add_model(hub, "org/large", two_editions("standard", {"task2": 60.0}))
    board = read_leaderboard(DATASET)
    assert (board.edition, models_of(board), board.other_editions) == ("standard", ["org/large"], {"mini": 1})
    assert (board.overall, board.elsewhere) == ((), ())
    small = read_leaderboard(DATASET, edition="mini")
    assert (small.edition, models_of(small), small.other_editions) == ("mini", ["org/small"], {"standard": 1})
    assert (small.content_hash, small.overall[0].score) == (open_dataset("mini").content_hash, 90.0)
    assert main(["--dataset", DATASET]) == 0
    printed = " ".join(capsys.readouterr().out.split())
    assert "edition standard" in printed
    assert "not ranked here: 1 model with results on edition mini; --edition mini ranks them" in printed
    assert main(["--dataset", DATASET, "--edition", "mini"]) == 0
    printed = " ".join(capsys.readouterr().out.split())
    assert "edition mini mini is the demonstration and test edition" in printed
    with pytest.raises(UsageError, match=r"no result on the edition 'full'.* is standard, .* are: standard, mini"):
        main(["--dataset", DATASET, "--edition", "full"])


def test_at_a_revision_only_its_edition_is_there(hub, two_editions, commit_of_data):
    add_model(hub, "org/small", two_editions("mini", {"task2": 90.0}))
    add_model(hub, "org/large", two_editions("standard", {"task2": 60.0}))
    board = read_leaderboard(DATASET, commit_of_data)
    assert (board.edition, models_of(board)) == ("mini", ["org/small"])


def test_what_a_result_says_of_its_edition_is_checked(hub, two_editions):
    """A score on mini is not a score on standard, whatever its notes say."""
    add_model(hub, "org/liar", two_editions("mini", {"task2": 99.0}, named="standard"))
    add_model(hub, "org/large", two_editions("standard", {"task2": 60.0}))
    board = read_leaderboard(DATASET)
    assert (models_of(board), board.other_editions) == (["org/large"], {})
    assert [(fault.model_id, fault.cause) for fault in board.faults] == [
        ("org/liar", "task2: it names the edition standard, and its data are mini")
    ]


def test_the_edition_of_results_that_name_none_is_that_of_their_data(hub, two_editions):
    for name, keys in (("org/content", ("edition",)), ("org/revision", ("edition", "content"))):
        result = two_editions("mini", {"task2": 80.0})
        lines = list(yaml.safe_load(file_of(result)))
        notes = {key: text for key, text in parse_notes(lines[0]["notes"]).items() if key not in keys}
        lines[0]["notes"] = format_notes(notes)
        text = yaml.safe_dump(lines, allow_unicode=True).encode()
        hub.add_repo(name, files={"README.md": CARD, ENTRIES_PATH: text})
    assert sorted(models_of(read_leaderboard(DATASET, edition="mini"))) == ["org/content", "org/revision"]


def test_results_on_unknown_data_are_ranked_apart(hub, two_editions, capsys):
    add_model(hub, "org/large", two_editions("standard", {"task2": 60.0}))
    for name, score in (("org/lost", 99.0), ("org/gone", 98.0)):
        add_model(hub, name, two_editions("standard", {"task2": score}, content_hash="f" * 64, revision="e" * 40))
    board = read_leaderboard(DATASET)
    assert (models_of(board), board.other_editions) == (["org/large"], {"unknown": 2})
    apart = read_leaderboard(DATASET, edition="unknown")
    assert (apart.edition, apart.content_hash, models_of(apart)) == ("unknown", "f" * 12, ["org/lost", "org/gone"])
    assert main(["--dataset", DATASET, "--edition", "unknown"]) == 0
    assert "99.0" in capsys.readouterr().out


def test_an_open_pull_request_does_not_choose_the_edition(hub, two_editions):
    add_model(hub, "org/small", two_editions("mini", {"task2": 60.0}))
    hub.add_repo("org/open", files={"README.md": CARD})
    hub.log_in("ann")
    from huggingface_hub import HfApi

    HfApi().upload_file(
        path_or_fileobj=file_of(two_editions("standard", {"task2": 55.0})),
        path_in_repo=ENTRIES_PATH,
        repo_id="org/open",
        create_pr=True,
        commit_message=PULL_REQUEST_TITLE,
    )
    board = read_leaderboard(DATASET)
    assert (board.edition, models_of(board), board.other_editions) == ("mini", ["org/small"], {"standard": 1})
    assert read_leaderboard(DATASET, edition="standard").community["task2"][0].published.model_id == "org/open"


@pytest.mark.parametrize(
    ("content", "revision", "edition"),
    [
        ("a" * 12, None, "mini"),
        ("b" * 12, "1" * 40, "standard"),
        (None, "1" * 40, "mini"),
        ("a", "1" * 40, None),
        ("", "1" * 40, None),
        ("c" * 12, "1" * 40, None),
        (None, "3" * 40, None),
        (None, None, None),
    ],
)
def test_the_data_of_a_result(content, revision, edition):
    """The content decides, by all digits that a push writes; the commit only where no content is stated."""
    states = [
        DataState(DataOnHub("1" * 40, "a" * 64, ("task1",)), "mini"),
        DataState(DataOnHub("2" * 40, "b" * 64, ("task1",)), "standard"),
    ]
    found = state_of(content, revision, states)
    assert (None if found is None else found.edition) == edition
