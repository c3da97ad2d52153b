import math
import time
from collections.abc import Callable, Sequence
from itertools import combinations

import numpy as np
import pytest
from scipy.stats import spearmanr, t

from dataset_builders.core.errors import DataError, ShapeError, UsageError
from dataset_builders.tasks.drawn import ClusterKind, Drawn
from harness.scoring.clusters import Clusters, clusters_of
from harness.scoring.influences import (
    Effect,
    MoleculeSums,
    combined,
    mean_effect,
    quotient,
    ratio_effect,
    sum_by_molecule,
    weighted_effect,
)
from harness.scoring.intervals import (
    Interval,
    IntervalSettings,
    compare_models,
    interval_of,
    quotient_interval,
    ratio_interval,
    spearman_interval,
)
from harness.scoring.metric_terms import Ratio, centre_energies, force_mae_terms, force_rmse_terms
from harness.scoring.metrics import centred_energy_spearman, task_score
from harness.scoring.score_interval import score_interval


def clusters(*names: str | Sequence[str], part: str = "test_ood", kind: ClusterKind = "fragment") -> Clusters:
    """One entry a molecule: the name of its fragment, or those of both."""
    return Clusters(part, kind, tuple((each,) if isinstance(each, str) else tuple(each) for each in names))


def sums_of(numerator: Sequence[float], weight: Sequence[float]) -> MoleculeSums:
    return MoleculeSums(np.array(numerator, dtype=float), np.array(weight, dtype=float), "no data")


def defined(effect: Effect | None) -> Effect:
    assert effect is not None
    return effect


def ends(interval: Interval) -> tuple[float, float]:
    assert interval.low is not None, interval.reason
    assert interval.high is not None
    return interval.low, interval.high


def jackknifed(statistic: Callable[[list[str]], float], names: Sequence[str], value: float) -> tuple[float, float]:
    """Interval by leaving out one cluster at a time, on the log scale: near the linearised one."""
    without = np.log([statistic([other for other in names if other != name]) for name in names])
    n = len(names)
    error = math.sqrt((n - 1) / n * np.sum((without - without.mean()) ** 2))
    reach = t.ppf(0.975, n - 1) * error
    return value * math.exp(-reach), value * math.exp(reach)


def test_an_interval_by_hand() -> None:
    # Fragments A, B, C with two molecules each; the mean is 12 / 6 = 2.
    sums = sums_of([1.0, 1.0, 1.5, 2.5, 2.0, 4.0], [1.0] * 6)
    found = ratio_interval(sums, clusters("A", "A", "B", "B", "C", "C"))
    # Influences on the log: (2 - 4, 4 - 4, 6 - 4) / 12; variance 3 / 2 (1/36 + 1/36) = 1 / 12; t of 2 degrees 4.3027.
    reach = 4.30265273 / math.sqrt(12.0)
    assert found.value == 2.0
    assert ends(found) == pytest.approx((2.0 * math.exp(-reach), 2.0 * math.exp(reach)), rel=1e-9)
    assert found.n_clusters == 3


def test_it_is_the_sandwich_of_a_regression() -> None:
    # The mean of y weighted by w is the coefficient of a weighted regression on a constant; its cluster-robust
    # variance (bread, meat, bread; small-sample factor G / (G - 1)) is written out here.
    rng = np.random.default_rng(0)
    group = np.repeat(np.arange(7), 4)
    w, y = rng.uniform(5.0, 40.0, 28), rng.gamma(4.0, 0.25, 28) * rng.gamma(6.0, 0.2, 7)[group]
    x = np.ones((28, 1))
    bread = np.linalg.inv(x.T @ (w[:, None] * x))
    beta = float((bread @ x.T @ (w * y))[0])
    scores = np.array([np.sum((w * (y - beta))[group == g]) for g in range(7)])
    variance = float(bread[0, 0] ** 2 * np.sum(scores**2) * 7 / 6)
    found = ratio_interval(sums_of(w * y, w), clusters(*map(str, group)))
    reach = t.ppf(0.975, 6) * math.sqrt(variance) / beta
    assert found.value == pytest.approx(beta)
    assert ends(found) == pytest.approx((beta * math.exp(-reach), beta * math.exp(reach)), rel=1e-12)


