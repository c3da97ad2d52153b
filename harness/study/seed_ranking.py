"""Whether the ranking of the models depends on the seed."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Final

import numpy as np
from scipy.stats import kendalltau, rankdata

from dataset_builders.core.arrays import IntArray
from harness.scoring.metric_terms import Float64Array
from harness.study.run_record import Number, RunRecord
from harness.study.summary import Line

MODELS: Final = ("trained", "zero-shot", "fine-tuned")
"""Types of rows that are ranked."""


@dataclass(frozen=True, slots=True, eq=False)
class ModelRanking:
    """The models of a task ranked by a number, ascending, for each seed.

    Attributes:
        rows: Names, in the order of the mean over seeds.
        seeds: Seeds, ascending.
        values: Value of each row for each seed, shape (n_seeds, n_rows).
    """

    rows: tuple[str, ...]
    seeds: tuple[int, ...]
    values: Float64Array

    @property
    def places(self) -> IntArray:
        """Rank of each row for each seed, from 1, shape (n_seeds, n_rows); ties share the best rank."""
        places: IntArray = rankdata(self.values, method="min", axis=1).astype(np.int64)
        return places

    @property
    def agreement(self) -> float | None:
        """Kendall's tau-b of the two seeds that agree least; `None` if all rows are tied for one seed."""
        taus = [float(kendalltau(*pair).statistic) for pair in combinations(self.values, 2)]
        return None if any(map(math.isnan, taus)) else min(taus)

    @property
    def exchanged(self) -> tuple[tuple[str, str], ...]:
        """Pairs of rows whose order depends on the seed."""
        columns = zip(self.rows, self.values.T, strict=True)
        return tuple(
            (first, second)
            for (first, left), (second, right) in combinations(columns, 2)
            if len(set(np.sign(right - left))) > 1
        )


def rank_models(lines: Sequence[Line], number: Callable[[RunRecord], Number]) -> ModelRanking | None:
    """Ranks the models of one task for each seed of the row with the most seeds.

    Rows that lack some of these seeds are omitted. A model without a seed (additive, zero-shot) has the same value for
    each. Controls without training are not ranked.

    Args:
        lines: Rows on the task.
        number: The number to rank by, smallest first.

    Returns:
        `None` with fewer than two seeds or two models, or if the number is undefined for a model.
    """
    models = [line for line in lines if line.records[0].kind in MODELS]
    seeds = max((line.seeds for line in models), key=len, default=())
    ranked = [line for line in models if not line.seeds or set(seeds) <= set(line.seeds)]
    if len(seeds) < 2 or len(ranked) < 2:
        return None
    columns = [_values(line, seeds, number) for line in ranked]
    if any(None in column for column in columns):
        return None
    values = np.array(columns, dtype=np.float64).T
    order = np.argsort(values.mean(axis=0), kind="stable")
    return ModelRanking(tuple(ranked[place].row for place in order), seeds, values[:, order])


def _values(line: Line, seeds: Sequence[int], number: Callable[[RunRecord], Number]) -> list[float | None]:
    if not line.seeds:
        return [number(line.records[0]).value] * len(seeds)
    by_seed = {record.seed: number(record).value for record in line.records}
    return [by_seed[seed] for seed in seeds]
