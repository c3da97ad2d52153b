"""Numbers with the influence of each molecule on them: its derivative by the weight of the molecule.

It is the empirical influence function (Hampel et al., Robust Statistics, 1986), which the infinitesimal jackknife adds
up. Functions of such numbers follow by the delta method, so that a gap, an excess, a score or the mean over several
seeds is made of the same parts as an error.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from dataset_builders.core.arrays import IntArray, require_shape
from dataset_builders.core.errors import ShapeError
from harness.scoring.clusters import Clusters
from harness.scoring.metric_terms import Float64Array, Ratio

_STEP: Final = 1e-4
"""By how much the weight of a molecule is changed to see its influence; the error is of the order of its square."""


@dataclass(frozen=True, slots=True)
class MoleculeSums:
    """A `Ratio` summed up by molecule.

    Attributes:
        numerator: Shape (n_molecules,).
        weight: Same shape.
        undefined: Why there is no value when the weights sum to zero.
        is_root: Whether the metric is the square root of the ratio.
    """

    numerator: Float64Array
    weight: Float64Array
    undefined: str
    is_root: bool = False

    @property
    def value(self) -> float | None:
        """The metric over all molecules; `None` where the weights sum to zero."""
        return Ratio(self.numerator, self.weight, self.undefined, self.is_root).value

    def added(self, others: "MoleculeSums") -> "MoleculeSums":
        """The sums of these terms and of others of the same metric and molecules."""
        return replace(self, numerator=self.numerator + others.numerator, weight=self.weight + others.weight)

    def select(self, positions: IntArray) -> "MoleculeSums":
        """The sums of some of the molecules, by position."""
        return MoleculeSums(self.numerator[positions], self.weight[positions], self.undefined, self.is_root)


@dataclass(frozen=True, slots=True, eq=False)
class Effect:
    """A number, and the influence of each molecule on it.

    Attributes:
        value: The number.
        influences: By part (split or subset): the derivative of the number by the weight of each molecule, shape
            (n_molecules,), in the unit of the number, and the clusters of these molecules.
    """

    value: float
    influences: Mapping[str, tuple[Float64Array, Clusters]]


def sum_by_molecule(ratio: Ratio, molecule_idx: IntArray, n_molecules: int) -> MoleculeSums:
    """Sums the terms of a metric by molecule.

    Args:
        ratio: The terms, one an atom or a frame.
        molecule_idx: Number of the molecule of each term, shape (n_terms,), below `n_molecules`.
        n_molecules: How many molecules there are.

    Raises:
        ShapeError: If there is not one number for each term.
    """
    if molecule_idx.shape != ratio.numerator.shape:
        raise ShapeError(f"molecule_idx has shape {molecule_idx.shape}; expected {ratio.numerator.shape}, one a term")
    return MoleculeSums(
        np.bincount(molecule_idx, ratio.numerator, n_molecules).astype(np.float64),
        np.bincount(molecule_idx, ratio.weight, n_molecules).astype(np.float64),
        ratio.undefined,
        ratio.is_root,
    )


def ratio_effect(sums: MoleculeSums, clusters: Clusters) -> Effect | None:
    """A metric and the influence of each molecule on it; `None` where it is undefined.

    Pure in the sums: those of several seeds, averaged, give the interval of their mean.

    Raises:
        ShapeError: If the clusters are of another number of molecules.
    """
    require_shape("sums of molecules", sums.numerator, (clusters.n_molecules,))
    value = sums.value
    if value is None:
        return None
    ratio = value**2 if sums.is_root else value
    expected = ratio * sums.weight
    # What is part of the design has a level of its own, which is not drawn: its molecules vary about that one.
    fixed = clusters.is_fixed
    if sums.weight[fixed].sum() > 0.0:
        expected[fixed] = sums.numerator[fixed].sum() / sums.weight[fixed].sum() * sums.weight[fixed]
    influence = (sums.numerator - expected) / float(sums.weight.sum())
    if sums.is_root:
        influence = influence / (2.0 * value) if value > 0.0 else np.zeros_like(influence)
    return Effect(value, {clusters.part: (influence, clusters)})


def combined(value: float, *terms: tuple[Effect, float]) -> Effect:
    """A function of other numbers, by the delta method.

    Args:
        value: The function's.
        *terms: Each of the numbers, and the derivative of the function by it. What two of them say of one part is of
            the same molecules, so that it is paired.

    Raises:
        ShapeError: If it is not of as many molecules.
    """
    influences: dict[str, tuple[Float64Array, Clusters]] = {}
    for effect, derivative in terms:
        for part, (influence, clusters) in effect.influences.items():
            before = influences.get(part)
            if before is not None:
                require_shape(f"influences of {part}", influence, before[0].shape)
            scaled = derivative * influence
            influences[part] = (scaled if before is None else before[0] + scaled, clusters)
    return Effect(value, influences)


def quotient(above: Effect, below: Effect) -> Effect | None:
    """One number divided by another; `None` where that is zero."""
    if below.value == 0.0:
        return None
    value = above.value / below.value
    return combined(value, (above, 1.0 / below.value), (below, -value / below.value))


def difference(first: Effect, second: Effect) -> Effect:
    """One number less another."""
    return combined(first.value - second.value, (first, 1.0), (second, -1.0))


def mean_effect(effects: Sequence[Effect]) -> Effect:
    """The mean of some numbers, such as those of several seeds."""
    share = 1.0 / len(effects)
    return combined(sum(effect.value for effect in effects) * share, *((effect, share) for effect in effects))


def weighted_effect(statistic: Callable[[Float64Array], Float64Array], *parts: Clusters) -> Effect:
    """A number that is a smooth function of the weights of the molecules, by central differences.

    Args:
        statistic: The number under many sets of weights, shape (n_sets, n_molecules) to (n_sets,); molecules of all
            parts, one part after the other.
        *parts: Clusters of the molecules of each part.
    """
    n_molecules = sum(part.n_molecules for part in parts)
    ones, steps = np.ones((1, n_molecules)), _STEP * np.eye(n_molecules)
    value, *changed = statistic(np.concatenate([ones, ones + steps, ones - steps]))
    influence = np.subtract(*np.reshape(changed, (2, n_molecules))) / (2.0 * _STEP)
    pieces = np.split(influence, np.cumsum([part.n_molecules for part in parts])[:-1])
    return Effect(float(value), {part.part: (piece, part) for part, piece in zip(parts, pieces, strict=True)})
