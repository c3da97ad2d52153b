"""The factors of a generalisation gap: composition, conformers, unseen parts and combination.

Sequential standardisation (Kitagawa, J. Am. Stat. Assoc. 50, 1168, 1955): the ID error is changed step by step into the
OOD error, and a factor is the ratio of two steps, so the factors multiply to the gap. docs/anatomy.md has the formulas.
All numbers here are logarithms with the influence of every molecule, by the delta method.
"""

import math
from dataclasses import dataclass
from typing import Final

import numpy as np

from dataset_builders.core.arrays import IntArray
from harness.scoring.cluster_variance import MIN_CLUSTERS
from harness.scoring.clusters import Clusters
from harness.scoring.composition import EnvironmentErrors, expectation
from harness.scoring.condition_sums import SEEN, UNSEEN
from harness.scoring.influences import Effect, MoleculeSums, difference, logarithm, ratio_effect
from harness.scoring.metric_terms import BoolArray, Float64Array

NO_SEEN: Final = "no ID frame has a rotamer that train shows of its molecule"
NO_UNSEEN: Final = "every ID frame has a rotamer that train shows of its molecule"
NOT_BOTH: Final = "no molecule with a drawn fragment has ID frames of both seen and unseen rotamers"
NO_ERROR_OF_ROTAMERS: Final = "the errors of seen or of unseen rotamers are zero"
NO_SHOWN: Final = (
    "every OOD molecule has a torsion type or a pair of heavy elements that no training molecule has, so unseen parts "
    "and combination cannot be separated"
)
NO_ERROR_OF_SHOWN: Final = "the errors of the OOD molecules whose parts all occur in training are zero"


@dataclass(frozen=True, slots=True, eq=False)
class IdErrors:
    """Errors of the training molecules in `test_id`.

    Attributes:
        atoms: Atoms in all frames, by environment, shape (n_id, n_environments).
        unseen: Errors of these atoms in frames of unseen rotamers, same shape.
        seen: The same for seen rotamers.
        n_frames: Frames of unseen and of seen rotamers, shape (n_id, 2).
        clusters: Clusters of the molecules.
    """

    atoms: Float64Array
    unseen: Float64Array
    seen: Float64Array
    n_frames: IntArray
    clusters: Clusters

    @property
    def has_both(self) -> BoolArray:
        """Which molecules have frames of both seen and unseen rotamers, shape (n_id,)."""
        return np.asarray((self.n_frames > 0).all(axis=1))


@dataclass(frozen=True, slots=True, eq=False)
class OodErrors:
    """Errors of the OOD molecules.

    Attributes:
        atoms: Atoms in all frames, by environment, shape (n_ood, n_environments).
        error: Error summed over all atoms, shape (n_ood,).
        is_shown: Whether all torsion types and pairs of heavy elements occur in training molecules, shape (n_ood,).
        clusters: Clusters of the molecules.
    """

    atoms: Float64Array
    error: Float64Array
    is_shown: BoolArray
    clusters: Clusters


@dataclass(frozen=True, slots=True, eq=False)
class LogFactors:
    """Logarithms of the factors; `str` where the data do not determine one, with the reason.

    Attributes:
        composition: Of which atoms the OOD molecules consist.
        conformers: Rotamers that training does not show.
        remaining: The rest; its parts are the next two.
        unseen_parts: Torsion types and pairs of heavy elements that training does not show; `None` if there are none.
        combination: The excess of the molecules without such parts.
        rotamer_ratio: Error of unseen over seen rotamers, within molecules.
    """

    composition: Effect
    conformers: Effect | str
    remaining: Effect
    unseen_parts: Effect | str | None
    combination: Effect | str
    rotamer_ratio: Effect | str


def log_factors(known: IdErrors, ood: OodErrors, no_rotamers: str | None = None) -> LogFactors | None:
    """Divides the logarithm of a gap.

    Args:
        known: The ID errors; every environment occurs.
        ood: The OOD errors.
        no_rotamers: Why rotamers cannot be compared; `None` if they can.

    Returns:
        The factors; `None` if the measured or the expected errors are zero.
    """
    total = known.unseen + known.seen
    everyone = np.ones(len(ood.error), dtype=np.bool_)
    mean = ratio_effect(MoleculeSums(total.sum(axis=1), known.atoms.sum(axis=1), "no atoms"), known.clusters)
    plain = _Expected(known, total)
    expected = plain.log_sum(ood, everyone)
    if mean is None or mean.value == 0.0 or expected is None or ood.error.sum() == 0.0:
        return None
    atoms = ood.atoms.sum(axis=1)
    composition = difference(difference(expected, _log_total(atoms, everyone, ood.clusters)), logarithm(mean))
    ratio = no_rotamers or _rotamer_ratio(known)
    if isinstance(ratio, str):
        return _with_parts(composition, ratio, ratio, _Excess(plain, ood))
    without_train = _Expected(known, ratio.value * known.seen + known.unseen, ratio)
    of_both = known.clusters.select(np.flatnonzero(known.has_both))
    excess = _Excess(without_train, ood, of_both)
    changed = without_train.log_sum(ood, everyone)
    assert changed is not None  # the plain expectation is above zero, and the ratio too
    conformers = _limited(difference(changed, expected), of_both)
    return _with_parts(composition, conformers, _limited(logarithm(ratio), of_both), excess)


