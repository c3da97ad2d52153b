"""The factors of a gap: planted factors, exact sums, influences, and what the data leave undetermined."""

import math
from dataclasses import replace

import numpy as np
import pytest

from harness.scoring.anatomy import (
    NO_ERROR_OF_ROTAMERS,
    NO_ERROR_OF_SHOWN,
    NO_SEEN,
    NO_SHOWN,
    NO_UNSEEN,
    NOT_BOTH,
    IdErrors,
    LogFactors,
    OodErrors,
    log_factors,
)
from harness.scoring.clusters import Clusters
from harness.scoring.influences import Effect
from harness.scoring.intervals import interval_of

NAMES = ("A", "B", "C", "D", "E")
BASE = np.array([0.02, 0.05, 0.1])
"""Error of an atom in three environments, eV/Å."""


def clusters(part: str, n: int, *, with_pairs: bool = False) -> Clusters:
    names = tuple((NAMES[i % 5], NAMES[(i + 1 + i // 5) % 5]) if with_pairs else (NAMES[i % 5],) for i in range(n))
    return Clusters(part, "fragment", names)


def planted(
    conformers: float = 1.0, unseen_parts: float = 1.0, combination: float = 1.0, *, with_pairs: bool = False
) -> tuple[IdErrors, OodErrors]:
    """Errors that follow from environments alone, times factors; one molecule has frames of both kinds."""
    rng = np.random.default_rng(0)
    of_frame, ood_of_frame = rng.integers(1, 9, (5, 3)), rng.integers(1, 9, (6, 3))
    n_frames = np.array([[0, 10], [4, 6], [10, 0], [3, 7], [0, 10]])
    unseen, seen = (n_frames[:, [column]] * of_frame * BASE for column in (0, 1))
    known = IdErrors(
        (of_frame * 10).astype(float), conformers * unseen, seen, n_frames, clusters("test_id", 5, with_pairs=False)
    )
    is_shown = np.array([True, True, False, False, False, True])
    error = combination * conformers * (ood_of_frame * 10 * BASE).sum(axis=1) * np.where(is_shown, 1.0, unseen_parts)
    atoms = (ood_of_frame * 10).astype(float)
    return known, OodErrors(atoms, error, is_shown, clusters("test_ood", 6, with_pairs=with_pairs))


def random_errors(seed: int, *, with_fixed: bool = False) -> tuple[IdErrors, OodErrors]:
    rng = np.random.default_rng(seed)
    n_frames = rng.integers(0, 6, (7, 2))
    n_frames[:, 0] += n_frames.sum(axis=1) == 0
    of_frame = rng.integers(0, 5, (7, 3)) + 1
    unseen, seen = (n_frames[:, [column]] * of_frame * rng.gamma(3.0, 0.02, (7, 3)) for column in (0, 1))
    names = clusters("test_id", 7).names
    own = Clusters("test_id", "fragment", (*names[:5], (), ())) if with_fixed else clusters("test_id", 7)
    known = IdErrors((of_frame * n_frames.sum(axis=1, keepdims=True)).astype(float), unseen, seen, n_frames, own)
    atoms = rng.integers(1, 60, (9, 3)).astype(float)
    error = atoms.sum(axis=1) * rng.gamma(3.0, 0.03, 9)
    return known, OodErrors(atoms, error, rng.random(9) < 0.5, clusters("test_ood", 9))


def found(known: IdErrors, ood: OodErrors, no_rotamers: str | None = None) -> LogFactors:
    factors = log_factors(known, ood, no_rotamers)
    assert factors is not None
    return factors


def factor(logarithm: Effect | str | None) -> float:
    assert isinstance(logarithm, Effect), logarithm
    return math.exp(logarithm.value)


def log_gap(known: IdErrors, ood: OodErrors) -> float:
    id_error = (known.seen + known.unseen).sum() / known.atoms.sum()
    return math.log(ood.error.sum() / ood.atoms.sum() / id_error)


def test_composition_alone() -> None:
    known, ood = planted()
    factors = found(known, ood)
    # Every atom has the error of its environment, so the gap is the ratio of two weighted means.
    expected = np.average(BASE, weights=ood.atoms.sum(axis=0)) / np.average(BASE, weights=known.atoms.sum(axis=0))
    assert factor(factors.composition) == pytest.approx(expected)
    others = (factors.conformers, factors.remaining, factors.unseen_parts, factors.combination)
    assert [factor(each) for each in others] == pytest.approx([1.0] * 4)


def test_planted_factors_are_found() -> None:
    known, ood = planted(1.5, 2.0, 1.3)
    factors = found(known, ood)
    assert factor(factors.rotamer_ratio) == pytest.approx(1.5)
    assert factor(factors.combination) == pytest.approx(1.3)
    # Unseen parts double the error of three of six molecules; the factor is that of all of them together.
    plain = (ood.atoms * BASE).sum(axis=1)
    of_all = 1.3 * plain @ np.where(ood.is_shown, 1.0, 2.0) / plain.sum()
    assert factor(factors.remaining) == pytest.approx(of_all)
    assert factor(factors.unseen_parts) == pytest.approx(of_all / 1.3)
    # All frames unseen, over the mixture that test_id holds, at the composition of the OOD molecules.
    mixed = (known.seen + known.unseen).sum(axis=0) / known.atoms.sum(axis=0)
    assert factor(factors.conformers) == pytest.approx(1.5 * plain.sum() / (ood.atoms @ mixed).sum())


@pytest.mark.parametrize("seed", range(20))
def test_the_logarithms_sum_to_that_of_the_gap(seed: int) -> None:
    known, ood = random_errors(seed)
    factors = found(known, ood)
    terms = [factors.composition, factors.conformers, factors.remaining]
    values = [each.value for each in terms if isinstance(each, Effect)]
    assert sum(values) == pytest.approx(log_gap(known, ood), abs=1e-9)
    if isinstance(factors.unseen_parts, Effect) and isinstance(factors.combination, Effect):
        parts = factors.unseen_parts.value + factors.combination.value
        assert parts == pytest.approx(factors.remaining.value, abs=1e-9)


def test_a_longer_chain_with_more_unseen_rotamers_is_no_effect_of_rotamers() -> None:
    # The second molecule has twice the error and only unseen rotamers; within the others the rotamer does not matter.
    known, ood = planted()
    scale = np.array([1.0, 1.0, 2.0, 1.0, 1.0])[:, None]
    factors = found(replace(known, unseen=known.unseen * scale, seen=known.seen * scale), ood)
    assert factor(factors.rotamer_ratio) == pytest.approx(1.0)
    assert factor(factors.conformers) == pytest.approx(1.0)


@pytest.mark.parametrize("name", ["composition", "conformers", "remaining", "unseen_parts", "combination"])
@pytest.mark.parametrize("with_fixed", [False, True])
def test_influences_are_derivatives_by_the_weights_of_molecules(name: str, *, with_fixed: bool) -> None:
    known, ood = random_errors(3, with_fixed=with_fixed)
    effect = getattr(found(known, ood), name)

    def at(id_weight: np.ndarray, ood_weight: np.ndarray) -> float:
        column = id_weight[:, None]
        factors = found(
            replace(known, atoms=known.atoms * column, unseen=known.unseen * column, seen=known.seen * column),
            replace(ood, atoms=ood.atoms * ood_weight[:, None], error=ood.error * ood_weight),
        )
        value = getattr(factors, name).value
        return float(value)

    step = 1e-6
    for part, of_id in (("test_id", True), ("test_ood", False)):
        influence, own = effect.influences[part]
        places = np.flatnonzero(ood.is_shown) if own.n_molecules < 9 and not of_id else np.arange(own.n_molecules)
        for place, given in zip(places, influence, strict=True):
            weights = [np.ones(7), np.ones(9)]
            weights[0 if of_id else 1][place] += step
            derivative = (at(*weights) - effect.value) / step
            # Molecules of the design vary about a mean of their own, which their influence excludes.
            if not (with_fixed and of_id and not own.names[place]):
                assert given == pytest.approx(derivative, abs=2e-5)


def test_no_unseen_rotamer_in_test_id() -> None:
    known, ood = planted()
    n_frames = np.array([[0, 10]] * 5)
    factors = found(replace(known, n_frames=n_frames, unseen=0.0 * known.unseen, seen=known.seen + known.unseen), ood)
    assert factors.conformers == factors.rotamer_ratio == NO_UNSEEN
    assert factors.composition.value + factors.remaining.value == pytest.approx(log_gap(known, ood), abs=1e-9)


def test_rotamers_that_cannot_be_compared() -> None:
    known, ood = planted()
    unseen_only = replace(known, n_frames=np.array([[10, 0]] * 5))
    assert found(unseen_only, ood).conformers == NO_SEEN
    apart = replace(known, n_frames=np.array([[10, 0], [10, 0], [0, 10], [0, 10], [0, 10]]))
    assert found(apart, ood).conformers == NOT_BOTH
    assert found(replace(known, unseen=0.0 * known.unseen), ood).conformers == NO_ERROR_OF_ROTAMERS
    assert found(known, ood, "no train").conformers == "no train"
    design = Clusters("test_id", "fragment", (("A",), (), ("C",), (), ("E",)))
    assert found(replace(known, clusters=design), ood).conformers == NOT_BOTH


def test_all_molecules_have_an_unseen_part_or_none_has() -> None:
    known, ood = planted(1.5, 2.0, 1.3)
    none_shown = found(known, replace(ood, is_shown=np.zeros(6, dtype=bool)))
    assert none_shown.unseen_parts == none_shown.combination == NO_SHOWN
    all_shown = found(known, replace(ood, is_shown=np.ones(6, dtype=bool)))
    assert all_shown.unseen_parts is None
    assert all_shown.combination is all_shown.remaining
    without_error = replace(ood, error=np.where(ood.is_shown, 0.0, ood.error))
    assert found(known, without_error).combination == NO_ERROR_OF_SHOWN


def test_nothing_to_divide() -> None:
    known, ood = planted()
    assert log_factors(known, replace(ood, error=0.0 * ood.error)) is None
    assert log_factors(replace(known, seen=0.0 * known.seen, unseen=0.0 * known.unseen), ood) is None


def test_an_interval_stands_on_no_more_fragments_than_its_molecules_have() -> None:
    known, ood = random_errors(3)
    n_frames = known.n_frames.copy()
    n_frames[2:5, 0] = 0  # both kinds of rotamers: molecules 0, 1, 5 and 6, of fragments A and B
    n_frames[2:5, 1] += 1
    factors = found(replace(known, n_frames=n_frames), ood)
    assert isinstance(factors.conformers, Effect)
    interval = interval_of(replace_log(factors.conformers))
    assert (interval.low, interval.n_clusters) == (None, 2)
    assert interval.reason == "no interval: based on 2 fragments; an interval needs at least 3"
    assert interval_of(replace_log(factors.composition)).n_clusters == 5


def replace_log(logarithm: Effect) -> Effect:
    value = math.exp(logarithm.value)
    return Effect(value, {part: (value * own, each) for part, (own, each) in logarithm.influences.items()})