@pytest.mark.parametrize(("terms", "power"), [(force_mae_terms, 1), (force_rmse_terms, 2)])
def test_it_agrees_with_the_jackknife_of_the_frames(terms: Callable[..., Ratio], power: int) -> None:
    rng = np.random.default_rng(3)
    owner = np.repeat(np.arange(20), 6)
    names = [f"F{molecule % 10}" for molecule in range(20)]
    reference, noise = rng.normal(size=(2, 120, 3))
    predicted = reference + noise * rng.uniform(0.5, 1.5, 10)[owner % 10][:, None]

    def statistic(kept: list[str]) -> float:
        rows = np.array([names[molecule] in kept for molecule in owner])
        return float(np.mean(np.abs(predicted[rows] - reference[rows]) ** power) ** (1.0 / power))

    found = ratio_interval(sum_by_molecule(terms(predicted, reference), owner, 20), clusters(*names))
    distinct = sorted(set(names))
    assert found.value == pytest.approx(statistic(distinct))
    assert ends(found) == pytest.approx(jackknifed(statistic, distinct, statistic(distinct)), rel=0.03)


def test_a_gap_draws_a_fragment_in_both_splits() -> None:
    # What is hard in ID is hard in OOD, by the same factor: the gap is the same for every fragment.
    hardness, names = np.array([1.0, 2.0, 4.0, 8.0]), ("A", "B", "C", "D")
    known, unseen = sums_of(hardness, np.ones(4)), sums_of(3.0 * hardness, np.ones(4))
    together = quotient_interval((unseen, clusters(*names)), (known, clusters(*names, part="test_id")))
    assert together.value == pytest.approx(3.0)
    assert together.reason == "no interval: all fragments give the same value"
    apart = quotient_interval((unseen, clusters(*names)), (known, clusters("E", "F", "G", "H", part="test_id")))
    assert ends(apart)[0] < 1.0


def test_a_gap_agrees_with_the_jackknife() -> None:
    rng = np.random.default_rng(5)
    names = [f"F{i}" for i in range(10)]
    known, unseen = rng.gamma(8.0, 0.1, 10), rng.gamma(8.0, 0.3, 10)

    def statistic(kept: list[str]) -> float:
        rows = [names.index(name) for name in kept]
        return float(unseen[rows].mean() / known[rows].mean())

    found = quotient_interval(
        (sums_of(unseen, np.ones(10)), clusters(*names)),
        (sums_of(known, np.ones(10)), clusters(*names, part="test_id")),
    )
    assert ends(found) == pytest.approx(jackknifed(statistic, names, statistic(names)), rel=0.03)


def test_pairs_agree_with_the_jackknife_over_fragments() -> None:
    rng = np.random.default_rng(6)
    names = [f"F{i}" for i in range(12)]
    effect = dict(zip(names, rng.normal(0.0, 0.3, 12), strict=True))
    pairs = list(combinations(names, 2))
    errors = np.array([math.exp(effect[a] + effect[b]) for a, b in pairs])

    def statistic(kept: list[str]) -> float:
        return float(np.mean([error for pair, error in zip(pairs, errors, strict=True) if set(pair) <= {*kept}]))

    found = ratio_interval(sums_of(errors, np.ones(len(pairs))), clusters(*pairs))
    assert found.n_clusters == 12
    assert ends(found) == pytest.approx(jackknifed(statistic, names, statistic(names)), rel=0.05)


def test_pairs_with_nothing_of_their_own_by_hand() -> None:
    # Error of a pair = a + b with a = 1 .. 5: fragment sums less their mean, times (G - 1) / (G - 2), are
    # 4 (a - 3) / (10 x 6) on the log scale: influences of the mean 6 of 10 pairs.
    values = {name: float(place + 1) for place, name in enumerate("ABCDE")}
    pairs = list(combinations(values, 2))
    found = ratio_interval(sums_of([values[a] + values[b] for a, b in pairs], [1.0] * 10), clusters(*pairs))
    variance = 5 / 4 * sum((4.0 * (value - 3.0) / 60.0) ** 2 for value in values.values())
    assert math.log(ends(found)[1] / 6.0) == pytest.approx(t.ppf(0.975, 4) * math.sqrt(variance))


def test_four_fragments_in_pairs_are_too_few() -> None:
    pairs = list(combinations("ABCD", 2))
    found = ratio_interval(sums_of(range(1, 7), [1.0] * 6), clusters(*pairs))
    assert (found.low, found.n_clusters) == (None, 4)
    assert found.reason == "no interval: based on 4 fragments; an interval needs at least 5"


