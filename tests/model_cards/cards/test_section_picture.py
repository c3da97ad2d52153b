"""What the picture of a section shows, from entries that anyone may write."""

from dataclasses import replace

import pytest

from harness.report.control_gaps import CONTROL, INSTALLED
from harness.results.result import RunResult
from model_cards.cards.gap_picture import gap_picture, gap_text
from model_cards.cards.section_picture import is_picture_of_ours, section_panels, shows
from model_cards.entries.entries import entries_of
from model_cards.entries.notes import format_notes, parse_notes
from tests.model_cards.conftest import MODEL

PINNED = f"{MODEL}@{'c' * 40}"


def test_one_panel_for_each_task_of_the_first_edition(make_result):
    others = entries_of(make_result("task1", dataset={"edition": "mini"}), PINNED)
    panels = section_panels([*entries_of(make_result("task3", "task2"), PINNED), *others])
    assert [panel.title.partition(" (")[0] for panel in panels] == ["task2", "task3"]
    assert [[pair.label for pair in panel.pairs] for panel in panels] == [["this model"]] * 2
    assert section_panels([]) == ()


def test_numbers_are_those_of_the_entries(make_result):
    entries = {entry.task_id: entry for entry in entries_of(make_result("task2"), PINNED)}
    (panel,) = section_panels([*entries.values()])
    pair = panel.pairs[0]
    assert pair.known.value == pytest.approx(entries["task2_id_force_mae"].value / 1000.0)
    low, _, high = parse_notes(entries["task2_gap"].notes)["interval"].partition(" to ")
    assert (pair.gap.low, pair.gap.high) == (float(low), float(high))


def test_gfn1_xtb_stands_beside_results_on_the_same_data(make_result):
    control = RunResult.load(INSTALLED / f"{CONTROL}.json")
    data = {"content_hash": control.dataset.content_hash}
    (panel,) = section_panels(entries_of(make_result("task2", dataset=data), PINNED))
    assert [pair.label for pair in panel.pairs] == ["this model", "GFN1-xTB"]
    assert panel.pairs[1].gap.value == control.tasks["task2"].gap.value
    # The first digit of a hash names no data.
    short = [
        replace(entry, notes=format_notes({**parse_notes(entry.notes), "content": control.dataset.content_hash[:1]}))
        for entry in entries_of(make_result("task2", dataset=data), PINNED)
    ]
    assert len(section_panels(short)[0].pairs) == 1


@pytest.mark.parametrize("interval", ["0.0 to 3.0", "-1.0 to 3.0"])
def test_numbers_without_a_place_on_the_axis_are_not_drawn(make_result, interval):
    entries = [
        replace(entry, notes=format_notes({**parse_notes(entry.notes), "interval": interval}))
        for entry in entries_of(make_result("task2"), PINNED)
    ]
    assert section_panels(entries) == ()


def test_a_picture_says_what_it_shows(make_result):
    panels = section_panels(entries_of(make_result("task2"), PINNED))
    picture = gap_picture(panels)
    assert is_picture_of_ours(picture)
    assert shows(picture, panels)
    others = section_panels(entries_of(make_result("task3"), PINNED))
    assert not shows(picture, others)
    assert not is_picture_of_ours(b"\x89PNG of somebody")
    assert gap_text(panels).startswith(
        "Force errors with 95 % intervals. task2 (fragment duplication), edition standard, "
    )
