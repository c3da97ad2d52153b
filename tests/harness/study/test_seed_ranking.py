from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from harness.study.run_record import Number, RunRecord
from harness.study.seed_ranking import ModelRanking, rank_models
from harness.study.summary import summarise
from tests.harness.study.records import record


def runs(row: str, errors: Sequence[float], **others: Any) -> list[RunRecord]:
    """One run a seed, with these OOD errors of both molecules."""
    return [record(row, seed=seed, unseen=(error, error), **others) for seed, error in enumerate(errors)]


def ranking_of(records: Sequence[RunRecord]) -> ModelRanking | None:
    return rank_models(summarise(records), lambda each: each.force_mae["test_ood"])


def test_places_by_hand() -> None:
    ranking = ranking_of(
        [*runs("schnet", (0.5, 0.6, 0.7)), *runs("painn", (0.3, 0.4, 0.2)), *runs("mace", (0.2, 0.3, 0.3))]
    )
    assert ranking is not None
    assert (ranking.rows, ranking.seeds) == (("mace", "painn", "schnet"), (0, 1, 2))
    assert ranking.places.tolist() == [[1, 2, 3], [1, 2, 3], [2, 1, 3]]
    assert ranking.exchanged == (("mace", "painn"),)
    # Of three pairs of rows, the last seed orders two as the others do and one the other way round.
    assert ranking.agreement == pytest.approx((2 - 1) / 3)


def test_one_order() -> None:
    ranking = ranking_of([*runs("schnet", (0.5, 0.6)), *runs("painn", (0.3, 0.4))])
    assert ranking is not None
    assert ranking.agreement == pytest.approx(1.0)
    assert ranking.exchanged == ()


def test_equal_values_share_a_place() -> None:
    ranking = ModelRanking(("a", "b", "c"), (0, 1), np.array([[0.1, 0.1, 0.2], [0.1, 0.2, 0.3]]))
    assert ranking.places.tolist() == [[1, 1, 3], [1, 2, 3]]
    assert ranking.exchanged == (("a", "b"),)
    assert ModelRanking(("a", "b"), (0, 1), np.array([[0.1, 0.1], [0.1, 0.2]])).agreement is None


def test_a_model_without_seeds_keeps_its_number() -> None:
    additive = record("additive", kind="trained", unseen=(0.35, 0.35))
    ranking = ranking_of([*runs("painn", (0.3, 0.4)), additive])
    assert ranking is not None
    assert ranking.places.tolist() == [[1, 2], [2, 1]]
    assert ranking.rows == ("painn", "additive")


def test_controls_and_rows_that_lack_a_seed_are_not_ranked() -> None:
    records = [*runs("painn", (0.3, 0.4)), *runs("schnet", (0.5, 0.6)), *runs("mace", (0.2,)), record("zero")]
    ranking = ranking_of(records)
    assert ranking is not None
    assert ranking.rows == ("painn", "schnet")


@pytest.mark.parametrize(
    "records",
    [
        [*runs("painn", (0.3,)), *runs("schnet", (0.5,))],
        [*runs("painn", (0.3, 0.4)), record("zero")],
        [record("additive", kind="trained")],
        [record("zero")],
    ],
    ids=["one seed", "one model", "no seed", "no model"],
)
def test_nothing_to_compare(records: list[RunRecord]) -> None:
    assert ranking_of(records) is None


def test_a_number_that_is_undefined_for_a_model() -> None:
    records = [*runs("painn", (0.3, 0.4), gap=Number(reason="zero")), *runs("schnet", (0.5, 0.6))]
    assert rank_models(summarise(records), lambda each: each.gap) is None