def test_what_is_part_of_the_design_is_not_drawn() -> None:
    # Plain chains with an error of their own, far from that of the fragments, add only what they differ by.
    fragments, names = [2.0, 3.0, 4.0], ("A", "B", "C")
    alone = ratio_interval(sums_of([0.1, 0.1, *fragments], [1.0] * 5), clusters((), (), *names))
    reach = t.ppf(0.975, 2) * math.sqrt(3 / 2 * 2.0) / 9.2
    assert ends(alone) == pytest.approx((1.84 * math.exp(-reach), 1.84 * math.exp(reach)))
    varied = ratio_interval(sums_of([0.0, 0.2, *fragments], [1.0] * 5), clusters((), (), *names))
    assert ends(varied)[1] > ends(alone)[1]
    design = ratio_interval(sums_of([1.0, 2.0], [1.0] * 2), clusters((), ()))
    assert design.reason == "no interval: its molecules are fixed by the task, not sampled"


def test_the_mean_of_several_seeds_is_one_number() -> None:
    rng = np.random.default_rng(7)
    own, weight = clusters("A", "A", "B", "B", "C", "D"), np.full(6, 2.0)
    seeds = [sums_of(rng.gamma(4.0, 0.5, 6), weight) for _ in range(3)]
    averaged = sums_of(np.mean([each.numerator for each in seeds], axis=0), weight)
    found = interval_of(mean_effect([defined(ratio_effect(each, own)) for each in seeds]))
    assert ends(found) == pytest.approx(ends(ratio_interval(averaged, own)))


def test_a_score_by_the_delta_method() -> None:
    own = clusters(*"ABCDEF")
    error, scale = (
        defined(ratio_effect(sums_of(values, [1.0] * 6), own))
        for values in ([0.02, 0.03, 0.04, 0.05, 0.03, 0.03], [0.5, 0.6, 0.7, 0.6, 0.5, 0.7])
    )
    found = score_interval(error, scale)
    # The influence of a fragment on the score, by a small change of its weight.
    changed = []
    for place in range(6):
        weights = np.ones(6)
        weights[place] += 1e-6
        f, f0 = (
            float(np.average(values, weights=weights))
            for values in ([0.02, 0.03, 0.04, 0.05, 0.03, 0.03], [0.5, 0.6, 0.7, 0.6, 0.5, 0.7])
        )
        changed.append((task_score(f, f0) - task_score(error.value, scale.value)) / 1e-6)
    reach = t.ppf(0.975, 5) * math.sqrt(6 / 5 * np.sum(np.square(changed)))
    value = task_score(error.value, scale.value)
    assert found.value == pytest.approx(value)
    assert ends(found) == pytest.approx((value - reach, value + reach), rel=1e-4)


def test_a_score_is_cut_off_with_its_interval() -> None:
    own = clusters(*"ABCD")
    scale = defined(ratio_effect(sums_of([0.5, 0.6, 0.6, 0.5], [1.0] * 4), own))
    perfect = defined(ratio_effect(sums_of([1e-6, 2e-6, 2e-6, 1e-6], [1.0] * 4), own))
    assert ends(score_interval(perfect, scale)) == (100.0, 100.0)
    guess = defined(ratio_effect(sums_of([0.6, 0.7, 0.5, 0.6], [1.0] * 4), own))
    assert score_interval(guess, scale).value == 0.0
    assert ends(score_interval(guess, scale))[0] == 0.0
    exact = defined(ratio_effect(sums_of([0.0] * 4, [1.0] * 4), own))
    assert score_interval(exact, scale).reason == "no interval: every error is zero"


def test_spearman_agrees_with_the_jackknife() -> None:
    rng = np.random.default_rng(4)
    owner = np.repeat(np.arange(12), 20)
    reference = rng.normal(size=240)
    predicted = reference + rng.normal(size=240) * rng.uniform(0.3, 1.0, 12)[owner]
    centred = centre_energies(predicted, reference, owner)
    names = [f"F{i}" for i in range(12)]
    found = spearman_interval(centred, owner, clusters(*names))

    def statistic(kept: list[str]) -> float:
        rows = np.isin(owner, [names.index(name) for name in kept])
        return float(spearmanr(centred.predicted[rows], centred.reference[rows]).statistic)

    assert found.value == pytest.approx(centred_energy_spearman(predicted, reference, owner))
    without = np.arctanh([statistic([other for other in names if other != name]) for name in names])
    error = math.sqrt(11 / 12 * np.sum((without - without.mean()) ** 2))
    centre = math.atanh(statistic(names))
    reach = t.ppf(0.975, 11) * error
    assert ends(found) == pytest.approx((math.tanh(centre - reach), math.tanh(centre + reach)), abs=0.01)


