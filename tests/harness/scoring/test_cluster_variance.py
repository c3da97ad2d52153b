"""The variance between draws of fragments, against numbers worked out by hand and normal equations."""

from itertools import combinations

import numpy as np
import pytest

from harness.scoring.cluster_variance import cluster_variance, clusters_needed
from harness.scoring.clusters import Clusters
from harness.scoring.influences import Effect

FIVE = ("a", "b", "c", "d", "e")
PAIRS = tuple(combinations(FIVE, 2))


def effect(**parts: tuple[list[float] | np.ndarray, tuple[tuple[str, ...], ...]]) -> Effect:
    influences = {
        name: (np.asarray(influence, dtype=np.float64), Clusters(name, "fragment", names))
        for name, (influence, names) in parts.items()
    }
    return Effect(1.0, influences)


def spread(terms: np.ndarray) -> float:
    return float(len(terms) / (len(terms) - 1) * ((terms - terms.mean()) ** 2).sum())


def test_sums_of_fragments_by_hand() -> None:
    found = cluster_variance(effect(test_ood=([1.0, 2.0, 4.0, -7.0], (("a",), ("a",), ("b",), ("c",)))))
    assert found == (pytest.approx(1.5 * (3.0**2 + 4.0**2 + 7.0**2)), 3)


def test_parts_are_summed_by_fragment_before_they_are_squared() -> None:
    singles = (("a",), ("b",), ("c",))
    found = cluster_variance(effect(test_ood=([3.0, 1.0, -4.0], singles), test_id=([-3.0, -1.0, 4.0], singles)))
    assert found == (pytest.approx(0.0, abs=1e-12), 3)


def test_molecules_of_the_design_vary_apart_in_each_part() -> None:
    names = (("a",), ("b",), ("c",), (), ())
    one, other = [1.0, 0.0, -1.0, 1.0, 3.0], [0.0, 0.0, 0.0, 2.0, -4.0]
    found, n_clusters = cluster_variance(effect(test_id=(one, names), test_ood=(other, names)))
    assert found == pytest.approx(1.5 * 2.0 + 2.0 * (1.0 + 1.0) + 2.0 * (9.0 + 9.0))
    assert n_clusters == 3


def test_the_part_with_fewest_fragments_counts() -> None:
    found = cluster_variance(effect(test_id=([1.0, 2.0], (("a",), ("b",))), test_ood=([1.0], ((),))))
    assert found[1] == 2
    assert cluster_variance(effect(test_ood=([1.0, 2.0], ((), ()))))[1] == 0


@pytest.mark.parametrize("scale", [0.1, 1.0])
def test_pairs_of_fragments_follow_their_normal_equations(scale: float) -> None:
    rng = np.random.default_rng(0)
    of_fragment = dict(zip(FIVE, rng.normal(size=5), strict=True))
    influence = np.array([of_fragment[left] + of_fragment[right] for left, right in PAIRS])
    influence += scale * rng.normal(size=len(PAIRS))
    design = np.array([[name in pair for name in FIVE] for pair in PAIRS], dtype=np.float64)
    fitted = np.linalg.solve(design.T @ design, design.T @ influence)
    # Ten pairs, five fragments: a sum of ten terms with the variance of the residuals.
    own = 10.0 * float(((influence - design @ fitted) ** 2).sum()) / (10 - 5)
    sums = (5 - 1) / (5 - 2) * (design.T @ influence)
    expected = spread(sums) - 0.5 * own * 5 / (5 - 2)
    assert expected > own
    assert cluster_variance(effect(test_ood=(influence, PAIRS))) == (pytest.approx(expected, rel=1e-12), 5)


def test_effects_of_pairs_alone_are_the_least_variance() -> None:
    # Two pairs of each fragment are above and two below their mean, so its sum shows nothing.
    ring = {("a", "b"), ("b", "c"), ("c", "d"), ("d", "e"), ("a", "e")}
    influence = np.array([1.0 if pair in ring else -1.0 for pair in PAIRS])
    assert cluster_variance(effect(test_ood=(influence, PAIRS))) == (pytest.approx(10.0 * 10.0 / 5), 5)
    both = cluster_variance(effect(test_id=(influence, PAIRS), test_ood=(2.0 * influence, PAIRS)))
    assert both[0] == pytest.approx(20.0 + 4.0 * 20.0)


def test_molecules_of_one_pair_count_together() -> None:
    influence = np.arange(10.0) - 4.5
    whole = cluster_variance(effect(test_ood=(influence, PAIRS)))
    halves = cluster_variance(effect(test_ood=(np.concatenate([influence, influence]) / 2.0, PAIRS + PAIRS)))
    assert halves == (pytest.approx(whole[0], rel=1e-12), 5)


def test_pairs_beside_single_fragments_are_scaled_and_added() -> None:
    rng = np.random.default_rng(1)
    of_pairs, of_singles = rng.normal(size=10), 10.0 * rng.normal(size=5)
    design = np.array([[name in pair for name in FIVE] for pair in PAIRS], dtype=np.float64)
    residual = of_pairs - design @ np.linalg.solve(design.T @ design, design.T @ of_pairs)
    own = 10.0 * float((residual**2).sum()) / 5
    sums = of_singles + 4.0 / 3.0 * (design.T @ of_pairs)
    singles = tuple((name,) for name in FIVE)
    found, _ = cluster_variance(effect(test_id=(of_singles, singles), test_ood=(of_pairs, PAIRS)))
    assert found == pytest.approx(spread(sums) - 0.5 * own * 5 / 3, rel=1e-12)


def test_single_fragments_and_pairs_in_one_part() -> None:
    rng = np.random.default_rng(2)
    of_pairs, of_singles = rng.normal(size=10), 10.0 * rng.normal(size=5)
    singles = tuple((name,) for name in FIVE)
    apart = cluster_variance(effect(test_id=(of_singles, singles), test_ood=(of_pairs, PAIRS)))
    together = cluster_variance(effect(test_ood=(np.concatenate([of_singles, of_pairs]), singles + PAIRS)))
    assert together == (pytest.approx(apart[0], rel=1e-12), 5)


def test_pairs_that_their_fragments_explain_leave_no_residual() -> None:
    # Three fragments and three pairs: the fit is exact and has no degree of freedom left.
    influence = np.array([1.0, 2.0, -3.0])
    names = (("a", "b"), ("a", "c"), ("b", "c"))
    found, n_clusters = cluster_variance(effect(test_ood=(influence, names)))
    assert found == pytest.approx(spread(2.0 * np.array([3.0, -2.0, -1.0])))
    assert n_clusters == 3


def test_influences_and_clusters_of_different_length_are_refused() -> None:
    with pytest.raises(ValueError, match="shorter"):
        cluster_variance(effect(test_ood=([1.0, 2.0, 3.0], (("a",), ("b",)))))


def test_pairs_need_more_fragments_than_single_ones() -> None:
    assert clusters_needed(effect(test_ood=([1.0], (("a", "b"),)))) == 5
    assert clusters_needed(effect(test_ood=([1.0], (("a",),)))) == 3
