"""The gap of GFN1-xTB, which is shown beside the gap of every model.

GFN1-xTB was not trained on these molecules, so its gap shows how much harder the unseen
combinations are in themselves. It is taken from this run, from an earlier run in the same output
folder, or from the results that are installed with the harness.
"""

import functools
import logging
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

from dataset_builders.core.errors import DataError
from dataset_builders.tasks.regions import TaskName
from harness.results.result import ModelRecord, RunResult, TaskResult

CONTROL: Final = "gfn1-xtb"
INSTALLED: Final = Path(__file__).parent / "shipped_controls"

_LOG: Final = logging.getLogger(__name__)


def is_control(model: ModelRecord) -> bool:
    """Whether a model is GFN1-xTB itself, and not another one under its name."""
    return model.id == CONTROL and model.protocol == "control"


def control_gaps(
    content_hash: str, results: Iterable[RunResult], output: Path | None, installed: Path = INSTALLED
) -> dict[TaskName, float]:
    """The gap of GFN1-xTB on each task of a data set, where it is known.

    Args:
        content_hash: Of the data set; results on other data sets are ignored.
        results: Of this run.
        output: Folder that contains the run folders, or `None`.
        installed: Folder of the results that are installed with the harness.
    """
    tasks = control_tasks(content_hash, results, output, installed)
    return {name: task.gap.value for name, task in tasks.items() if task.gap.value is not None}


def control_tasks(
    content_hash: str, results: Iterable[RunResult], output: Path | None = None, installed: Path = INSTALLED
) -> dict[TaskName, TaskResult]:
    """Everything measured of GFN1-xTB on each task of a data set, where its gap is known.

    Args:
        content_hash: Of the data set, or its first digits; results on other data sets are ignored.
        results: Of this run.
        output: Folder that contains the run folders, or `None`.
        installed: Folder of the results that are installed with the harness.
    """
    found: dict[TaskName, TaskResult] = {}
    for result in (*results, *_earlier(output, installed)):
        if is_control(result.model) and result.dataset.content_hash.startswith(content_hash):
            for name, task in result.tasks.items():
                if task.gap.value is not None and not task.n_failed:
                    found.setdefault(name, task)
    return found


def _earlier(output: Path | None, installed: Path) -> Iterator[RunResult]:
    paths = sorted((output / CONTROL).glob("*/result.json")) if output else []
    for path in (*paths, *sorted(installed.glob("*.json"))):
        try:
            yield _read(path, path.stat().st_mtime_ns)
        except (DataError, FileNotFoundError) as problem:
            _LOG.warning("a control is left out: %s", problem)


@functools.lru_cache(maxsize=32)
def _read(path: Path, _time_of_change: int) -> RunResult:
    return RunResult.load(path)
