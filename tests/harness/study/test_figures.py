"""What the figures show, read back from their axes."""

from pathlib import Path

import pytest

from dataset_builders.core.palette import LIGHT_GREY, SPLITS
from harness.study.ablation_figure import ablation_figure
from harness.study.curve_figure import curve_figure
from harness.study.figures import draw_figures
from harness.study.gap_figure import gap_figure
from harness.study.summary import summarise
from tests.harness.study.records import record


def points(axes, colour):  # type: ignore[no-untyped-def]
    """The single points of a colour, from top to bottom."""
    found = [line for line in axes.lines if line.get_color() == colour and len(line.get_xdata()) == 1]
    return [(line.get_xdata()[0], line.get_ydata()[0]) for line in found]


def test_a_pair_of_errors_with_what_composition_explains() -> None:
    # ID (10 x 0.01 + 20 x 0.02) / 30, OOD (10 x 0.03 + 20 x 0.06) / 30; 0.025 follows from the composition.
    lines = summarise([record("mace", seed=0), record("gfn1-xtb")])
    (axes,) = gap_figure(lines, ["mace", "gfn1-xtb"]).axes
    assert [text.get_text() for text in axes.get_yticklabels()] == ["MACE", "GFN1-xTB"]
    for colour, value in ((SPLITS["test_id"], 50.0 / 3.0), (SPLITS["test_ood"], 50.0)):
        assert points(axes, colour) == [(pytest.approx(value), 0), (pytest.approx(value), 1)]
    explained = [
        list(line.get_xdata()) for line in axes.lines if line.get_color() == LIGHT_GREY and len(line.get_xdata()) == 2
    ]
    assert explained == [[pytest.approx(50.0 / 3.0), pytest.approx(25.0)]] * 2
    assert [text.get_text() for text in axes.texts] == ["gap, OOD / ID", "3.00", "3.00"]  # two fragments: no interval


def test_a_row_that_was_not_measured_on_a_task_is_named() -> None:
    lines = summarise([record("mace", seed=0), record("mace", "task2", seed=0), record("painn", "task2", seed=0)])
    first, second = gap_figure(lines, ["mace", "painn"]).axes
    assert "not measured" in [text.get_text() for text in first.texts]
    assert "not measured" not in [text.get_text() for text in second.texts]


def test_curves_have_a_panel_for_each_model_and_task() -> None:
    lines = summarise([record("mace", seed=0), record("mace", "task2", seed=0), record("painn", seed=0)])
    figure = curve_figure(lines, ["mace", "painn"], "spacer")
    assert len(figure.axes) == 4
    known, unseen = figure.axes[0].lines
    assert (list(known.get_xdata()), list(known.get_ydata())) == ([2.0, 3.0], [10.0, 20.0])
    assert list(unseen.get_ydata()) == [30.0, 60.0]
    assert [text.get_text() for text in figure.axes[3].texts] == ["not measured"]
    # Bins without atoms are left out.
    distances = curve_figure(lines, ["mace"], "distance").axes[0].lines
    assert [list(line.get_ydata()) for line in distances] == [[10.0, 20.0], [50.0]]


def test_many_tasks_become_rows() -> None:
    lines = summarise([record("mace", f"own{number}", seed=0, title="a task of one's own") for number in range(5)])
    figure = curve_figure(lines, ["mace"], "spacer")
    assert [axes.get_subplotspec().rowspan.start for axes in figure.axes] == [0, 1, 2, 3, 4]


def test_an_ablation_needs_two_variants_on_one_task() -> None:
    assert ablation_figure(summarise([record("painn", seed=0), record("painn-long", "task2", seed=0)])) is None
    lines = summarise([record("painn", seed=0), record("painn-long", seed=0, known=(0.01, 0.01))])
    figure = ablation_figure(lines)
    assert figure is not None
    (axes,) = figure.axes
    assert [text.get_text() for text in axes.get_xticklabels()] == ["× 1", "× 4"]
    assert [text.get_text() for text in axes.texts] == ["task1, chain extension", "gap 3.00", "5.00"]


def test_more_rows_than_fit_one_axis_get_a_second_figure(tmp_path: Path) -> None:
    lines = summarise([record(f"network{number}", seed=0, known=(0.01, 0.01 + 0.001 * number)) for number in range(9)])
    names = draw_figures(lines, tmp_path)
    assert {"gap.png", "gap.svg", "gap-2.png", "spacer-2.png", "distance-2.png"} <= set(names)
    assert {path.name for path in tmp_path.iterdir()} == set(names)