def test_spearman_of_moments_is_that_of_the_frames(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(5)
    owner = rng.integers(0, 6, 60)
    reference = rng.integers(0, 9, 60).astype(float)  # with ties
    centred = centre_energies(reference + rng.integers(0, 4, 60), reference, owner)
    of_moments = spearman_interval(centred, owner, clusters(*"ABCDEF"))
    monkeypatch.setattr("harness.scoring.intervals._MOMENTS_OF_MOLECULES", 0)
    at_once = spearman_interval(centred, owner, clusters(*"ABCDEF"))
    assert ends(at_once) == pytest.approx(ends(of_moments), abs=1e-9)
    monkeypatch.setattr("harness.scoring.intervals._CELLS_AT_ONCE", 60)
    assert ends(spearman_interval(centred, owner, clusters(*"ABCDEF"))) == pytest.approx(ends(at_once), abs=1e-9)


def test_a_perfect_order_has_no_interval() -> None:
    energies = np.array([1.0, 2.0, 1.0, 3.0, 1.0, 4.0])
    owner = np.array([0, 0, 1, 1, 2, 2])
    found = spearman_interval(centre_energies(energies, energies, owner), owner, clusters(*"ABC"))
    assert (found.value, found.low) == (1.0, None)
    assert "at the end of its range" in (found.reason or "")


def test_spearman_is_fast() -> None:
    rng = np.random.default_rng(6)
    owner = np.repeat(np.arange(40), 10)
    centred = centre_energies(rng.normal(size=400), rng.normal(size=400), owner)
    begin = time.process_time()
    spearman_interval(centred, owner, clusters(*map(str, owner[::10])))
    assert time.process_time() - begin < 2.0


@pytest.mark.parametrize(
    ("n", "reason"),
    [
        (1, "no interval: based on 1 fragment; an interval needs at least 3"),
        (2, "no interval: based on 2 fragments; an interval needs at least 3"),
    ],
)
def test_few_fragments_have_no_interval(n: int, reason: str) -> None:
    found = ratio_interval(sums_of([2.0, 3.0], [4.0, 4.0]), clusters(*("AB" if n == 2 else "AA")))
    assert (found.value, found.low, found.reason, found.n_clusters) == (0.625, None, reason, n)


def test_molecules_are_named_where_they_are_drawn() -> None:
    found = ratio_interval(sums_of([2.0, 3.0], [4.0, 4.0]), clusters("A", "B", kind="molecule"))
    assert found.reason == "no interval: based on 2 molecules; an interval needs at least 3"


def test_no_molecule_has_no_value() -> None:
    found = ratio_interval(sums_of([], []), clusters())
    assert (found.value, found.reason) == (None, "no data")


def test_a_perfect_model_has_no_interval() -> None:
    found = ratio_interval(sums_of([0.0] * 3, [1.0] * 3), clusters(*"ABC"))
    assert (found.value, found.low) == (0.0, None)
    assert found.reason == "no interval: the value, 0, is at the end of its range"


def test_equal_errors_have_no_interval() -> None:
    # Their spread is zero in these molecules, which says nothing of others.
    found = ratio_interval(sums_of([0.3, 0.6, 0.9], [1.0, 2.0, 3.0]), clusters(*"ABC"))
    assert (found.value, found.low) == (pytest.approx(0.3), None)
    assert found.reason == "no interval: all fragments give the same value"


def test_a_number_that_is_not_finite_is_refused() -> None:
    with pytest.raises(DataError, match="is nan with variance nan; expected finite errors"):
        ratio_interval(sums_of([1.0, math.nan, 2.0], [1.0] * 3), clusters(*"ABC"))


def test_gap_over_nothing_is_undefined() -> None:
    own = clusters(*"AB")
    some, zero, empty = sums_of([1.0, 1.0], [1.0, 1.0]), sums_of([0.0, 0.0], [1.0, 1.0]), sums_of([], [])
    found = quotient_interval((some, own), (zero, own))
    assert (found.value, found.reason) == (None, "the error to divide by is zero")
    assert quotient_interval((empty, clusters()), (some, own)).reason == "no data"
    assert quotient_interval((some, own), (empty, clusters())).reason == "no data"


def test_a_gap_has_the_degrees_of_freedom_of_the_side_with_fewer_fragments() -> None:
    many, few = sums_of(range(1, 9), [1.0] * 8), sums_of([1.0, 2.0, 4.0], [1.0] * 3)
    found = quotient_interval((few, clusters(*"ABC")), (many, clusters(*"ABCDEFGH", part="test_id")))
    assert found.n_clusters == 3


def test_paired_comparison_cancels_what_is_hard_for_both() -> None:
    rng = np.random.default_rng(9)
    hardness, weight = rng.uniform(0.1, 10.0, 20), np.full(20, 30.0)
    own = clusters(*[f"F{i % 10}" for i in range(20)])
    first, second = (
        MoleculeSums(factor * hardness * weight, weight, "")
        for factor in (0.9 + rng.normal(0.0, 0.01, 20), np.ones(20))
    )
    found = compare_models(first, second, own)
    assert ends(found.difference)[1] < 0.0
    assert 0.88 < ends(found.ratio)[0] < 0.9 < ends(found.ratio)[1] < 0.92
    assert ends(ratio_interval(first, own))[1] / ends(ratio_interval(first, own))[0] > 1.3


def test_a_smooth_statistic_of_two_parts_has_the_influences_of_their_quotient() -> None:
    above, below = sums_of([1.0, 2.0, 4.0], [1.0, 2.0, 3.0]), sums_of([2.0, 5.0], [1.0, 2.0])
    parts = clusters(*"ABC"), clusters(*"AB", part="test_id")
    first, second = above.numerator, below.numerator

    def statistic(weights: np.ndarray) -> np.ndarray:
        of_first, of_second = weights[:, :3], weights[:, 3:]
        means = [of_first @ first / (of_first @ above.weight), of_second @ second / (of_second @ below.weight)]
        return means[0] / means[1]

    effects = [defined(ratio_effect(each, own)) for each, own in zip((above, below), parts, strict=True)]
    expected = defined(quotient(*effects))
    found = weighted_effect(statistic, *parts)
    assert found.value == pytest.approx(expected.value, rel=1e-12)
    assert found.influences.keys() == expected.influences.keys() == {"test_ood", "test_id"}
    for name, (influence, own) in expected.influences.items():
        assert found.influences[name][0] == pytest.approx(influence, rel=1e-6)
        assert found.influences[name][1].names == own.names


def test_a_number_without_an_interval_keeps_its_value_and_its_clusters() -> None:
    design = interval_of(Effect(1.5, {"test_ood": (np.array([0.1, -0.1]), clusters((), ()))}))
    assert (design.value, design.low, design.n_clusters) == (1.5, None, 0)
    assert design.reason == "no interval: its molecules are fixed by the task, not sampled"
    alike = interval_of(Effect(1.5, {"test_ood": (np.zeros(4), clusters(*"ABCD"))}))
    assert (alike.value, alike.low, alike.n_clusters) == (1.5, None, 4)
    end = interval_of(Effect(0.0, {"test_ood": (np.array([1.0, -1.0, 0.5, -0.5]), clusters(*"ABCD"))}), "log")
    assert (end.value, end.low, end.n_clusters) == (0.0, None, 4)


def test_the_influences_of_a_root_are_its_derivatives() -> None:
    sums = MoleculeSums(np.array([1.0, 2.0, 8.0]), np.array([1.0, 2.0, 3.0]), "", is_root=True)
    own = clusters(*"ABC")
    found = defined(ratio_effect(sums, own))
    numeric = weighted_effect(lambda w: np.sqrt((w @ sums.numerator) / (w @ sums.weight)), own)
    assert found.value == pytest.approx(math.sqrt(11.0 / 6.0))
    assert found.influences["test_ood"][0] == pytest.approx(numeric.influences["test_ood"][0], rel=1e-6)


def test_another_confidence_widens_every_interval_by_its_quantile() -> None:
    rng = np.random.default_rng(10)
    own, weight = clusters(*"ABCDEFGH"), np.full(8, 30.0)
    first, second = (MoleculeSums(rng.uniform(1.0, 2.0, 8) * weight, weight, "") for _ in range(2))
    owner = np.repeat(np.arange(8), 20)
    reference = rng.normal(size=160)
    centred = centre_energies(reference + 0.5 * rng.normal(size=160), reference, owner)
    half = IntervalSettings(0.5)
    usual, narrow = compare_models(first, second, own), compare_models(first, second, own, half)
    quotient = t.ppf(0.75, 7) / t.ppf(0.975, 7)
    for wide, small, scale in (
        (usual.difference, narrow.difference, float),
        (usual.ratio, narrow.ratio, math.log),
        (spearman_interval(centred, owner, own), spearman_interval(centred, owner, own, half), math.atanh),
    ):
        lengths = [scale(high) - scale(low) for low, high in (ends(wide), ends(small))]
        assert lengths[1] / lengths[0] == pytest.approx(quotient, rel=1e-9)


def test_comparison_needs_the_same_frames() -> None:
    with pytest.raises(DataError, match="not evaluated on the same frames"):
        compare_models(sums_of([1.0, 1.0], [3.0, 3.0]), sums_of([1.0, 1.0], [3.0, 6.0]), clusters(*"AB"))


@pytest.mark.parametrize(
    ("scale", "value", "low", "high"),
    [("complement", 0.99, -1.0, 1.0), ("logit", 0.01, 0.0, 1.0), ("fisher", 0.99, -1.0, 1.0), ("log", 0.01, 0.0, 99.0)],
)
def test_an_interval_stays_on_its_scale(scale: str, value: float, low: float, high: float) -> None:
    effect = Effect(value, {"test_ood": (np.array([-0.01, 0.0, 0.01]), clusters(*"ABC"))})
    found = ends(interval_of(effect, scale))  # type: ignore[arg-type]
    assert low <= found[0] < value < found[1] <= high


def test_confidence_sets_the_width() -> None:
    sums, own = sums_of([1.0, 2.0, 3.0], [1.0] * 3), clusters(*"ABC")
    found = math.log(ends(ratio_interval(sums, own, "log", IntervalSettings(0.5)))[1] / 2.0)
    assert found / math.log(ends(ratio_interval(sums, own))[1] / 2.0) == pytest.approx(t.ppf(0.75, 2) / t.ppf(0.975, 2))


def test_parts_of_one_name_are_of_the_same_molecules() -> None:
    first, second = (
        defined(ratio_effect(sums_of(range(1, n), [1.0] * (n - 1)), clusters(*"ABCD"[: n - 1]))) for n in (4, 5)
    )
    with pytest.raises(ShapeError, match="influences of test_ood"):
        quotient(first, second)
    assert combined(2.0, (first, 1.0), (first, -1.0)).influences["test_ood"][0].tolist() == [0.0, 0.0, 0.0]


def test_terms_and_molecules_must_match() -> None:
    with pytest.raises(ShapeError, match=r"shape \(2,\); expected \(3,\)"):
        sum_by_molecule(Ratio(np.ones(3), np.ones(3), ""), np.array([0, 1]), 2)
    with pytest.raises(ShapeError, match="sums of molecules"):
        ratio_interval(sums_of([1.0], [1.0]), clusters(*"AB"))


def test_clusters_are_what_is_drawn_of_each_molecule() -> None:
    drawn = Drawn("fragment", {"OH-2-H": ("OH",)})
    own = clusters_of("test_id", ["OH-2-H", "SH-2-H", "Cl-2-SH", "H-2-H", "water"], drawn)
    # Undeclared molecules are drawn by their ends; a plain chain is part of the design.
    assert own.names == (("OH",), ("SH",), ("Cl", "SH"), (), ("water",))
    assert own.members("SH").tolist() == [1, 2]
    assert clusters_of("test_id", ["OH-2-H", "x"], Drawn("molecule", {})).names == (("OH-2-H",), ("x",))


@pytest.mark.parametrize("confidence", [0.0, 1.0, -0.5])
def test_impossible_settings_are_refused(confidence: float) -> None:
    with pytest.raises(UsageError, match="expected a number between 0 and 1"):
        IntervalSettings(confidence)
