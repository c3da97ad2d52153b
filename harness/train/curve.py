"""The validation curve of a run, as a table and as a picture."""

import csv
from collections.abc import Sequence
from dataclasses import asdict, fields
from pathlib import Path
from typing import Final

from dataset_builders.units import MILLI
from harness.train.state import CurvePoint

CURVE_TABLE: Final = "validation_curve.csv"
CURVE_PICTURE: Final = "validation_curve.png"


def write_curve_table(directory: Path, curve: Sequence[CurvePoint]) -> None:
    """Writes every validation of a run; errors in eV/Å and eV per atom."""
    partial = directory / (CURVE_TABLE + ".partial")
    with partial.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, [field.name for field in fields(CurvePoint)], lineterminator="\n")
        writer.writeheader()
        writer.writerows(asdict(point) for point in curve)
    partial.replace(directory / CURVE_TABLE)


def draw_curve(directory: Path, curve: Sequence[CurvePoint], title: str) -> None:
    """Draws force and energy error against the time of training, both on logarithmic scales."""
    from matplotlib.figure import Figure

    minutes = [point.seconds / 60.0 for point in curve]
    figure = Figure(figsize=(6.4, 3.6), layout="constrained")
    axes = figure.subplots()
    energy_axes = axes.twinx()
    forces = [point.validation_force_mae / MILLI for point in curve]
    energies = [point.validation_energy_mae / MILLI for point in curve]
    (force_line,) = axes.plot(minutes, forces, color="tab:blue", marker=".", label="forces")
    (energy_line,) = energy_axes.plot(minutes, energies, color="tab:orange", marker=".", label="energy")
    axes.set(xlabel="minutes of training", ylabel="force MAE (meV/Å)", title=title, yscale="log")
    energy_axes.set(ylabel="energy MAE (meV per atom)", yscale="log")
    axes.legend(handles=[force_line, energy_line], frameon=False)
    figure.savefig(directory / CURVE_PICTURE, dpi=120)
