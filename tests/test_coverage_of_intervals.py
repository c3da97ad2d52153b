"""How often intervals hold the truth, in data sets drawn as the records of the study say that errors vary."""

import numpy as np
import pytest

from dataset_builders.tasks.drawn import Drawn, drawn_of_task
from dataset_builders.tasks.regions import TASKS, TaskName
from tests.benchmarks import anatomy_coverage
from tests.benchmarks.coverage import WITHIN, Options, simulate
from tests.benchmarks.simulated_errors import estimate

_MARGIN = 0.012
"""Of the coverage that 2,000 data sets show, whose standard error is half of that."""


def test_intervals_hold_where_the_former_ones_did_not() -> None:
    found = {each.number: each for each in simulate("task1", Options(n_sets=120))}
    for number in ("ID MAE", "OOD MAE", "gap", "excess", "OOD MAE over that of another model"):
        covered = found[number].new
        assert covered is not None
        # 95 % of 120 data sets, and five standard errors below.
        assert covered > 0.85, number
        assert found[number].former < covered, number
    assert found["excess"].former < 0.6


def test_rows_of_the_design_alone_have_no_interval() -> None:
    found = {each.number: each for each in simulate("task4", Options(n_sets=3))}
    assert found["ID MAE at spacer 12"].new is None
    assert found["ID MAE at spacer 2"].n_clusters == 4


def test_few_fragments_in_pairs_have_no_interval() -> None:
    found = {each.number: each for each in simulate("task3", Options(n_sets=3, n_fragments=4))}
    assert found["gap"].new is None
    assert found["ID MAE"].new is not None


@pytest.mark.parametrize("task", ["task1", "task3"])
def test_components_are_estimated_as_they_were_drawn(task: TaskName) -> None:
    rng = np.random.default_rng(0)
    drawn = drawn_of_task(TASKS[task])
    names = [word.molecule_id for word in TASKS[task].ood_words()]
    found = [estimate(_log_errors(names, drawn, rng), drawn) for _ in range(200)]
    assert np.mean([each.fragment for each in found]) == pytest.approx(0.04, rel=0.15)
    assert np.mean([each.own for each in found]) == pytest.approx(0.01, rel=0.05)


def _log_errors(names: list[str], drawn: Drawn, rng: np.random.Generator) -> dict[str, float]:
    """Effects of fragments with variance 0.04, of molecules with 0.01, and a level of each spacer."""
    fragments = sorted({each for name in names for each in drawn.by_molecule[name]})
    effects = dict(zip(fragments, rng.normal(0.0, 0.2, len(fragments)), strict=True))
    return {
        name: sum(effects[each] for each in drawn.by_molecule[name]) + rng.normal(0.0, 0.1) + int(name.split("-")[1])
        for name in names
    }


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("task", [*TASKS])
def test_every_interval_that_is_printed_covers_what_it_says(task: TaskName) -> None:
    for each in simulate(task, Options(n_sets=2000)):
        if each.new is not None:
            assert WITHIN[0] - _MARGIN <= each.new <= WITHIN[1] + _MARGIN, each


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("task", [*TASKS])
def test_every_interval_of_a_factor_covers_what_it_says(task: TaskName) -> None:
    for name, _, covered, _ in anatomy_coverage.simulate(task, n_sets=2000, seed=0):
        if covered is not None:
            assert WITHIN[0] - _MARGIN <= covered <= WITHIN[1] + _MARGIN, name
