"""The numbers of a report against the result, and against sums made in another way."""

import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from dataset_builders.core.errors import DataError
from harness.evaluation.run import FinishedRun, SavedRun, open_saved
from harness.pages.page import page_html
from harness.pages.report.axes import error_ticks, in_lines, ratio_ticks
from harness.pages.report.density import N_BINS, Density, axis_limit
from harness.pages.report.frame_errors import COSINE_BINS, frame_errors
from harness.pages.report.number_text import decimal, headline_ratio
from harness.pages.report.report_page import Report, page_of, report_of
from harness.pages.report.reported_runs import reported_runs
from harness.pages.report.verdict import chance
from harness.report.control_gaps import control_tasks
from harness.results.estimate import Estimate
from harness.results.result import RunResult
from harness.scoring.joining import join_task
from harness.scoring.paired_frames import SplitFrames


class _Cells(HTMLParser):
    """The numbers that a page holds as `data-value`."""

    def __init__(self) -> None:
        super().__init__()
        self.values: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.values |= {value for name, value in attrs if name == "data-value" and value is not None}


@pytest.fixture(scope="module")
def saved(mini_runs: tuple[Path, Path]) -> SavedRun:
    return open_saved(mini_runs[0])


@pytest.fixture(scope="module")
def result(mini_runs: tuple[Path, Path]) -> RunResult:
    return RunResult.load(mini_runs[0] / "result.json")


def _html(saved: SavedRun, result: RunResult) -> str:
    controls = control_tasks(result.dataset.content_hash, [result], None)
    return page_html(page_of(report_of(reported_runs([saved], [FinishedRun(result, saved.directory)]), controls)))


def test_the_page_holds_the_numbers_of_the_result(saved: SavedRun, result: RunResult) -> None:
    html = _html(saved, result)
    cells = _Cells()
    cells.feed(html)
    for task in result.tasks.values():
        estimates = [task.gap, task.score, *(row.force_mae for row in (*task.by_spacer, *task.by_contact))]
        estimates += [part.metrics["force_mae"] for part in task.splits.values()]
        estimates += [row.force_mae for row in task.by_pair if row.split == "test_ood" and row.left != row.right]
        estimates += list(task.anatomy.factors.values()) if task.anatomy else []
        expected = {str(each.value) for each in estimates if each.value is not None}
        # Contacts of ID frames are in no section, and neither are molecules with a bare end.
        expected -= {str(row.force_mae.value) for row in task.by_contact if row.split == "test_id"}
        expected -= {str(row.force_mae.value) for row in task.by_pair if "H" in (row.left, row.right)}
        assert expected <= cells.values
    assert html == _html(saved, result)
    assert re.search(r"\d{4}-\d\d-\d\dT", html.partition("<main")[2].partition("</main>")[0]) is None
    assert "python -m harness --model mmff94 --dataset mini --task task2 task3 --labels gfn2-xtb" in html


@pytest.fixture(scope="module")
def joined(saved: SavedRun) -> dict[str, SplitFrames]:
    task = join_task(saved.dataset, "task2", "control", saved.plan, saved.reader())
    return {"test_id": task.test_id, "test_ood": task.test_ood}


def test_frames_are_counted_once_and_the_worst_are_found(saved: SavedRun, joined: dict[str, SplitFrames]) -> None:
    found = frame_errors(saved, "task2")
    per_frame = {}
    for split, frames in joined.items():
        difference = frames.predicted.forces.astype(float) - frames.reference.forces
        first = np.cumsum(frames.index.n_atoms) - frames.index.n_atoms
        for place, (start, n_atoms) in enumerate(zip(first, frames.index.n_atoms, strict=True)):
            name = frames.index.molecules[frames.index.molecule_idx[place]].molecule_id
            error = float(np.abs(difference[start : start + n_atoms]).mean())
            per_frame[split, name, int(frames.index.frame[place])] = error
        counted = found.splits[split]  # type: ignore[index]
        assert counted.forces.n_pairs == 3 * int(frames.index.n_atoms.sum())
        assert counted.energies.n_pairs == frames.index.n_frames
        reference, predicted = (each.forces.astype(float) for each in (frames.reference, frames.predicted))
        lengths = np.linalg.norm(reference, axis=1) * np.linalg.norm(predicted, axis=1)
        cosines = (reference * predicted).sum(axis=1) / lengths
        assert counted.cosines.sum() + counted.n_without_direction == len(cosines)
        assert counted.cosines[-1] == pytest.approx((cosines >= 1.0 - 2.0 / COSINE_BINS).sum(), abs=3)
    worst_of_each: dict[str, float] = {}
    for (_, name, _), error in per_frame.items():
        worst_of_each[name] = max(error, worst_of_each.get(name, 0.0))
    assert [each.molecule_id for each in found.worst] == sorted(worst_of_each, key=lambda n: -worst_of_each[n])[:10]
    for each in found.worst:
        assert per_frame[each.split, each.molecule_id, each.frame] == pytest.approx(each.force_mae, rel=1e-12)
        assert each.errors.shape == each.atomic_numbers.shape == (len(each.positions),)
    assert found.trained is not None
    assert len(found.trained) == 36


