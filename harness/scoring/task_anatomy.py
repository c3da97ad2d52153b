"""The anatomy of the gap of a task, and errors by end-to-end contact, from the sums of the task."""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

import numpy as np

from dataset_builders.chemistry.molecule_parts import heavy_pairs, torsion_types
from harness.results.anatomy_record import Anatomy, ContactName, ContactResult, RotamerErrors
from harness.results.result import Estimate
from harness.scoring.anatomy import NO_SEEN, NO_UNSEEN, IdErrors, LogFactors, OodErrors, log_factors
from harness.scoring.composition import AtomEnvironment, environments_of_atoms
from harness.scoring.condition_sums import SEEN, UNSEEN, ConditionSums
from harness.scoring.frame_traits import APART, CONTACT
from harness.scoring.group_rows import Part, TestSplit, estimate_of, of_the_computed
from harness.scoring.influences import Effect, MoleculeSums
from harness.scoring.intervals import Interval, IntervalSettings, interval_of, ratio_interval
from harness.scoring.metric_terms import BoolArray, Float64Array
from harness.scoring.metrics import UNITS
from harness.scoring.training_parts import TrainingParts

NO_TRAIN: Final = "the data set holds no training frames at this level of theory, so no rotamer is known to be seen"
NO_EXPECTATION: Final = "the OOD errors, or those expected of them, are zero"
ALL_SHOWN: Final = "no interval: every torsion type and pair of heavy elements of the OOD molecules occurs in training"

MIN_CLUSTERS_OF_COMPOSITION: Final = 5
"""Minimum number of clusters for an interval of the composition: with four, it covered 98 to 99 %."""

_CONTACTS: Final[tuple[tuple[ContactName, int], ...]] = (("contact", CONTACT), ("apart", APART))
_WHERE: Final[dict[ContactName, str]] = {"contact": "in contact", "apart": "apart"}


def task_anatomy(test_id: Part, test_ood: Part, gap: Estimate, training: TrainingParts | None) -> Anatomy | None:
    """Divides the gap of a task into factors.

    Args:
        test_id: The training molecules.
        test_ood: The OOD molecules.
        gap: The gap.
        training: What `train` shows; `None` if no geometry is known.

    Returns:
        The factors; `None` if no geometry is known, as for predictions without a data set.
    """
    known, unseen = test_id.totals.conditions, test_ood.totals.conditions
    if known is None or unseen is None or training is None:
        return None
    # Without a training split, the molecules of `test_id` are known to be those of training.
    is_shown = parts_shown(unseen.smiles, training.smiles or known.smiles)
    misfit = training.misfit or known.misfit or unseen.misfit
    if gap.value is None or misfit is not None:
        return _undefined(gap.reason if gap.value is None else misfit, is_shown)
    codes = _environment_codes(known.smiles)
    n_known = len(codes)
    codes = _environment_codes(unseen.smiles, codes)
    if len(codes) > n_known:
        return _undefined(f"the environment {list(codes)[n_known][1]} of test_ood does not occur in test_id", is_shown)
    of_id = _id_errors(known, test_id, codes)
    of_ood = _ood_errors(unseen, test_ood, codes, is_shown)
    factors = log_factors(of_id, of_ood, None if training.n_frames else NO_TRAIN)
    if factors is None:
        return _undefined(NO_EXPECTATION, is_shown)
    rotamers = _rotamer_errors(of_id, of_ood, factors, test_id.settings) if training.n_frames else None
    return _anatomy(factors, is_shown, rotamers, test_id.settings)


def by_contact(split: TestSplit, part: Part) -> list[ContactResult]:
    """Errors of frames with the two ends in contact, and of those with the ends apart; none without such molecules."""
    sums = part.totals.conditions
    if sums is None or not sums.contact_frames.any():
        return []
    n_failed = part.n_failed
    n_of_split = int(part.totals.n_frames.sum())
    rows = []
    for name, column in _CONTACTS:
        chosen = np.flatnonzero(sums.contact_frames[:, column])
        n_frames = sums.contact_frames[chosen, column]
        components = 3.0 * n_frames * part.totals.n_atoms[chosen]
        none = f"no {'computed ' if n_failed else ''}frame has its ends {_WHERE[name]}"
        errors = MoleculeSums(sums.contact_error[chosen, column], components, none)
        found = ratio_interval(errors, part.clusters.select(chosen), "log", part.settings)
        # Which frames are in contact is known of computed frames alone.
        force = of_the_computed(found, n_failed, n_of_split, f"frames of {split}")
        rows.append(
            ContactResult(
                split=split,
                contact=name,
                n_molecules=len(chosen),
                n_frames=int(n_frames.sum()),
                force_mae=estimate_of(force, UNITS["force_mae"]),
            )
        )
    return rows


def parts_shown(unseen: Sequence[str], training: Iterable[str]) -> BoolArray:
    """Which OOD molecules have only torsion types and pairs of heavy elements that training molecules have."""
    known = list(training)
    torsions = {name for smiles in known for name in torsion_types(smiles)}
    pairs = {pair for smiles in known for pair in heavy_pairs(smiles)}
    return np.array(
        [torsions.issuperset(torsion_types(smiles)) and pairs.issuperset(heavy_pairs(smiles)) for smiles in unseen],
        dtype=np.bool_,
    )


