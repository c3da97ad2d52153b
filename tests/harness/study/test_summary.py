import math
import statistics

import numpy as np
import pytest
from scipy.stats import t

from dataset_builders.core.errors import DataError
from harness.study.run_record import Number
from harness.study.summary import over_seeds, ratio_of_rows, summarise
from tests.harness.study.records import mean_error, molecules, record


def test_one_seed_by_hand() -> None:
    # Molecules of 10 and 20 atoms: ID (0.01 + 2 x 0.02) / 3, OOD (0.03 + 2 x 0.06) / 3.
    (line,) = summarise([record("painn", seed=0)])
    known, unseen = line.force_mae["test_id"], line.force_mae["test_ood"]
    assert known.value == pytest.approx(0.05 / 3)
    assert unseen.value == pytest.approx(0.15 / 3)
    assert line.gap.value == pytest.approx(3.0)
    assert line.excess.value == pytest.approx(0.05 / 0.025)
    assert line.expected_gap.value == pytest.approx(0.025 / (0.05 / 3))
    # Two fragments are too few for an interval.
    assert (known.low, known.n_clusters, line.gap.low) == (None, 2, None)
    assert line.by_fragment == pytest.approx({"F0": 3.0, "F1": 3.0})
    assert known.deviation is None
    assert line.seeds == (0,)


def test_spacers_by_hand() -> None:
    (line,) = summarise([record("painn", seed=0), record("painn", seed=1, known=(0.03, 0.04))])
    assert {key: spread.value for key, spread in line.by_spacer.items()} == pytest.approx(
        {("test_id", 2): 0.02, ("test_id", 3): 0.03, ("test_ood", 2): 0.03, ("test_ood", 3): 0.06}
    )


def test_three_seeds_by_hand() -> None:
    known = [(0.01, 0.02), (0.02, 0.02), (0.03, 0.03)]
    records = [record("painn", seed=seed, known=errors) for seed, errors in enumerate(known)]
    (line,) = summarise(records)
    means = [mean_error(errors) for errors in known]
    gaps = [0.05 / mean for mean in means]
    assert line.force_mae["test_id"].value == pytest.approx(statistics.fmean(means))
    assert line.force_mae["test_id"].deviation == pytest.approx(statistics.stdev(means))
    assert line.force_mae["test_ood"].deviation == 0.0
    assert line.gap.value == pytest.approx(statistics.fmean(gaps))
    assert line.gap.deviation == pytest.approx(statistics.stdev(gaps))
    assert line.seeds == (0, 1, 2)


def test_intervals_of_the_mean_over_seeds_by_hand() -> None:
    # Three fragments with 10, 20 and 30 atoms; mean errors over the seeds 0.02, 0.03 and 0.04.
    known = [(0.01, 0.02, 0.03), (0.03, 0.04, 0.05)]
    unseen = (0.06, 0.09, 0.12)  # three times the mean of each
    records = [record("painn", seed=seed, known=errors, unseen=unseen) for seed, errors in enumerate(known)]
    (line,) = summarise(records)
    mean = (0.2 + 0.6 + 1.2) / 60
    influences = np.array([10 * (0.02 - mean), 20 * (0.03 - mean), 30 * (0.04 - mean)]) / (60 * mean)
    reach = t.ppf(0.975, 2) * math.sqrt(1.5 * np.sum(influences**2))
    found = line.force_mae["test_id"]
    assert (found.low, found.high) == pytest.approx((mean * math.exp(-reach), mean * math.exp(reach)))
    # Each seed's ratio has its own influences; the interval is that of their mean.
    each = [sum(w * e for w, e in zip((10, 20, 30), errors, strict=True)) for errors in known]
    total = sum(w * e for w, e in zip((10, 20, 30), unseen, strict=True))
    on_gap = np.zeros(3)
    for errors, whole in zip(known, each, strict=True):
        share = [w * u / total - w * e / whole for w, u, e in zip((10, 20, 30), unseen, errors, strict=True)]
        on_gap += total / whole * np.array(share) / 2
    gap = (total / each[0] + total / each[1]) / 2
    reach = t.ppf(0.975, 2) * math.sqrt(1.5 * np.sum((on_gap - on_gap.mean()) ** 2)) / gap
    assert (line.gap.low, line.gap.high) == pytest.approx((gap * math.exp(-reach), gap * math.exp(reach)))
    assert line.excess.low is not None