def _report(saved: SavedRun, result: RunResult) -> Report:
    return report_of(reported_runs([saved], [FinishedRun(result, saved.directory)]), {})


def test_a_gap_of_zero_is_named_and_not_drawn(saved: SavedRun, result: RunResult) -> None:
    task = result.tasks["task2"]
    none = Estimate(value=0.0, low=None, high=None, unit="eV/Å", reason="no interval")
    ood = task.splits["test_ood"]
    exact = ood.model_copy(update={"metrics": {**ood.metrics, "force_mae": none}})
    zero = task.model_copy(update={"gap": none, "anatomy": None, "splits": {**task.splits, "test_ood": exact}})
    others = _report(saved, result.model_copy(update={"tasks": {**result.tasks, "task2": zero}}))
    assert others.gaps is not None
    assert others.gaps.caption.endswith("Not on this logarithmic axis, since it reaches zero: task2: mmff94.")
    assert [row["group"] for row in others.gaps.specification["datasets"]["gaps"]] == ["task3: mmff94"]
    alone = _report(saved, result.model_copy(update={"tasks": {"task2": zero}}))
    assert alone.gaps is None
    assert page_html(page_of(alone))


def test_bins_by_hand() -> None:
    empty = Density.empty(1.0)
    counted = empty.added(np.array([-1.0, 0.0, 1.0, 0.5]), np.array([-1.0, 0.01, 1.0, 7.0]))
    assert (counted.n_pairs, counted.n_beyond) == (4, 1)
    half = N_BINS // 2
    assert counted.counts[0, 0] == counted.counts[half, half] == counted.counts[-1, -1] == 1
    rows = counted.rows()
    assert rows[0] == {"x": -1.0, "y": -1.0, "n": 1}
    assert counted.added(np.array([0.0]), np.array([0.01])).counts[half, half] == 2
    assert [axis_limit(value) for value in (0.0, 0.9, 4.2, 5.0, 37.0)] == [1.0, 1.0, 5.0, 5.0, 40.0]
    with pytest.raises(DataError, match=r"a reference value of 2 lies outside the axes, which end at 1"):
        empty.added(np.array([2.0]), np.array([0.0]))


def test_verdicts_follow_from_the_interval() -> None:
    def gap(value: float | None, ends: tuple[float, float] | None = None, why: str | None = None) -> Estimate:
        low, high = ends or (None, None)
        return Estimate(value=value, low=low, high=high, unit="1", reason=why)

    assert chance(gap(2.0, (1.5, 2.7))).text == "Yes: the 95 % interval, 1.50–2.70, lies above 1."
    assert chance(gap(1.1, (0.9, 1.3))).short == "no"
    assert chance(gap(0.8, (0.7, 0.9))).short == "yes, OOD is easier"
    few = gap(1.4, why="no interval: based on 2 fragments; an interval needs at least 3")
    assert chance(few).text == "Not known: based on 2 fragments; an interval needs at least 3."
    assert chance(gap(None, why="the error to divide by is zero")).short == "no gap"


def test_rounding_makes_no_zero() -> None:
    assert [decimal(value, 1) for value in (0.0, 0.04, 0.05, 12.34)] == ["0.0", "4.0e-02", "0.1", "12.3"]
    assert [headline_ratio(value) for value in (2.678, 1.174, 0.95, 10.0)] == ["2.7", "1.17", "0.95", "10.0"]


def test_long_names_are_broken_and_never_cut() -> None:
    names = [f"organisation/a-rather-long-name-of-a-model (commit {commit})" for commit in ("0123456", "1234567")]
    broken = [in_lines(name) for name in names]
    assert broken[0] != broken[1]
    assert [name.replace("\n", "").replace(" ", "") for name in broken] == [name.replace(" ", "") for name in names]
    assert max(len(line) for name in broken for line in name.split("\n")) <= 26
    assert in_lines("reference") == "reference"


def test_ticks_are_round_and_few() -> None:
    assert error_ticks((8.0, 130.0)) == [10.0, 20.0, 50.0, 100.0]
    assert error_ticks((900.0, 1650.0)) == [900.0, 1000.0, 1500.0]
    assert 3 <= len(error_ticks((1910.0, 2290.0))) <= 7
    assert ratio_ticks((0.85, 4.4)) == [1.0, 1.2, 1.5, 2.0, 2.5, 3.0, 4.0]
    assert ratio_ticks((1.0, 1.01)) == [1.0]
    assert ratio_ticks((0.9, 150.0)) == [1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0]