def _environment_codes(
    smiles: Iterable[str], known: Mapping[AtomEnvironment, int] | None = None
) -> dict[AtomEnvironment, int]:
    """A number for each environment, in the order of first occurrence after the known ones."""
    codes = dict(known or {})
    for each in smiles:
        for environment in environments_of_atoms(each):
            codes.setdefault(environment, len(codes))
    return codes


def _by_environment(smiles: str, codes: Mapping[AtomEnvironment, int], of_atom: Float64Array | None) -> Float64Array:
    """Atoms of a molecule, or the sum of a number of its atoms, by environment; shape (n_environments,)."""
    own = [codes[environment] for environment in environments_of_atoms(smiles)]
    sums: Float64Array = np.bincount(own, of_atom, len(codes)).astype(np.float64)
    return sums


def _id_errors(sums: ConditionSums, part: Part, codes: Mapping[AtomEnvironment, int]) -> IdErrors:
    unseen, seen = (
        np.stack(
            [
                _by_environment(smiles, codes, error[row])
                for smiles, error in zip(sums.smiles, sums.atom_error, strict=True)
            ]
        )
        for row in (UNSEEN, SEEN)
    )
    return IdErrors(_atoms(sums, codes), unseen, seen, sums.n_frames, part.clusters)


def _ood_errors(
    sums: ConditionSums, part: Part, codes: Mapping[AtomEnvironment, int], is_shown: BoolArray
) -> OodErrors:
    error = np.array([each.sum() for each in sums.atom_error])
    return OodErrors(_atoms(sums, codes), error, is_shown, part.clusters)


def _atoms(sums: ConditionSums, codes: Mapping[AtomEnvironment, int]) -> Float64Array:
    of_frame = np.stack([_by_environment(smiles, codes, None) for smiles in sums.smiles])
    atoms: Float64Array = of_frame * sums.n_frames.sum(axis=1, keepdims=True)
    return atoms


def _rotamer_errors(known: IdErrors, ood: OodErrors, factors: LogFactors, settings: IntervalSettings) -> RotamerErrors:
    atoms_of_frame = known.atoms.sum(axis=1) / known.n_frames.sum(axis=1)
    errors = []
    for column, of_atoms in ((UNSEEN, known.unseen), (SEEN, known.seen)):
        chosen = np.flatnonzero(known.n_frames[:, column])
        components = 3.0 * known.n_frames[chosen, column] * atoms_of_frame[chosen]
        sums = MoleculeSums(of_atoms[chosen].sum(axis=1), components, NO_UNSEEN if column == UNSEEN else NO_SEEN)
        found = ratio_interval(sums, known.clusters.select(chosen), "log", settings)
        errors.append(estimate_of(found, UNITS["force_mae"]))
    in_both = known.atoms[known.has_both].sum(axis=0) > 0
    return RotamerErrors(
        n_unseen=int(known.n_frames[:, UNSEEN].sum()),
        n_seen=int(known.n_frames[:, SEEN].sum()),
        unseen_force_mae=errors[0],
        seen_force_mae=errors[1],
        n_molecules=int(known.has_both.sum()),
        ratio=_factor(factors.rotamer_ratio, settings),
        share_of_atoms=float(ood.atoms[:, in_both].sum() / ood.atoms.sum()),
    )


def _anatomy(
    factors: LogFactors, is_shown: BoolArray, rotamers: RotamerErrors | None, settings: IntervalSettings
) -> Anatomy:
    none_unseen = Estimate(value=1.0, low=None, high=None, unit="1", reason=ALL_SHOWN)
    return Anatomy(
        composition=_of_enough_clusters(_factor(factors.composition, settings)),
        conformers=_factor(factors.conformers, settings),
        remaining=_factor(factors.remaining, settings),
        unseen_parts=none_unseen if factors.unseen_parts is None else _factor(factors.unseen_parts, settings),
        combination=_factor(factors.combination, settings),
        n_molecules=len(is_shown),
        n_parts_shown=int(is_shown.sum()),
        rotamers=rotamers,
    )


def _factor(logarithm: Effect | str, settings: IntervalSettings) -> Estimate:
    """A factor with its interval, from its logarithm."""
    if isinstance(logarithm, str):
        return _no_value(logarithm)
    value = math.exp(logarithm.value)
    scaled = {part: (value * own, clusters) for part, (own, clusters) in logarithm.influences.items()}
    return estimate_of(interval_of(Effect(value, scaled), "log", settings), "1")


def _of_enough_clusters(composition: Estimate) -> Estimate:
    """Without its interval on few clusters, where coverage would exceed 97 %."""
    n_clusters = composition.n_clusters
    if composition.low is None or n_clusters is None or n_clusters >= MIN_CLUSTERS_OF_COMPOSITION:
        return composition
    reason = f"no interval: based on {n_clusters} clusters; this one needs at least {MIN_CLUSTERS_OF_COMPOSITION}"
    return composition.model_copy(update={"low": None, "high": None, "reason": reason})


def _undefined(reason: str | None, is_shown: BoolArray) -> Anatomy:
    no_value = _no_value(reason or NO_EXPECTATION)
    return Anatomy(
        composition=no_value,
        conformers=no_value,
        remaining=no_value,
        unseen_parts=no_value,
        combination=no_value,
        n_molecules=len(is_shown),
        n_parts_shown=int(is_shown.sum()),
        rotamers=None,
    )


def _no_value(reason: str) -> Estimate:
    return estimate_of(Interval(None, reason=reason), "1")
