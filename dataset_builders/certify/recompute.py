"""Recomputes a sample of the labels of a data-set folder at their declared level of theory."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow.parquet as pq

from dataset_builders.certify.config_audit import read_schema, row_count, unreadable
from dataset_builders.certify.row_checks import Problem, method_of, usable_metadata
from dataset_builders.chemistry.labels import compute_label, label_versions
from dataset_builders.chemistry.levels import LEVELS_BY_SUFFIX, Level, level_of_method
from dataset_builders.core.arrow_arrays import UNREADABLE
from dataset_builders.core.errors import ConvergenceError, UsageError
from dataset_builders.core.terminal import UNBOUNDED, paragraphs
from dataset_builders.core.terminal_table import text_table
from dataset_builders.folder.configs import CONFIG, SPLIT_FILE
from dataset_builders.folder.provenance import is_imported


@dataclass(frozen=True, slots=True)
class Tolerance:
    """Largest accepted deviation of a label from its recomputed value.

    Attributes:
        energy: Deviation of the energy, eV.
        force: Deviation of each force component, eV/Å.
    """

    energy: float
    force: float


XTB_TOLERANCE: Final = Tolerance(energy=1e-4, force=1e-4)
"""For GFN2-xTB: the same processor reproduces every bit, and accuracy 0.1 converges forces to 0.03 meV/Å."""

DFT_TOLERANCE: Final = Tolerance(energy=0.01, force=0.005)
"""For density functionals: grids, density fitting and thresholds of other programs change forces by up to 0.7 meV/Å and
energies by 1.3 meV (docs/labels.md); labels of this project are reproduced within 1e-4."""


@dataclass(frozen=True, slots=True)
class ConfigRecomputation:
    """Result for one configuration.

    Attributes:
        config: Its name.
        method: Level of theory.
        n_rows: Number of recomputed rows.
        energy: Largest deviation of an energy, eV; 0 if none was computed.
        force: Largest deviation of a force component, eV/Å.
        tolerance: Largest accepted deviations.
    """

    config: str
    method: str
    n_rows: int
    energy: float
    force: float
    tolerance: Tolerance


@dataclass(frozen=True, slots=True)
class Recomputation:
    """Result for a folder.

    Attributes:
        seed: Seed of the choice of rows.
        configs: Result for each configuration.
        problems: Rows whose labels deviate or cannot be computed.
        skipped: Configurations whose level of theory cannot be computed here, with the level.
    """

    seed: int
    configs: tuple[ConfigRecomputation, ...]
    problems: tuple[Problem, ...]
    skipped: tuple[str, ...]

    def text(self, width: int = UNBOUNDED) -> str:
        """The result as text for the terminal.

        Args:
            width: Columns of the terminal; unbounded where the text is part of a message.
        """
        header = ("config", "labels", "rows", "energy, eV", "at most", "force, eV/Å", "at most")
        rows = [
            (
                each.config,
                each.method,
                str(each.n_rows),
                *(
                    (
                        f"{each.energy:.1e}",
                        f"{each.tolerance.energy:g}",
                        f"{each.force:.1e}",
                        f"{each.tolerance.force:g}",
                    )
                    if each.n_rows
                    else ("-",) * 4
                ),
            )
            for each in self.configs
        ]
        n_rows = sum(each.n_rows for each in self.configs)
        parts = [
            f"{n_rows} labels recomputed, of rows drawn with seed {self.seed}; largest deviations:",
            text_table(header, rows, width),
            *(f"{each}: not recomputed, since no program for this level is available" for each in self.skipped),
        ]
        return "\n\n".join(paragraphs(parts, width))


@dataclass(frozen=True, slots=True)
class RecomputationPlan:
    """What is to be recomputed: everything that can be refused before work begins has been checked.

    Attributes:
        directory: The folder.
        seed: Seed of the choice of rows.
        random: The stream that draws the rows.
        levels: Level of theory of each configuration that can be computed here.
        shares: Number of rows of each of them.
        skipped: Configurations whose level of theory cannot be computed here, with the level.
    """

    directory: Path
    seed: int
    random: np.random.Generator
    levels: Mapping[str, Level]
    shares: Mapping[str, int]
    skipped: tuple[str, ...]


def plan_recomputation(directory: Path, n_rows: int, seed: int = 0) -> RecomputationPlan:
    """Shares rows evenly over the configurations of a data-set folder, and checks that their labels can be computed.

    Args:
        directory: The folder.
        n_rows: Number of rows.
        seed: Seed of the choice of rows.

    Raises:
        UsageError: If no configuration has a level that can be computed here, or a number is out of range.
        MissingPackageError: If the program of a level is not installed.
    """
    if n_rows < 1 or seed < 0:
        raise UsageError(f"--recompute {n_rows} --seed {seed}: expected at least one row and a non-negative seed")
    levels, skipped = _levels(directory)
    if not levels:
        raise UsageError(
            f"--recompute: no configuration of {directory} has a level of theory that can be computed here"
            f"{': ' + '; '.join(skipped) if skipped else ''}; known levels: "
            + ", ".join(level.method for level in LEVELS_BY_SUFFIX.values())
        )
    random = np.random.default_rng(seed)
    shares = _shares([*levels], n_rows, random)
    for config, share in shares.items():
        if share:
            label_versions(levels[config])  # reports a missing package before any computation
    return RecomputationPlan(directory, seed, random, levels, shares, tuple(skipped))


def recompute(plan: RecomputationPlan) -> Recomputation:
    """Draws the rows and recomputes their labels; a plan is used once, since its stream of random numbers advances."""
    problems: list[Problem] = []
    configs = [
        _recompute_config(plan.directory / config, level, plan.shares[config], plan.random, problems)
        for config, level in plan.levels.items()
    ]
    return Recomputation(plan.seed, tuple(configs), tuple(problems), plan.skipped)


def _levels(directory: Path) -> tuple[dict[str, Level], list[str]]:
    """The level of each configuration that can be recomputed, and the configurations that cannot."""
    levels: dict[str, Level] = {}
    skipped = []
    for folder in sorted(path for path in directory.iterdir() if path.is_dir()):
        match, files = CONFIG.fullmatch(folder.name), sorted(folder.glob("*.parquet"))
        if match is None or not files:
            continue
        metadata = usable_metadata(read_schema(files[0]))
        level: Level | None = LEVELS_BY_SUFFIX[match[2] or ""]
        if is_imported(metadata) and not match[2]:
            level = level_of_method(method_of(metadata))
        if level is None:
            skipped.append(f"{folder.name}, labels of {method_of(metadata)}")
        else:
            levels[folder.name] = level
    return levels, skipped


def _shares(configs: Sequence[str], n_rows: int, random: np.random.Generator) -> Mapping[str, int]:
    """Number of rows from each configuration; the remainder is drawn at random."""
    order = [configs[int(index)] for index in random.permutation(len(configs))]
    shares = dict.fromkeys(configs, n_rows // len(configs))
    for config in order[: n_rows % len(configs)]:
        shares[config] += 1
    return shares


def _recompute_config(
    folder: Path, level: Level, share: int, random: np.random.Generator, problems: list[Problem]
) -> ConfigRecomputation:
    tolerance = XTB_TOLERANCE if level.dft is None else DFT_TOLERANCE
    energy = force = 0.0
    n_rows = 0
    for name, number, row in _drawn_rows(folder, share, random):
        n_rows += 1
        found = _deviations(level, row)
        if isinstance(found, str):
            expected = f"a label of {level.method}"
        else:
            energy, force = max(energy, found[0]), max(force, found[1])
            if found[0] <= tolerance.energy and found[1] <= tolerance.force:
                continue
            expected = f"at most {tolerance.energy:g} eV and {tolerance.force:g} eV/Å"
            found = f"deviations of {found[0]:.2g} eV and {found[1]:.2g} eV/Å from recomputed {level.method}"
        frame = f"{row['trajectory']} {row['frame']}"
        problems.append(Problem(f"{folder.name}/{name}", number, str(row["molecule_id"]), frame, found, expected))
    return ConfigRecomputation(folder.name, level.method, n_rows, energy, force, tolerance)


def _drawn_rows(folder: Path, share: int, random: np.random.Generator) -> Iterator[tuple[str, int, dict[str, Any]]]:
    """File name, index and content of rows drawn uniformly from the files of a configuration."""
    files = [path for path in sorted(folder.glob("*.parquet")) if SPLIT_FILE.fullmatch(path.name)]
    counts = [row_count(path) for path in files]
    chosen = sorted(random.choice(sum(counts), size=min(share, sum(counts)), replace=False).tolist())
    start = 0
    for path, count in zip(files, counts, strict=True):
        numbers = [index - start for index in chosen if start <= index < start + count]
        yield from _read_rows(path, numbers)
        start += count


def _read_rows(path: Path, numbers: Sequence[int]) -> Iterator[tuple[str, int, dict[str, Any]]]:
    """Rows of a file, with one row group in memory at a time.

    Raises:
        DataError: If the file cannot be read, or a page does not match its checksum.
    """
    start = 0
    try:
        with pq.ParquetFile(path, page_checksum_verification=True) as file:
            for group in range(file.num_row_groups):
                count = file.metadata.row_group(group).num_rows
                wanted = [number for number in numbers if start <= number < start + count]
                if wanted:
                    table = file.read_row_group(group).take([number - start for number in wanted])
                    table.validate(full=True)
                    for number, row in zip(wanted, table.to_pylist(), strict=True):
                        yield path.name, number, row
                start += count
    except UNREADABLE as cause:
        raise unreadable(path, cause) from cause


def _deviations(level: Level, row: Mapping[str, Any]) -> tuple[float, float] | str:
    """Deviations of energy and forces, or the reason why they could not be computed."""
    try:
        numbers = np.array(row["atomic_numbers"], dtype=np.int64)
        positions = np.array(row["positions"], dtype=np.float32).reshape(len(numbers), 3)
        stored = np.array(row["forces"], dtype=np.float64).reshape(len(numbers), 3)
        stored_energy = float(row["energy"])
        if not len(numbers):
            raise ValueError("it has no atoms")
    except (KeyError, TypeError, ValueError) as cause:
        return f"a row without a valid molecule and labels ({cause})"
    try:
        energy, forces = compute_label(level, numbers, positions)
    except ConvergenceError as cause:
        return f"a label that cannot be recomputed: {cause}"
    force = float(np.abs(forces - stored).max())
    difference = abs(energy - stored_energy)
    if not np.isfinite(difference + force):
        return "energy or forces that are not finite"
    return difference, force
