"""Tables in the width of a terminal."""

import io
import sys

import pytest
from rich.cells import cell_len

from dataset_builders.core.terminal_table import Cell, Column, fitted_table, shortened, text_table

COLUMNS = [
    Column("model", "left", shortest=8),
    Column("error\nmeV/Å"),
    Column("extra", left_out=9, about="an extra"),
    Column("score", left_out=1),
]
ROWS = ["a heading", [Cell("org/the-name-of-a-model"), Cell("1066.1", "†"), Cell("12345.6"), Cell("31.4")]]


def test_by_hand() -> None:
    rows = [["x", "1.0"], ["yy", "12.5"]]
    table = fitted_table([Column("", "left"), Column("mean")], [[Cell(a), Cell(b)] for a, b in rows], 80)
    assert table.plain() == ["    mean", "────────", "x    1.0", "yy  12.5"]
    assert (table.left_out, table.full_names) == ((), {})


def test_signs_stand_below_each_other_and_numbers_too() -> None:
    cells = [[Cell("1.17", " >1")], [Cell("12.50", "†")], [Cell("0.99")]]
    table = fitted_table([Column("gap")], cells, 80).plain()
    assert table == ["     gap", "────────", " 1.17 >1", "12.50†", " 0.99"]


def test_names_are_shortened_then_columns_left_out_then_names_shortened_further() -> None:
    widths = range(60, 20, -1)
    tables = {width: fitted_table(COLUMNS, ROWS, width) for width in widths}
    assert tables[60].plain()[-1] == "org/the-name-of-a-model  1066.1†  12345.6   31.4"
    seen = list(dict.fromkeys((tuple(each.full_names), each.left_out) for each in tables.values()))
    assert seen[:3] == [((), ()), (("org/the-n..f-a-model",), ()), ((), ("an extra",))]
    assert seen[3] == (("org/the-n..f-a-model",), ("an extra",))
    assert seen[-2:] == [(("org..del",), ("an extra",)), (("org/th..model",), ("an extra", "score"))]
    for width, table in tables.items():
        assert max(map(cell_len, table.plain())) <= width
        assert "1066.1†" in table.plain()[-1]
        assert all(full == "org/the-name-of-a-model" for full in table.full_names.values())


def test_a_table_that_cannot_fit_keeps_its_numbers() -> None:
    assert fitted_table(COLUMNS, ROWS, 5).plain()[-1] == "org..del 1066.1†"


@pytest.mark.parametrize(
    ("name", "width", "short"),
    [
        ("short", 8, "short"),
        ("abcdefghij", 8, "abc..hij"),
        ("abcdefghij", 10, "abcdefghij"),
        ("分子分子分子", 8, "分子..子"),
        ("abcdefghij", 2, "a..j"),
    ],
)
def test_a_shortened_name_keeps_its_ends(name: str, width: int, short: str) -> None:
    assert shortened(name, width) == short


def test_different_names_are_shortened_differently() -> None:
    rows = [[Cell(f"organisation/model-{number}-of-one-end")] for number in range(12)]
    table = fitted_table([Column("", "left", shortest=8)], rows, 12)
    assert len(set(table.plain()[2:])) == len(table.full_names) == 12


def test_a_cell_steers_no_terminal() -> None:
    (line,) = fitted_table([Column("a")], [[Cell("x\x1b[2J\ny")]], 80).plain()[2:]
    assert line == "x\N{REPLACEMENT CHARACTER}[2J y"


def test_an_output_without_the_characters_gets_a_table_as_straight(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(io.BytesIO(), encoding="ascii"))
    cells = [[Cell("11.4", " ± 0.3")], [Cell("2.0", "†")]]
    assert fitted_table([Column("meV/Å")], cells, 80).plain() == ["      meV/A", "─" * 11, "11.4 +- 0.3", " 2.0+"]


def test_a_plain_table() -> None:
    assert text_table(("a", "long"), [("wide", "x")]) == "a     long\n----  ----\nwide  x"


def test_a_plain_table_breaks_titles_between_words_and_goes_on_below() -> None:
    header, rows = ("config", "train molecules", "k = 2", "one more"), [("task1", "30", "1", "1"), ("t", "1", "2", "2")]
    assert text_table(header, rows, 40).splitlines()[0] == "config  train molecules  k = 2  one more"
    assert text_table(header, rows, 30).splitlines() == [
        "        train           one",
        "config  molecules  k=2  more",
        "------  ---------  ---  ----",
        "task1   30         1    1",
        "t       1          2    2",
    ]
    assert text_table(header, rows, 20).splitlines() == [
        "        train",
        "config  molecules",
        "------  ---------",
        "task1   30",
        "t       1",
        "",
        "             one",
        "config  k=2  more",
        "------  ---  ----",
        "task1   1    1",
        "t       2    2",
    ]