def _with_parts(
    composition: Effect, conformers: Effect | str, ratio: Effect | str, excess: "_Excess"
) -> LogFactors | None:
    shown = excess.ood.is_shown
    remaining = excess.of(np.ones_like(shown))
    if remaining is None:
        return None
    unseen_parts: Effect | str | None
    combination: Effect | str
    if shown.all():
        unseen_parts, combination = None, remaining
    elif not shown.any():
        unseen_parts = combination = NO_SHOWN
    else:
        found = excess.of(shown)
        if found is None:
            unseen_parts = combination = NO_ERROR_OF_SHOWN
        else:
            clusters = excess.ood.clusters
            parts = (clusters.select(np.flatnonzero(shown)), clusters.select(np.flatnonzero(~shown)))
            unseen_parts = _limited_if_few(difference(remaining, found), *parts)
            combination = _restricted(found, shown)
    return LogFactors(composition, conformers, remaining, unseen_parts, combination, ratio)


def _rotamer_ratio(known: IdErrors) -> Effect | str:
    """Error of unseen over seen rotamers, compared within molecules (Mantel and Haenszel, JNCI 22, 719, 1959).

    Within a molecule all frames have the same atoms. Between molecules they do not, and longer ones have more unseen
    rotamers, so a comparison of all frames would take the length of the chain for an effect of the rotamer.
    """
    n_unseen, n_seen = known.n_frames[:, UNSEEN], known.n_frames[:, SEEN]
    if not n_unseen.sum():
        return NO_UNSEEN
    if not n_seen.sum():
        return NO_SEEN
    if not known.clusters.select(np.flatnonzero(known.has_both)).distinct:
        return NOT_BOTH
    n_both = (n_unseen + n_seen).astype(np.float64)
    above, below = known.unseen.sum(axis=1) * n_seen / n_both, known.seen.sum(axis=1) * n_unseen / n_both
    found = ratio_effect(MoleculeSums(above, below, NO_ERROR_OF_ROTAMERS), known.clusters)
    return NO_ERROR_OF_ROTAMERS if found is None or found.value == 0.0 else found


class _Expected:
    """The OOD error to expect from ID errors of environments.

    Args:
        known: The ID molecules.
        errors: Their errors by environment, shape (n_id, n_environments), possibly with those of seen rotamers changed.
        ratio: The factor of that change; `None` without one.
    """

    def __init__(self, known: IdErrors, errors: Float64Array, ratio: Effect | None = None) -> None:
        self._known, self._errors, self._ratio = known, errors, ratio

    def log_sum(self, ood: OodErrors, chosen: BoolArray) -> Effect | None:
        """Logarithm of the expected error of chosen OOD molecules, summed over atoms; `None` if it is zero."""
        atoms = np.where(chosen[:, None], ood.atoms, 0.0)
        clusters = self._known.clusters
        found = expectation(EnvironmentErrors(self._known.atoms, self._errors), atoms, clusters.is_fixed)
        whole = float(found.total.sum())
        if found.id_influence is None:
            return None
        influence = found.id_influence
        if self._ratio is not None:
            of_seen = EnvironmentErrors(self._known.atoms, self._ratio.value * self._known.seen)
            share = float(expectation(of_seen, atoms, clusters.is_fixed).total.sum()) / whole
            influence = influence + share * logarithm(self._ratio).influences[clusters.part][0]
        return Effect(
            math.log(whole),
            {clusters.part: (influence, clusters), ood.clusters.part: (found.total / whole, ood.clusters)},
        )


@dataclass(frozen=True, slots=True, eq=False)
class _Excess:
    """The excess over an expectation.

    Attributes:
        expected: The expectation.
        ood: The OOD molecules.
        of_both: Clusters of the molecules that determine the effect of rotamers; `None` without it.
    """

    expected: _Expected
    ood: OodErrors
    of_both: Clusters | None = None

    def of(self, chosen: BoolArray) -> Effect | None:
        """Logarithm of measured over expected error of chosen OOD molecules; `None` if either is zero."""
        expected = self.expected.log_sum(self.ood, chosen)
        if expected is None or self.ood.error[chosen].sum() == 0.0:
            return None
        found = difference(_log_total(self.ood.error, chosen, self.ood.clusters), expected)
        return found if self.of_both is None else _limited_if_few(found, self.of_both)


def _log_total(values: Float64Array, chosen: BoolArray, clusters: Clusters) -> Effect:
    """Logarithm of the sum of the values of chosen molecules."""
    own = np.where(chosen, values, 0.0)
    total = float(own.sum())
    return Effect(math.log(total), {clusters.part: (own / total, clusters)})


def _limited(effect: Effect, *limits: Clusters) -> Effect:
    """The same number, based on no more clusters than each of some groups of molecules has.

    A ratio of few molecules does not become more certain by standing beside the many molecules of a split.
    """
    place = len(effect.influences)
    more = {
        f"{each.part}, group {place + number}": (np.zeros(each.n_molecules), each) for number, each in enumerate(limits)
    }
    return Effect(effect.value, {**effect.influences, **more})


def _limited_if_few(effect: Effect, *limits: Clusters) -> Effect:
    """The same, where only groups with too few clusters for any interval count.

    Such a group gives one part of the variance, and the others have more clusters: with the smallest number for all,
    intervals covered up to 100 %, and with this one 92 to 97 % (`tests.benchmarks.anatomy_coverage`).
    """
    return _limited(effect, *(each for each in limits if len(each.distinct) < MIN_CLUSTERS))


def _restricted(effect: Effect, shown: BoolArray) -> Effect:
    """The same number without the OOD molecules that have no influence on it."""
    places = np.flatnonzero(shown)
    influences = {
        part: (own[places], clusters.select(places))
        if len(own) == len(shown) and part == "test_ood"
        else (own, clusters)
        for part, (own, clusters) in effect.influences.items()
    }
    return Effect(effect.value, influences)