def test_two_rows_are_compared_within_fragments() -> None:
    first, second = summarise(
        [record("one", known=errors, unseen=errors) for errors in ((0.02, 0.04, 0.09),)]
        + [record("two", known=errors, unseen=errors) for errors in ((0.01, 0.02, 0.04),)]
    )
    ratio, alone = ratio_of_rows(first, second), first.force_mae["test_ood"]
    assert ratio.value == pytest.approx((0.2 + 0.8 + 2.7) / (0.1 + 0.4 + 1.2))
    assert ratio.low is not None
    assert ratio.high is not None
    assert alone.low is not None
    assert alone.high is not None
    assert ratio.high / ratio.low < 1.5 < alone.high / alone.low


def test_a_record_that_was_carried_over_has_an_excess_without_interval() -> None:
    errors = (0.02, 0.04, 0.09)
    parts = {"test_id": molecules(errors), "test_ood": molecules(errors, expected=0.03)}
    (line,) = summarise([record("painn", seed=0, known=errors, unseen=errors, molecules=parts)])
    assert line.excess.value == pytest.approx((0.2 + 0.8 + 2.7) / (60 * 0.03))
    assert line.excess.low is None
    assert line.gap.value == pytest.approx(1.0)


def test_subsets() -> None:
    near, far = molecules((0.04, 0.04), "near", 0.02), molecules((0.02, 0.02), "far", 0.02)
    numbers = dict.fromkeys(("test_id", "test_ood", "near", "far"), Number(value=0.1, low=0.1, high=0.1))
    (line,) = summarise(
        [record("zero", force_mae=numbers, molecules={"test_id": molecules((0.01, 0.01)), "test_ood": near + far})]
    )
    found = {name: spread.value for name, spread in line.force_mae.items()}
    assert found == pytest.approx({"test_id": 0.01, "test_ood": 0.03, "near": 0.04, "far": 0.02})
    assert line.excess.value == pytest.approx(1.5)
    assert line.seeds == ()


def test_no_gap_without_an_id_error() -> None:
    (line,) = summarise([record("gfn2-xtb", known=(0.0, 0.0), unseen=(0.0, 0.0), gap=Number(reason="zero"))])
    assert (line.gap.value, line.gap.low, line.expected_gap.value) == (None, None, None)


def test_rows_and_tasks_stay_apart() -> None:
    lines = summarise([record("painn", task, seed) for task in ("task1", "task2") for seed in (1, 0)])  # type: ignore[arg-type]
    assert [(line.task, line.seeds) for line in lines] == [("task1", (0, 1)), ("task2", (0, 1))]


def test_seeds_on_other_molecules() -> None:
    others = {"test_id": molecules((0.01, 0.02, 0.03)), "test_ood": molecules((0.03, 0.06), expected=0.1)}
    with pytest.raises(DataError, match="the records of painn on task1 have different test_id molecules"):
        summarise([record("painn", seed=0), record("painn", seed=1, molecules=others)])


def test_numbers_over_seeds() -> None:
    spread = over_seeds([Number(value=1.0, low=0.0, high=2.0), Number(value=3.0, low=2.0, high=6.0)])
    assert (spread.value, spread.low, spread.high) == (2.0, 1.0, 4.0)
    assert spread.deviation == pytest.approx(2.0**0.5)
    assert over_seeds([Number(value=1.0, low=0.0, high=2.0), Number(reason="undefined")]).value is None
    assert over_seeds([Number(value=1.0, reason="one molecule")]).low is None
