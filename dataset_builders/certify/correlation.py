"""Correlation in time of imported trajectories, from the energies of consecutive frames.

Bursts that this project samples are independent by construction; frames of one long trajectory are not. So for imported
data the certificate says how many independent frames the trajectories are worth, and what a split in time shares.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from dataset_builders.core.arrays import FloatArray
from dataset_builders.folder.provenance import ImportRecord
from dataset_builders.tasks.editions import TrajectoryName

LEAST_FRAMES: Final = 50
"""Shortest trajectory that is analysed; in a shorter one the estimate is mostly noise."""
_ALWAYS_SUMMED: Final = 3
"""Lags that are summed even if the correlation is negative, as energies of vibrations oscillate."""

CORRELATION_HEADER: Final = (
    "config",
    "trajectory",
    "molecules",
    "frames",
    "statistical inefficiency",
    "independent frames",
    "least",
)


@dataclass(frozen=True, slots=True)
class TimeCorrelation:
    """Correlation in time of the trajectories of a kind.

    Attributes:
        config: Name of the configuration.
        trajectory: `primary` or `secondary`.
        n_frames: Number of frames of each molecule with at least `LEAST_FRAMES`.
        inefficiency: Statistical inefficiency of each of them; see `statistical_inefficiency`.
        n_validation: Number of first secondary frames that are validation; `None` for alternating blocks of frames.
    """

    config: str
    trajectory: TrajectoryName
    n_frames: tuple[int, ...]
    inefficiency: tuple[float, ...]
    n_validation: int | None


def statistical_inefficiency(values: FloatArray) -> float | None:
    """Number of consecutive values that are worth one independent value: 1 for uncorrelated ones.

    It is 1 + 2 sum_t (1 - t/n) C(t), with the normalised autocorrelation C at lag t, summed up to its first value that
    is not positive (Chodera, Swope, Pitera, Seok and Dill, J. Chem. Theory Comput. 2007, 3, 26-41).

    Args:
        values: Values at equal intervals of time, shape (n,).

    Returns:
        The number, at least 1; `None` for fewer than `LEAST_FRAMES` values, or if all are equal.
    """
    n_values = len(values)
    if n_values < LEAST_FRAMES:
        return None
    offsets = values - values.mean()
    variance = float(offsets @ offsets) / n_values
    if variance == 0.0:
        return None
    total = 0.0
    for lag in range(1, n_values - 1):
        correlation = float(offsets[:-lag] @ offsets[lag:]) / ((n_values - lag) * variance)
        if correlation <= 0.0 and lag > _ALWAYS_SUMMED:
            break
        total += (1.0 - lag / n_values) * correlation
    return max(1.0, 1.0 + 2.0 * total)


def time_correlations(
    config: str, record: ImportRecord, series: Mapping[tuple[str, TrajectoryName], FloatArray]
) -> Iterator[TimeCorrelation]:
    """The correlation in time of the primary and of the secondary trajectories.

    Args:
        config: Name of the configuration.
        record: Its import record.
        series: Energies of each molecule and trajectory, in the order of the frames, eV.
    """
    names: tuple[TrajectoryName, ...] = ("primary", "secondary")
    for trajectory in names:
        chosen = [energies for (_, each), energies in series.items() if each == trajectory]
        found = [(len(energies), statistical_inefficiency(energies)) for energies in chosen]
        known = [(count, value) for count, value in found if value is not None]
        first = record.n_validation if trajectory == "secondary" else None
        counts, values = tuple(count for count, _ in known), tuple(value for _, value in known)
        yield TimeCorrelation(config, trajectory, counts, values, first)


def correlation_rows(correlations: Sequence[TimeCorrelation]) -> list[tuple[str, ...]]:
    """Table rows under `CORRELATION_HEADER`: medians over the molecules, and the least number of independent frames."""
    rows: list[tuple[str, ...]] = []
    for each in correlations:
        if not each.inefficiency:
            rows.append((each.config, each.trajectory, "0", "-", "-", "-", "-"))
            continue
        independent = np.array(each.n_frames) / np.array(each.inefficiency)
        numbers = (np.median(each.n_frames), np.median(each.inefficiency), np.median(independent), independent.min())
        frames, inefficiency, median, least = numbers
        rows.append(
            (
                each.config,
                each.trajectory,
                f"{len(each.n_frames)}",
                f"{frames:,.0f}",
                f"{inefficiency:.1f}",
                f"{median:,.0f}",
                f"{least:,.0f}",
            )
        )
    return rows


def correlation_notes(correlations: Sequence[TimeCorrelation]) -> list[str]:
    """What the table means, and what the split of the secondary trajectories shares between its parts."""
    if not correlations:
        return []
    notes = [
        "Frames of one trajectory are correlated in time. The statistical inefficiency of the energy is the number of "
        "frames that are worth one independent frame; medians over molecules with trajectories of at least "
        f"{LEAST_FRAMES} frames. It is a lower bound, since torsions relax more slowly than energies, and it assumes "
        "that the files hold the frames in the order of the dynamics"
    ]
    for each in correlations:
        if each.trajectory == "secondary":
            notes.append(_split_note(each))
    return notes


def _split_note(each: TimeCorrelation) -> str:
    if each.n_validation is None:
        return (
            f"{each.config}: validation and test_id are alternating blocks of the same trajectories, so frames of "
            "the two are neighbours in time"
        )
    return (
        f"{each.config}: validation is the first {each.n_validation} secondary frames of a molecule and test_id those "
        "after them in the same trajectory, so tuning sees the beginning of the trajectory that tests"
    )
