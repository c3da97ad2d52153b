"""The table and the figure of the factors of gaps."""

import io
import math
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError
from rich.console import Console

from harness.data.dataset import open_dataset
from harness.evaluation.run import RunOptions, evaluate_model
from harness.models.resolve import resolve_model
from harness.report.anatomy_figure import GapFactors, bars_of, draw_anatomy
from harness.report.anatomy_figure import _figure as drawn_figure
from harness.report.anatomy_table import anatomy_report
from harness.report.view import View
from harness.results.anatomy_record import Anatomy, ContactResult
from harness.results.result import Estimate, RunResult
from tests.harness.toy_potential import Harmonic


@pytest.fixture(scope="module")
def toy_result(tiny_dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> RunResult:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("harness.worker.loading.load_potential", lambda model, options: Harmonic())
        options = RunOptions(output=tmp_path_factory.mktemp("results"), quiet=True)
        finished = evaluate_model(resolve_model("zero"), open_dataset(str(tiny_dataset)), options)
    assert finished is not None
    return finished.result


def estimate(value: float | None, reason: str | None = None) -> Estimate:
    has_ends = value is not None and reason is None
    low, high = (value / 1.25, value * 1.25) if has_ends and value is not None else (None, None)
    return Estimate(value=value, low=low, high=high, unit="1", reason=reason)


def anatomy(**changed: Estimate) -> Anatomy:
    values: dict[str, Any] = {
        "composition": estimate(1.2),
        "conformers": estimate(1.1),
        "remaining": estimate(1.5),
        "unseen_parts": estimate(1.25),
        "combination": estimate(1.2),
    }
    return Anatomy(**{**values, **changed}, n_molecules=24, n_parts_shown=6, rotamers=None)


def with_anatomy(result: RunResult, found: Anatomy | None, gap: float = 1.98) -> RunResult:
    contact = ContactResult(split="test_ood", contact="contact", n_molecules=3, n_frames=12, force_mae=estimate(0.0471))
    update = {"gap": estimate(gap), "anatomy": found, "by_contact": (contact,) if found else ()}
    task = result.tasks["task1"].model_copy(update=update)
    return result.model_copy(update={"tasks": {"task1": task}})


def text_of(result: RunResult, view: View | None = None) -> str:
    stream = io.StringIO()
    width = (view or View()).width
    Console(file=stream, width=width, highlight=False).print(anatomy_report([result], view), soft_wrap=True)
    return stream.getvalue()


def test_every_factor_with_its_interval(toy_result: RunResult) -> None:
    lines = text_of(with_anatomy(toy_result, anatomy()), View(intervals=True)).splitlines()
    place = next(number for number, line in enumerate(lines) if line.startswith("task1 chain extension")) + 1
    assert lines[place].split() == ["toy", "1.98", ">1", "1.20", "1.10", "1.25", "1.20"]
    ends = ["1.58–2.48", "0.96–1.50", "0.88–1.38", "1.00–1.56", "0.96–1.50"]
    assert lines[place + 1].split() == ["interval", *ends]
    assert any(line.split() == ["toy", "47.1", "12", "–", "–"] for line in lines)
    assert max(map(len, lines)) <= 80
    plain = text_of(with_anatomy(toy_result, anatomy()))
    assert "1.58–2.48" not in plain
    assert max(map(len, text_of(with_anatomy(toy_result, anatomy()), View(40)).splitlines())) <= 40


def test_parts_that_cannot_be_separated(toy_result: RunResult) -> None:
    together = "every OOD molecule has an unseen part"
    found = anatomy(unseen_parts=estimate(None, together), combination=estimate(None, together))
    text = " ".join(text_of(with_anatomy(toy_result, found)).split())
    assert "1.50*" in text
    assert "* unseen parts and combination together" in text
    assert f"task1: * {together}" in text


def test_conformers_that_are_not_determined(toy_result: RunResult) -> None:
    found = anatomy(conformers=estimate(None, "no train"))
    text = " ".join(text_of(with_anatomy(toy_result, found, gap=1.8)).split())
    assert "task1: no factor of conformers, which is part of the last factors: no train" in text


def test_a_result_of_an_earlier_version(toy_result: RunResult) -> None:
    text = " ".join(text_of(with_anatomy(toy_result, None)).split())
    assert "task1: no anatomy: the result is of an earlier version; `python -m harness report` computes it" in text


def test_factors_that_do_not_multiply_to_the_gap(toy_result: RunResult) -> None:
    with pytest.raises(ValidationError, match="unseen_parts and combination do not multiply to remaining"):
        anatomy(combination=estimate(1.3))
    document = with_anatomy(toy_result, anatomy(), gap=2.0).model_dump_json()
    with pytest.raises(ValidationError, match=r"the gap of task1 is 2\.0, and its factors give 1\.98"):
        RunResult.model_validate_json(document)


def test_the_figure_has_a_bar_for_each_result_and_the_same_bytes_each_time(
    toy_result: RunResult, tmp_path: Path
) -> None:
    bars = bars_of([with_anatomy(toy_result, anatomy()), with_anatomy(toy_result, None)])
    assert [(bar.task, bar.model) for bar in bars] == [("task1", toy_result.model.id)]
    assert math.prod(bars[0].factors.values()) == pytest.approx(1.98)
    for name in ("a.png", "b.png"):
        draw_anatomy(bars, tmp_path / name)
    content = (tmp_path / "a.png").read_bytes()
    assert content.startswith(b"\x89PNG")
    assert content == (tmp_path / "b.png").read_bytes()


def test_long_names_leave_room_for_the_bars() -> None:
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    models = [f"checkpoints/{network}-of-some-length/validations/00100000" for network in ("painn", "dimenet")]
    factors = {"composition": 1.2, "remaining": 2.0}
    bars = [GapFactors(task, "title", model, factors, None) for task in ("task2", "task3") for model in models]
    figure = drawn_figure(bars)
    FigureCanvasAgg(figure).draw()
    panels = figure.axes
    labels = [label for panel in panels for label in panel.get_yticklabels()]
    assert [label.get_text() for label in labels[:2]] == [label.get_text() for label in labels[2:]]
    assert len({label.get_text() for label in labels}) == 2
    assert labels[0].get_text().startswith("checkpoints")
    assert all(label.get_window_extent().x0 >= 0.0 for label in labels)
    assert labels[2].get_window_extent().x0 >= panels[0].get_window_extent().x1
    assert figure.legends[0].get_window_extent().y1 <= min(panel.get_tightbbox().y0 for panel in panels)
    assert all(panel.get_window_extent().width > 200.0 for panel in panels)


def test_a_result_is_loaded_with_its_anatomy_and_one_of_version_2_0_without(
    toy_result: RunResult, tmp_path: Path
) -> None:
    path = tmp_path / "result.json"
    toy_result.save(path)
    loaded = RunResult.load(path)
    assert loaded == toy_result
    assert loaded.schema_version == "2.1"
    found = loaded.tasks["task1"]
    assert found.anatomy is not None
    assert found.anatomy.log_gap == pytest.approx(math.log(found.gap.value or 0.0), abs=1e-9)
    former = path.read_text().replace('"schema_version": "2.1"', '"schema_version": "2.0"')
    path.write_text(former)
    assert RunResult.load(path).schema_version == "2.0"
