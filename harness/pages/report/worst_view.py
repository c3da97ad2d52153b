"""The worst structures as the viewer of the page reads them, and as a table."""

from typing import Any

from ase.data import chemical_symbols

from harness.pages.report.error_chart import OF_SPLIT
from harness.pages.report.number_text import error_text
from harness.pages.report.view import TaskView
from harness.pages.report.worst_frames import WorstFrame


def viewer_data(view: TaskView) -> list[dict[str, Any]]:
    """The worst structures of a run on a task; positions in Å to three decimals, errors in meV/Å to one."""
    return [
        {
            "name": frame.molecule_id,
            "split": OF_SPLIT[frame.split][0],
            "subset": frame.subset,
            "trajectory": frame.trajectory,
            "frame": frame.frame,
            "mae": error_text(frame.force_mae),
            "xyz": _xyz(frame),
            "errors": [round(1000.0 * float(error), 1) for error in frame.errors],
        }
        for frame in view.frames.worst
    ]


def _xyz(frame: WorstFrame) -> str:
    centred = frame.positions.astype("float64") - frame.positions.astype("float64").mean(axis=0)
    lines = [
        f"{chemical_symbols[number]} {x:.3f} {y:.3f} {z:.3f}"
        for number, (x, y, z) in zip(frame.atomic_numbers.tolist(), centred.tolist(), strict=True)
    ]
    return "\n".join([str(len(lines)), "", *lines])
