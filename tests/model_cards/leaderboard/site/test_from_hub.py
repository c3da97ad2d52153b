"""The page from the Hub: the numbers that model repos publish, with their intervals, of every edition at once."""

import pytest
import yaml

from dataset_builders.tasks.regions import TASKS
from model_cards.entries.notes import format_notes, parse_notes
from model_cards.leaderboard.ranking import read_every_leaderboard, read_leaderboard
from model_cards.leaderboard.site.boards import boards_of
from model_cards.leaderboard.site.from_hub import entries_of_hub
from model_cards.leaderboard.site.site_page import leaderboard_site
from tests.harness.results.test_lowered_precision import MEASURED
from tests.harness.results.test_result import tasks  # noqa: F401 (a fixture)
from tests.model_cards.conftest import COST
from tests.model_cards.leaderboard.test_ranking import (  # noqa: F401 (fixtures)
    CARD,
    DATASET,
    ENTRIES_PATH,
    add_model,
    commit_of_data,
    file_of,
    measured,
    two_editions,
)
from tests.model_cards.leaderboard.test_strangers import open_pull_request


def test_published_numbers_have_their_intervals(hub, measured):  # noqa: F811
    result = measured(dict.fromkeys(TASKS, 60.0), cost=COST)
    result = result.model_copy(update={"model": result.model.model_copy(update={"lowered_precision": MEASURED})})
    add_model(hub, "org/good", result)
    (entry,) = entries_of_hub(DATASET, None, ()).entries
    assert (entry.name, entry.kind, entry.protocol, entry.family) == ("org/good", "model", "zero-shot", "mace")
    assert (entry.data.edition, entry.data.labels) == ("mini", "GFN2-xTB")
    assert entry.overall.value == 60.0
    assert (entry.speed.rate, entry.speed.hardware) == (1230.0, "A CPU; fast, 2 threads")
    assert entry.speed.rounding == MEASURED.text
    for name, task in result.tasks.items():
        for split, published in (("test_id", "id_force_mae"), ("test_ood", "ood_force_mae")):
            number, expected = entry.tasks[name].numbers[published], task.splits[split].metrics["force_mae"]
            assert number.value == pytest.approx(expected.value, abs=5.1e-6)
            if expected.low is not None:
                assert (number.low, number.high) == pytest.approx((expected.low, expected.high), abs=5.1e-6)
            else:
                assert "no interval" in number.reason
    assert entry.commands[0].startswith("python -m harness --model org/model@main --dataset compgen/mlip-ood@")
    assert entry.origin.address is None  # the Hub of the tests has no https address


def test_every_edition_is_read_at_once(hub, two_editions):  # noqa: F811
    add_model(hub, "org/small", two_editions("mini", dict.fromkeys(TASKS, 90.0)))
    add_model(hub, "org/large", two_editions("standard", {"task2": 60.0}))
    boards = read_every_leaderboard(DATASET)
    assert [(board.labels, board.edition) for board in boards if board.by_config] == [
        ("gfn2-xtb", "standard"), ("gfn2-xtb", "mini"),
    ]  # fmt: skip
    assert boards[0] == read_leaderboard(DATASET)
    assert boards[1] == read_leaderboard(DATASET, edition="mini")
    titles = {
        board.title: [p.key for p in board.placed] for board in boards_of(entries_of_hub(DATASET, None, ()).entries)
    }
    assert titles["standard, GFN2-xTB labels"] == ["org/large"]
    assert titles["mini, GFN2-xTB labels"][0] == "org/small"


def test_pull_requests_are_ranked_apart_and_choose_no_edition(hub, two_editions):  # noqa: F811
    add_model(hub, "org/small", two_editions("mini", dict.fromkeys(TASKS, 50.0)))
    hub.add_repo("org/open", files={"README.md": CARD})
    open_pull_request(hub, "org/open", {ENTRIES_PATH: file_of(two_editions("mini", dict.fromkeys(TASKS, 99.0)))})
    hub.add_repo("org/larger", files={"README.md": CARD})
    open_pull_request(hub, "org/larger", {ENTRIES_PATH: file_of(two_editions("standard", {"task2": 99.0}))})
    found = entries_of_hub(DATASET, None, ())
    site = leaderboard_site(found)
    opened = site.boards[site.page.data["opensWith"]]
    assert opened.title == "mini, GFN2-xTB labels"
    kinds = [(p.key, p.entry.kind, p.ranks.get("overall")) for p in opened.placed]
    assert kinds[:2] == [("org/small", "model", 1), ("org/open", "community", 1)]


def test_what_strangers_write_is_bounded(hub, measured):  # noqa: F811
    """An interval that does not hold its number is none, and what the terminal leaves out is left out here."""
    lines = yaml.safe_load(file_of(measured({"task2": 60.0})))
    notes = parse_notes(lines[0]["notes"]) | {"interval": "70.00 to 80.00", "clusters": "6 fragments"}
    lines[0]["notes"] = format_notes(notes | {"model": "org/m; rm -rf ~", "family": "<img src=x onerror=alert(1)>"})
    hub.add_repo("org/odd", files={"README.md": CARD, ENTRIES_PATH: yaml.safe_dump(lines).encode()})
    hub.add_repo("org/bad", files={"README.md": CARD, ENTRIES_PATH: b"]["})
    found = entries_of_hub(DATASET, None, ())
    (entry,) = found.entries
    assert entry.tasks["task2"].numbers["score"].low is None
    assert entry.family == "<img src=x onerror=alert(1)>"
    assert not entry.commands or "'org/m; rm -rf ~'" in entry.commands[0]
    assert [fault.place for fault in found.left_out] == [f"org/bad, {ENTRIES_PATH}"]
