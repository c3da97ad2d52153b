"""What the sections of the page are made from: one run on one task, beside GFN1-xTB."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, get_args

from dataset_builders.tasks.regions import Task, TaskName, title_of
from harness.core.potential import TrainingProtocol
from harness.evaluation.run import SavedRun
from harness.pages.chart import Chart
from harness.pages.report.frame_errors import FrameErrors
from harness.pages.report.number_text import NumberTable
from harness.report.control_gaps import is_control
from harness.results.result import RunResult, TaskResult

NO_ERROR: Final = "No force error is above zero, and a logarithmic axis has no place for zero."


@dataclass(frozen=True, slots=True, eq=False)
class ReportedRun:
    """A run with everything that the page shows of it.

    Attributes:
        name: Name of its model, different from those of the other runs.
        slug: Short name for identifiers and files.
        saved: The run.
        result: Its result.
        frames: What its frames say, by task.
    """

    name: str
    slug: str
    saved: SavedRun
    result: RunResult
    frames: Mapping[TaskName, FrameErrors]

    def view(self, task: TaskName, control: TaskResult | None) -> "TaskView":
        """The run on one of its tasks."""
        return TaskView(self, self.result.tasks[task], self.saved.dataset.task(task), control, self.frames[task])


@dataclass(frozen=True, slots=True, eq=False)
class TaskView:
    """One run on one task.

    Attributes:
        run: The run.
        task: Its result on the task.
        declared: Molecules of the task.
        control: The result of GFN1-xTB on the same data; `None` if it is not known.
        frames: What the frames say.
    """

    run: ReportedRun
    task: TaskResult
    declared: Task
    control: TaskResult | None
    frames: FrameErrors

    @property
    def key(self) -> str:
        """Identifies it in the page and in names of files."""
        return f"{self.task.task.replace('_', '-')}-{self.run.slug}"

    @property
    def title(self) -> str:
        """Title of the task."""
        return title_of(self.task.task, self.task.title)

    @property
    def name(self) -> str:
        """Name of the model."""
        return self.run.name

    @property
    def is_control(self) -> bool:
        """Whether this is GFN1-xTB, beside which others stand."""
        return is_control(self.run.result.model)

    @property
    def is_trained(self) -> bool:
        """Whether the model was trained on the training molecules of the task."""
        return self.task.protocol in get_args(TrainingProtocol)

    @property
    def beside(self) -> TaskResult | None:
        """The result of GFN1-xTB, to show beside that of another model."""
        return None if self.is_control else self.control


@dataclass(frozen=True, slots=True)
class Section:
    """A part of the page about one run on one task.

    Attributes:
        name: Identifies it: lower case and hyphens.
        title: Its heading.
        text: What it shows, in a sentence or two.
        charts: Its charts.
        tables: Its numbers.
        missing: Why there is nothing to show; `None` where there is.
    """

    name: str
    title: str
    text: str = ""
    charts: tuple[Chart, ...] = ()
    tables: tuple[NumberTable, ...] = field(default=())
    missing: str | None = None


def slug(text: str) -> str:
    """Lower-case letters, digits and hyphens of a text; `model` if it has none."""
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-") or "model"
