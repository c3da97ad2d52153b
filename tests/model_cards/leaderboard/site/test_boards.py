"""Boards keep data apart, rank as the terminal does, and rank no control."""

from pathlib import Path

from harness.data.dataset import open_dataset
from model_cards.leaderboard.site.boards import boards_of
from model_cards.leaderboard.site.from_folder import entries_of_path
from model_cards.leaderboard.site.page_data import number_data, page_data
from model_cards.leaderboard.site.site_entry import Gathered, Number
from tests.model_cards.leaderboard.site.conftest import MakeResult, save


def test_the_ranking_is_by_overall_score(mini_records: Gathered) -> None:
    """Best first; rows without all four tasks and controls have no overall rank."""
    (board,) = boards_of(mini_records.entries)
    ranked = [placed for placed in board.placed if "overall" in placed.ranks]
    assert [placed.ranks["overall"] for placed in ranked] == [*range(1, 12)]
    scores = [placed.entry.overall.value for placed in ranked if placed.entry.overall]
    assert scores == sorted(scores, reverse=True)
    assert ranked[0].key == "painn-delta"
    kinds = [placed.entry.kind for placed in board.placed]
    assert kinds == ["model"] * 18 + ["control"] * 4
    assert not any(placed.ranks for placed in board.placed if placed.entry.kind == "control")
    of_task2 = sorted(placed.ranks["task2"] for placed in board.placed if placed.entry.kind == "model")
    assert of_task2 == [*range(1, 19)]
    assert board.control_gaps["task2"] == next(
        p.entry.tasks["task2"].numbers["gap"].value for p in board.placed if p.key == "gfn1-xtb"
    )


def test_editions_levels_and_data_have_boards_of_their_own(make_run: MakeResult, tmp_path: Path) -> None:
    """The edition that ranks best first; other content of one edition is named in the title."""
    for place, (edition, labels, content) in enumerate(
        [
            ("mini", "GFN2-xTB", "a" * 64),
            ("standard", "wB97X/6-31G(d)", "b" * 64),
            ("standard", "GFN2-xTB", "c" * 64),
            ("mini", "GFN2-xTB", "d" * 64),
        ]
    ):
        data = {"edition": edition, "level_of_theory": labels, "content_hash": content}
        save(make_run("org/m", dataset=data), tmp_path / str(place))
    boards = boards_of(entries_of_path(tmp_path).entries)
    assert [board.title for board in boards] == [
        "standard, GFN2-xTB labels",
        "standard, wB97X/6-31G(d) labels",
        "mini, GFN2-xTB labels, data aaaaaaaaaaaa",
        "mini, GFN2-xTB labels, data dddddddddddd",
    ]
    assert all(len(board.placed) == 1 for board in boards)


def test_installed_controls_join_the_results_on_their_data(make_run: MakeResult, tmp_path: Path) -> None:
    """So that a gap on mini stands beside that of GFN1-xTB, whoever measured it."""
    save(make_run("org/m", dataset={"content_hash": open_dataset("mini").content_hash}), tmp_path)
    (board,) = boards_of(entries_of_path(tmp_path).entries)
    assert [(placed.key, placed.entry.kind) for placed in board.placed] == [
        ("org/m", "model"), ("gfn1-xtb", "control"), ("mmff94", "control"),
    ]  # fmt: skip
    assert f"{board.control_gaps['task2']:.2f}" == "1.17"


def test_two_entries_of_one_name_have_two_keys(make_run: MakeResult, tmp_path: Path) -> None:
    """Each has a page of its own."""
    for place in ("a", "b"):
        save(make_run("org/m", "task1"), tmp_path / place)
    (board,) = boards_of(entries_of_path(tmp_path).entries)
    assert [placed.key for placed in board.placed] == ["org/m", "org/m #2"]


def test_the_page_has_milli_units_and_six_digits(mini_records: Gathered) -> None:
    """A number of the page is that of its source, to six digits."""
    assert number_data(Number(0.0123456789, 0.01, 0.02, 0.001), 1e-3) == {"v": 12.3457, "l": 10.0, "h": 20.0, "s": 1.0}
    assert number_data(Number(None, reason="the error to divide by is zero")) == {
        "why": "the error to divide by is zero"
    }
    entry = next(entry for entry in mini_records.entries if entry.name == "painn")
    data = page_data(boards_of(mini_records.entries))["boards"][0]
    shown = next(each for each in data["entries"] if each["key"] == "painn")
    error = entry.tasks["task3"].numbers["ood_force_mae"].value
    assert error is not None
    assert shown["tasks"]["task3"]["numbers"]["ood_force_mae"]["v"] == float(f"{1000 * error:.6g}")
    assert shown["seeds"] == "3"
