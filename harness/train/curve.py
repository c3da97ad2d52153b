"""The validation curve of a run, as a table and as a plot."""

import csv
from collections.abc import Sequence
from dataclasses import asdict, fields
from pathlib import Path
from typing import Final

from dataset_builders.core.units import MILLI
from dataset_builders.core.whole_file import whole_file
from harness.train.state import CurvePoint

CURVE_TABLE: Final = "validation_curve.csv"
CURVE_PICTURE: Final = "validation_curve.png"


def write_curve_table(directory: Path, curve: Sequence[CurvePoint]) -> None:
    """Writes every validation of a run; errors in eV/Å and eV per atom."""
    with whole_file(directory / CURVE_TABLE) as partial, partial.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, [field.name for field in fields(CurvePoint)], lineterminator="\n")
        writer.writeheader()
        writer.writerows(asdict(point) for point in curve)


def draw_curve(directory: Path, curve: Sequence[CurvePoint], title: str) -> None:
    """Plots force and energy error against training time, side by side, on logarithmic axes."""
    from matplotlib.figure import Figure
    from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter

    minutes = [point.seconds / 60.0 for point in curve]
    figure = Figure(figsize=(7.6, 3.2), layout="constrained")
    figure.suptitle(title)
    panels = (
        ("force MAE, meV/Å", "tab:blue", [point.validation_force_mae / MILLI for point in curve]),
        ("energy MAE, meV per atom", "tab:orange", [point.validation_energy_mae / MILLI for point in curve]),
    )
    for axes, (label, colour, errors) in zip(figure.subplots(1, 2), panels, strict=True):
        axes.plot(minutes, errors, color=colour, marker=".")
        axes.set(xlabel="minutes of training", ylabel=label, yscale="log")
        axes.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 3.0, 5.0)))
        axes.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
        axes.yaxis.set_minor_formatter(NullFormatter())
        axes.grid(alpha=0.3)
    figure.savefig(directory / CURVE_PICTURE, dpi=120)
