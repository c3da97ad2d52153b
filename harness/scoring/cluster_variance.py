"""How much a number varies when other fragments are drawn: a cluster-robust variance, also for pairs of fragments.

The influences of the molecules of a fragment are added up, over all splits that the number is made of, and the spread
of these sums between fragments gives the variance (Cameron and Miller, J. Hum. Resour. 50, 317, 2015). A molecule with
two drawn fragments counts in both, which is the jackknife of a U-statistic of degree two (Arvesen, Ann. Math. Stat. 40,
2076, 1969). The dyadic-robust variance (Aronow, Samii and Assenova, Polit. Anal. 23, 564, 2015) has the same
expectation with many fragments; with the six of a task its intervals covered 61 to 91 %.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np

from harness.scoring.clusters import Clusters
from harness.scoring.influences import Effect
from harness.scoring.metric_terms import Float64Array

MIN_CLUSTERS: Final = 3
"""Fewest clusters that an interval is given for."""

MIN_CLUSTERS_OF_PAIRS: Final = 5
"""The same where molecules are pairs of drawn fragments: with fewer, the interval of a gap covers more than it says."""


def cluster_variance(effect: Effect) -> tuple[float, int]:
    """Variance of a number between draws, and how many clusters it stands on: those of the part with the fewest."""
    names = {name for _, clusters in effect.influences.values() for name in clusters.distinct}
    place = {name: position for position, name in enumerate(sorted(names))}
    totals, fixed, of_pairs, least, counts = np.zeros(len(place)), 0.0, 0.0, 0.0, []
    for influence, clusters in effect.influences.values():
        pairs = _pairs_of(influence, clusters)
        for own, of_molecule in zip(influence, clusters.names, strict=True):
            for name in of_molecule:
                totals[place[name]] += own if len(of_molecule) == 1 else pairs.share * own
        # Nothing of the design is drawn, but its molecules have conformers of their own.
        fixed += _spread_of_sum(influence[clusters.is_fixed])
        of_pairs, least = of_pairs + pairs.counted_twice, least + pairs.own
        counts.append(len(clusters.distinct))
    drawn = max(_spread_of_sum(totals) - of_pairs, least)
    return fixed + drawn, min((count for count in counts if count), default=0)


@dataclass(frozen=True, slots=True)
class _Pairs:
    """What the molecules of a part with two drawn fragments, G in all, need beyond those with one.

    Attributes:
        share: Factor to their influences. Each of the other fragments stands in one of the pairs of a fragment, so that
            the sums over pairs are alike: of an effect u of a fragment they show u (G - 2) / (G - 1). The jackknife
            divides likewise.
        own: Variance of the number from what pairs have of their own, beyond both fragments.
        counted_twice: What is taken off since each pair stands in the sums of two fragments: half of what these
            overrate `own` by. All of it would be right on average, but its estimate varies: intervals covered 92 %
            then, 97 to 98 % with nothing taken off, and 94 to 97 % with half.
    """

    share: float = 1.0
    own: float = 0.0
    counted_twice: float = 0.0


def clusters_needed(effect: Effect) -> int:
    """The fewest clusters with which the interval of a number covers what it says."""
    has_pairs = any(len(names) > 1 for _, clusters in effect.influences.values() for names in clusters.names)
    return MIN_CLUSTERS_OF_PAIRS if has_pairs else MIN_CLUSTERS


def _pairs_of(influence: Float64Array, clusters: Clusters) -> _Pairs:
    totals: dict[tuple[str, ...], float] = {}
    for own, names in zip(influence, clusters.names, strict=True):
        if len(names) > 1:
            totals[names] = totals.get(names, 0.0) + float(own)
    fragments = sorted({name for names in totals for name in names})
    n, n_pairs = len(fragments), len(totals)
    if n < MIN_CLUSTERS:
        return _Pairs()
    share = (n - 1.0) / (n - 2.0)
    stands_in = np.array([[name in names for name in fragments] for names in totals], dtype=np.float64)
    values = np.array(list(totals.values()))
    fitted, _, rank, _ = np.linalg.lstsq(stands_in, values)
    free = n_pairs - int(rank)
    if not free:
        return _Pairs(share)
    own = n_pairs * float(np.sum((values - stands_in @ fitted) ** 2)) / free
    return _Pairs(
        share, own, 0.5 * own * n / (n - 2.0)
    )  # own n / (n - 2) is what is overrated in a design of all pairs


def _spread_of_sum(terms: Float64Array) -> float:
    """Variance of the sum of n terms that are drawn independently; none is known of a single one."""
    n = len(terms)
    return 0.0 if n < 2 else float(n / (n - 1) * np.sum((terms - terms.mean()) ** 2))
