"""Numbers with the influence of each molecule: the derivative with respect to the weight of the molecule.

This is the empirical influence function (Hampel et al., Robust Statistics, 1986), which the infinitesimal jackknife
sums. The delta method extends it to functions of such numbers, so that a gap, an excess, a score or the mean over
seeds has the same components as an error.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from dataset_builders.core.arrays import IntArray, require_shape
from dataset_builders.core.errors import ShapeError
from harness.scoring.clusters import Clusters
from harness.scoring.metric_terms import Float64Array, Ratio

_STEP: Final = 1e-4
"""Change of a molecule's weight in the finite difference; the error of the influence is of the order of its square."""


@dataclass(frozen=True, slots=True)
class MoleculeSums:
    """The terms of a `Ratio`, summed by molecule.

    Attributes:
        numerator: Shape (n_molecules,).
        weight: Same shape.
        undefined: Why there is no value if the weights sum to zero.
        is_root: Whether the metric is the square root of the ratio.
    """

    numerator: Float64Array
    weight: Float64Array
    undefined: str
    is_root: bool = False

    @property
    def value(self) -> float | None:
        """The metric over all molecules; `None` if the weights sum to zero."""
        return Ratio(self.numerator, self.weight, self.undefined, self.is_root).value

    def added(self, others: "MoleculeSums") -> "MoleculeSums":
        """The sums of these terms and those of others, for the same metric and molecules."""
        return replace(self, numerator=self.numerator + others.numerator, weight=self.weight + others.weight)

    def select(self, positions: IntArray) -> "MoleculeSums":
        """The sums of selected molecules, by position."""
        return MoleculeSums(self.numerator[positions], self.weight[positions], self.undefined, self.is_root)


@dataclass(frozen=True, slots=True, eq=False)
class Effect:
    """A number, and the influence of each molecule on it.

    Attributes:
        value: The number.
        influences: By part (split or subset): the derivative of the number with respect to the weight of each molecule,
            shape (n_molecules,), in the unit of the number, and the clusters of these molecules.
    """

    value: float
    influences: Mapping[str, tuple[Float64Array, Clusters]]


def sum_by_molecule(ratio: Ratio, molecule_idx: IntArray, n_molecules: int) -> MoleculeSums:
    """Sums the terms of a metric by molecule.

    Args:
        ratio: The terms, one per atom or frame.
        molecule_idx: Index of the molecule of each term, shape (n_terms,), below `n_molecules`.
        n_molecules: Number of molecules.

    Raises:
        ShapeError: If the number of indices differs from the number of terms.
    """
    if molecule_idx.shape != ratio.numerator.shape:
        raise ShapeError(f"molecule_idx has shape {molecule_idx.shape}; expected {ratio.numerator.shape}, one per term")
    return MoleculeSums(
        np.bincount(molecule_idx, ratio.numerator, n_molecules).astype(np.float64),
        np.bincount(molecule_idx, ratio.weight, n_molecules).astype(np.float64),
        ratio.undefined,
        ratio.is_root,
    )


def ratio_effect(sums: MoleculeSums, clusters: Clusters) -> Effect | None:
    """A metric with the influence of each molecule; `None` if the metric is undefined.

    The result depends only on the sums: averaged sums of several seeds give the interval of their mean.

    Raises:
        ShapeError: If the clusters have another number of molecules.
    """
    require_shape("sums of molecules", sums.numerator, (clusters.n_molecules,))
    value = sums.value
    if value is None:
        return None
    ratio = value**2 if sums.is_root else value
    expected = ratio * sums.weight
    # Fixed molecules of the design are not drawn and have their own mean: they vary around that mean.
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
        value: Value of the function.
        *terms: Each number, and the derivative of the function with respect to it. Influences on the same part are
            those of the same molecules, and are therefore paired.

    Raises:
        ShapeError: If their numbers of molecules differ.
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
    """One number divided by another; `None` if the divisor is zero."""
    if below.value == 0.0:
        return None
    value = above.value / below.value
    return combined(value, (above, 1.0 / below.value), (below, -value / below.value))


def logarithm(effect: Effect) -> Effect:
    """The logarithm of a positive number."""
    scaled = {part: (own / effect.value, clusters) for part, (own, clusters) in effect.influences.items()}
    return Effect(math.log(effect.value), scaled)


def difference(first: Effect, second: Effect) -> Effect:
    """One number minus another."""
    return combined(first.value - second.value, (first, 1.0), (second, -1.0))


def mean_effect(effects: Sequence[Effect]) -> Effect:
    """The mean of several numbers, such as those of several seeds."""
    share = 1.0 / len(effects)
    return combined(sum(effect.value for effect in effects) * share, *((effect, share) for effect in effects))


def weighted_effect(statistic: Callable[[Float64Array], Float64Array], *parts: Clusters) -> Effect:
    """A number that is a smooth function of the weights of the molecules, by central differences.

    Args:
        statistic: The number for many sets of weights, shape (n_sets, n_molecules) to (n_sets,); molecules of all
            parts, concatenated.
        *parts: Clusters of the molecules in each part.
    """
    n_molecules = sum(part.n_molecules for part in parts)
    ones, steps = np.ones((1, n_molecules)), _STEP * np.eye(n_molecules)
    value, *changed = statistic(np.concatenate([ones, ones + steps, ones - steps]))
    influence = np.subtract(*np.reshape(changed, (2, n_molecules))) / (2.0 * _STEP)
    pieces = np.split(influence, np.cumsum([part.n_molecules for part in parts])[:-1])
    return Effect(float(value), {part.part: (piece, part) for part, piece in zip(parts, pieces, strict=True)})
