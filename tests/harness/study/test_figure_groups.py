"""Which rows share a figure."""

import pytest

from harness.study.figure_groups import (
    MOST_ROWS,
    QUESTIONS,
    measurable,
    models,
    numbered,
    parts_of,
    references,
    variants,
)
from harness.study.run_record import Number
from harness.study.summary import Line, summarise
from harness.study.table_rows import ROWS
from tests.harness.study.records import record


def lines_of(errors: dict[str, float]) -> list[Line]:
    """A line for each row with its ID error, eV/Å; trained unless it is a control."""
    seeds = {name: None if name in ROWS and ROWS[name].kind == "control" else 0 for name in errors}
    return summarise([record(name, seed=seeds[name], known=(error, error)) for name, error in errors.items()])


def test_the_most_accurate_model_is_at_the_top_and_gfn1_xtb_at_the_bottom() -> None:
    lines = lines_of({"gfn1-xtb": 0.01, "schnet": 0.07, "mace": 0.03, "knn": 0.08, "zero": 0.6, "painn-long": 0.02})
    assert models(lines) == [["mace", "schnet", "gfn1-xtb"]]
    assert references(lines) == [["knn", "zero", "gfn1-xtb"]]
    assert variants(lines) == [["painn-long"]]


def test_a_model_of_another_level_is_a_reference() -> None:
    near, far = record("mace", seed=0), record("schnet", seed=0)
    far = far.model_copy(update={"model": far.model.model_copy(update={"level_of_theory": "wB97X/6-31G(d)"})})
    lines = summarise([near, far])
    assert (models(lines), references(lines)) == ([["mace"]], [["schnet"]])


@pytest.mark.parametrize(("n_rows", "sizes"), [(7, [8]), (8, [8, 2]), (15, [8, 8, 2])])
def test_no_figure_has_more_than_eight_rows(n_rows: int, sizes: list[int]) -> None:
    """Rows of plug-ins too, which the table does not declare."""
    found = models(
        lines_of({"gfn1-xtb": 0.5} | {f"network{number:02}": 0.01 + 0.01 * number for number in range(n_rows)})
    )
    assert [len(part) for part in found] == sizes
    assert max(map(len, found)) <= MOST_ROWS
    assert all(part[-1] == "gfn1-xtb" for part in found)


def test_the_method_that_made_the_labels_has_no_place_on_a_logarithmic_axis() -> None:
    exact = record("gfn2-xtb", known=(0.0, 0.0), unseen=(0.0, 0.0), gap=Number(reason="zero"))
    assert measurable(summarise([exact])) == []


def test_every_ablation_answers_a_question() -> None:
    asked = {row for question in QUESTIONS for row in question.variants}
    assert asked - {"painn"} == {name for name, row in ROWS.items() if row.group == "ablation"}


def test_files_of_a_kind() -> None:
    names = [numbered("gap.png", number) for number in (1, 2, 12)]
    assert names == ["gap.png", "gap-2.png", "gap-12.png"]
    assert parts_of("gap.png", [*names, "gap.svg", "gap-of-all.png", "spacer.png"]) == names
