"""Errors of molecules with known population values, drawn as the errors of trained models are.

The logarithm of the error of a molecule is a level of its split and spacer, an effect of each of its fragments, which
ID and OOD share in part, an effect of the pair, and one of its own. How large these are is estimated from the records
of the study. Fragments are drawn anew for each data set, with the atoms of one of the real fragments.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import combinations, pairwise
from pathlib import Path
from statistics import fmean

import numpy as np

from dataset_builders.tasks.drawn import Drawn, drawn_of_task
from dataset_builders.tasks.regions import TASKS, TaskName
from dataset_builders.tasks.words import Word, parse_word
from dataset_builders.tasks.words import word as word_of
from harness.scoring.composition import environments_of_atoms
from harness.scoring.metric_terms import Float64Array
from harness.study.run_record import RunRecord, TestSplitName, read_records

MODELS = ("schnet", "painn", "dimenet++", "nequip", "mace", "visnet", "ani2x-tuned")
"""Rows of the study whose variances are averaged; a pair of models is two that follow one another."""

SPECIFIC_ABOVE = 0.57
"""By how much the log error of an atom next to a fragment lies above that of a chain atom; this and the next were
measured on the ID predictions, on task2 of mini, of a PaiNN trained on 100 frames of each molecule."""

CELL_DEVIATION = 0.16
"""Standard deviation of the log error of one environment in one molecule about that of the molecule."""

SPLITS: tuple[TestSplitName, ...] = ("test_id", "test_ood")


@dataclass(frozen=True, slots=True)
class Components:
    """Variances of log errors, and levels.

    Attributes:
        fragment: Between fragments, by split.
        shared: Correlation of the effects of a fragment on ID and on OOD.
        pair: Between pairs of fragments, beyond what both add up to.
        own: Of a molecule within its fragments, by split.
        level: Mean log error by split and spacer.
        plain: Mean log error of plain chains of the design, by spacer.
    """

    fragment: Mapping[TestSplitName, float]
    shared: float
    pair: float
    own: Mapping[TestSplitName, float]
    level: Mapping[tuple[TestSplitName, int], float]
    plain: Mapping[int, float]


@dataclass(frozen=True, slots=True)
class Estimated:
    """What the records say of one quantity on one split: fragment effects and variances."""

    effects: Mapping[str, float]
    fragment: float
    pair: float
    own: float


def estimate(log_error: Mapping[str, float], drawn: Drawn) -> Estimated:
    """Variances between fragments, pairs and molecules, by the method of moments (Griffing, 1956, for pairs)."""
    molecules = {name: drawn.by_molecule[name] for name in log_error if drawn.by_molecule[name]}
    spacers = sorted({_spacer(name) for name in molecules})
    level = {k: fmean(log_error[name] for name in molecules if _spacer(name) == k) for k in spacers}
    groups: defaultdict[tuple[str, ...], list[float]] = defaultdict(list)
    for name, ends in molecules.items():
        groups[ends].append(log_error[name] - level[_spacer(name)])
    means = {ends: fmean(values) for ends, values in groups.items()}
    n_spacers = len(spacers)
    squares = sum((value - means[ends]) ** 2 for ends, values in groups.items() for value in values)
    own = squares / ((len(groups) - 1) * (n_spacers - 1))
    names = sorted({name for ends in groups for name in ends})
    n = len(names)
    if all(len(ends) == 1 for ends in groups):
        effects = {name: means[(name,)] for name in names}
        between = sum(value**2 for value in effects.values()) / (n - 1)
        return Estimated(effects, max(0.0, between - own / n_spacers), 0.0, own)
    effects = {name: sum(mean for ends, mean in means.items() if name in ends) / (n - 2) for name in names}
    rest = sum((mean - sum(effects[name] for name in ends)) ** 2 for ends, mean in means.items())
    of_pair = rest / (n * (n - 3) / 2)
    between = (n - 2) * sum(value**2 for value in effects.values()) / (n - 1)
    return Estimated(effects, max(0.0, (between - of_pair) / (n - 2)), max(0.0, of_pair - own / n_spacers), own)


def components(records: Sequence[RunRecord], task: TaskName, minus: Sequence[RunRecord] = ()) -> Components:
    """Components of the mean log error of some records of one model, or of its difference to those of another."""
    drawn = drawn_of_task(TASKS[task])
    logs = {split: _log_errors(records, split) for split in SPLITS}
    if minus:
        others = {split: _log_errors(minus, split) for split in SPLITS}
        logs = {split: {name: logs[split][name] - others[split][name] for name in logs[split]} for split in SPLITS}
    found = {split: estimate(logs[split], drawn) for split in SPLITS}
    known, unseen = (found[split] for split in SPLITS)
    common = [(known.effects[name], unseen.effects[name]) for name in unseen.effects]
    covariance = sum(a * b for a, b in common) / (len(common) - 1)
    scale = (known.fragment * unseen.fragment) ** 0.5
    level: defaultdict[tuple[TestSplitName, int], list[float]] = defaultdict(list)
    plain = {}
    for split in SPLITS:
        for name, value in logs[split].items():
            if drawn.by_molecule[name]:
                level[split, _spacer(name)].append(value)
            else:
                plain[_spacer(name)] = value
    return Components(
        fragment={split: found[split].fragment for split in SPLITS},
        shared=float(np.clip(covariance / scale, 0.0, 0.97)) if scale > 0.0 else 0.0,
        pair=unseen.pair,
        own={split: found[split].own for split in SPLITS},
        level={key: fmean(values) for key, values in level.items()},
        plain=plain,
    )


def mean_components(found: Sequence[Components]) -> Components:
    """The means over models."""
    first = found[0]
    return Components(
        fragment={split: fmean(each.fragment[split] for each in found) for split in SPLITS},
        shared=fmean(each.shared for each in found),
        pair=fmean(each.pair for each in found),
        own={split: fmean(each.own[split] for each in found) for split in SPLITS},
        level={key: fmean(each.level[key] for each in found) for key in first.level},
        plain={key: fmean(each.plain[key] for each in found) for key in first.plain},
    )


def components_of_study(results: Path, task: TaskName) -> tuple[Components, Components, Components]:
    """Components of a model, of the difference of two models, and of zero forces, from the records of a study."""
    by_row: defaultdict[str, list[RunRecord]] = defaultdict(list)
    for record in read_records(results):
        if record.task == task:
            by_row[record.row].append(record)
    rows = [row for row in MODELS if row in by_row]
    return (
        mean_components([components(by_row[row], task) for row in rows]),
        mean_components([components(by_row[row], task, by_row[other]) for row, other in pairwise(rows)]),
        components(by_row["zero"], task),
    )


@dataclass(frozen=True, slots=True)
class Design:
    """The molecules of a task, as a simulation needs them.

    Attributes:
        drawn: What is drawn.
        fragments: Drawn fragments.
        words: Molecules by split, in order.
        subsets: Positions of the OOD molecules of `near` and `far`, by subset.
    """

    drawn: Drawn
    fragments: tuple[str, ...]
    words: Mapping[TestSplitName, tuple[Word, ...]]
    subsets: Mapping[str, tuple[int, ...]]


@dataclass(frozen=True, slots=True)
class DataSet:
    """One simulated data set: atoms and summed errors by molecule and environment, of both splits.

    Environments are the four of plain chains and then that of each fragment.

    Attributes:
        atoms: Shape (n_molecules, n_environments), by split.
        error: Summed errors of a model, same shape.
        other: The same of another model.
        zero: The same of zero forces.
    """

    atoms: Mapping[TestSplitName, Float64Array]
    error: Mapping[TestSplitName, Float64Array]
    other: Mapping[TestSplitName, Float64Array]
    zero: Mapping[TestSplitName, Float64Array]


def design_of(results: Path, task: TaskName, n_fragments: int = 99) -> Design:
    """The molecules of a task, as the records have them: those of its first `n_fragments` drawn fragments."""
    record = next(each for each in read_records(results) if each.task == task)
    drawn = drawn_of_task(TASKS[task])
    fragments = tuple(sorted({name for names in drawn.by_molecule.values() for name in names}))[:n_fragments]
    kept = {
        split: [each for each in record.molecules[split] if set(drawn.by_molecule[each.molecule_id]) <= {*fragments}]
        for split in SPLITS
    }
    words = {split: tuple(parse_word(each.molecule_id) for each in molecules) for split, molecules in kept.items()}
    subsets: defaultdict[str, list[int]] = defaultdict(list)
    for place, molecule in enumerate(kept["test_ood"]):
        if molecule.subset:
            subsets[molecule.subset].append(place)
    return Design(drawn, fragments, words, {name: tuple(places) for name, places in subsets.items()})


def draw(design: Design, of: tuple[Components, Components, Components], rng: np.random.Generator) -> DataSet:
    """Draws a data set: fragments with the structure of real ones, and their errors.

    Args:
        design: Of the task.
        of: Components of a model, of the difference to another one, and of zero forces.
        rng: Random numbers.
    """
    structures = dict(zip(design.fragments, rng.choice(design.fragments, len(design.fragments)), strict=True))
    atoms = {split: np.stack([_atoms(word, design, structures) for word in design.words[split]]) for split in SPLITS}
    logs, apart, zero = (_log_errors_of(design, each, rng) for each in of)
    base = np.concatenate([np.zeros(_N_PLAIN), np.full(len(design.fragments), SPECIFIC_ABOVE)])
    errors: list[dict[TestSplitName, Float64Array]] = [{}, {}, {}]
    for split in SPLITS:
        cells = base + rng.normal(0.0, CELL_DEVIATION, atoms[split].shape)
        for found, log in zip(errors, (logs[split], logs[split] - apart[split], zero[split]), strict=True):
            found[split] = atoms[split] * np.exp(cells + log[:, None])
    return DataSet(atoms, *errors)


def _log_errors_of(design: Design, of: Components, rng: np.random.Generator) -> dict[TestSplitName, Float64Array]:
    """Log error of each molecule."""
    n = len(design.fragments)
    first, second = rng.normal(size=(2, n))
    mixed = of.shared * first + (1.0 - of.shared**2) ** 0.5 * second
    effects = {
        split: dict(zip(design.fragments, of.fragment[split] ** 0.5 * values, strict=True))
        for split, values in zip(SPLITS, (first, mixed), strict=True)
    }
    pairs = {ends: rng.normal(0.0, of.pair**0.5) for ends in combinations(design.fragments, 2)}
    found = {}
    for split in SPLITS:
        values = []
        for word in design.words[split]:
            ends = design.drawn.by_molecule[word.molecule_id]
            level = of.level[split, word.spacer] if ends else of.plain[word.spacer]
            values.append(level + sum(effects[split][name] for name in ends) + pairs.get(ends, 0.0))
        found[split] = np.array(values) + rng.normal(0.0, of.own[split] ** 0.5, len(values))
    return found


_N_PLAIN = 4
"""Environments of plain chains: carbon and hydrogen of CH3 and of CH2."""


def _atoms(word: Word, design: Design, structures: Mapping[str, str]) -> Float64Array:
    """Atoms of each environment of a molecule whose drawn fragments have the structures of others."""
    ends = design.drawn.by_molecule[word.molecule_id]
    names = (word.left, word.right) if word.left in ends and word.right in ends else (*ends, "H")[:1]
    plain, own = _counts(tuple(structures.get(name, "H") for name in names), word.spacer)
    counts = np.zeros(_N_PLAIN + len(design.fragments))
    counts[:_N_PLAIN] = plain
    for name, count in zip(names, own, strict=True):
        if name in design.fragments:
            counts[_N_PLAIN + design.fragments.index(name)] += count
    return counts


@cache
def _counts(ends: tuple[str, ...], spacer: int) -> tuple[tuple[int, ...], tuple[float, ...]]:
    """Atoms of a chain with these fragments at its ends: in environments of plain chains, and of each fragment."""
    known = sorted({each for length in (2, 3, 4) for each in _environments("H", length, "H")})
    left, right = (*ends, "H")[:2]
    found = _environments(left, spacer, right)
    others = [each for each in found if each not in known]
    if len(ends) == 1:
        return tuple(found.count(each) for each in known), (float(len(others)),)
    if left == right:
        own = (len(others) / 2.0, len(others) / 2.0)
    else:
        of_left = set(_environments(left, 4, "H"))
        n_left = sum(each in of_left for each in others)
        own = (float(n_left), float(len(others) - n_left))
    return tuple(found.count(each) for each in known), own


def _environments(left: str, spacer: int, right: str) -> list[str]:
    return [str(each) for each in environments_of_atoms(word_of(left, spacer, right).smiles)]


def _spacer(molecule_id: str) -> int:
    return int(molecule_id.split("-")[1])


def _log_errors(records: Sequence[RunRecord], split: TestSplitName) -> dict[str, float]:
    """Log of the mean error over seeds, by molecule."""
    errors: defaultdict[str, list[float]] = defaultdict(list)
    for record in records:
        for molecule in record.molecules[split]:
            errors[molecule.molecule_id].append(molecule.force_mae)
    return {name: float(np.log(fmean(values))) for name, values in errors.items()}
