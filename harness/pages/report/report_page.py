"""The page of one or several runs, from first screen to provenance."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Final

from dataset_builders.core.errors import MissingPackageError, SetupError, UsageError
from dataset_builders.tasks.regions import TaskName, in_order, title_of
from harness.pages.chart import Chart, save_chart
from harness.pages.page import Page, write_page
from harness.pages.report.answer import answer, headline, question
from harness.pages.report.factors import factor_section
from harness.pages.report.fragments import fragment_section, pair_section
from harness.pages.report.groups import group_section
from harness.pages.report.molecules import examples, gallery
from harness.pages.report.overview import gap_chart, overview_charts
from harness.pages.report.paired import paired
from harness.pages.report.parity import energy_section, force_section
from harness.pages.report.provenance import caution_lines, provenance
from harness.pages.report.spacers import spacer_section
from harness.pages.report.view import ReportedRun, Section, TaskView
from harness.pages.report.worst_view import viewer_data
from harness.report.table import dataset_lines
from harness.results.result import TaskResult

_SECTIONS: Final = (
    spacer_section,
    group_section,
    fragment_section,
    factor_section,
    pair_section,
    force_section,
    energy_section,
)


@dataclass(frozen=True, slots=True, eq=False)
class Report:
    """Everything that a report shows.

    Attributes:
        runs: The runs.
        views: Each run on each of its tasks, sorted by task.
        sections: Sections of each view, by its key.
        overview: Errors of every model, a chart for each task.
        gaps: All gaps; `None` without one.
    """

    runs: tuple[ReportedRun, ...]
    views: tuple[TaskView, ...]
    sections: Mapping[str, tuple[Section, ...]]
    overview: tuple[Chart, ...]
    gaps: Chart | None

    @property
    def charts(self) -> tuple[Chart, ...]:
        """All charts, in the order of the page."""
        of_sections = (chart for found in self.sections.values() for section in found for chart in section.charts)
        return (*self.overview, *([self.gaps] if self.gaps else []), *of_sections)


def report_of(runs: Sequence[ReportedRun], controls: Mapping[TaskName, TaskResult]) -> Report:
    """Makes the sections and charts.

    Args:
        runs: One or more runs on one data set.
        controls: Result of GFN1-xTB on each task where it is known.

    Raises:
        MissingPackageError: If altair is not installed.
    """
    _require_altair()
    names = in_order(task for run in runs for task in run.result.tasks)
    views = tuple(run.view(name, controls.get(name)) for name in names for run in runs if name in run.result.tasks)
    sections = {view.key: tuple(make(view) for make in _SECTIONS) for view in views}
    return Report(tuple(runs), views, sections, tuple(overview_charts(views)), gap_chart(views))


def _require_altair() -> None:
    try:
        import altair  # noqa: F401
    except ImportError as cause:
        raise MissingPackageError("altair", "pages", "a report with charts") from cause


def page_of(report: Report) -> Page:
    """The report as a page."""
    views, runs = report.views, report.runs
    tasks = list(dict.fromkeys(view.task.task for view in views))
    firsts = {name: next(view for view in views if view.task.task == name) for name in tasks}
    gaps = {view.task.task: view.control.gap.value for view in views if view.control and view.control.gap.value}
    names = [run.name for run in runs]
    cautions = [line for run in runs for line in caution_lines(run, gaps)]
    values = {
        "question": question(views),
        "headline": headline(views),
        "answers": [answer(view) for view in views],
        "several": len(views) > 1,
        "cautions": list(dict.fromkeys(cautions)),
        "data_lines": dataset_lines(runs[0].result),
        "confidence": f"{100.0 * runs[0].result.settings.confidence:g} %",
        "overview": [chart.name for chart in report.overview],
        "gaps": report.gaps,
        "tasks": [(name, title_of(name, firsts[name].task.title)) for name in tasks],
        "models": [(run.slug, run.name) for run in runs],
        "examples": {name: examples(view) for name, view in firsts.items()},
        "galleries": {name: gallery(view) for name, view in firsts.items()},
        "is_seen": {name: any(view.is_trained for view in views if view.task.task == name) for name in tasks},
        "seen_by": {name: seen_by([view for view in views if view.task.task == name]) for name in tasks},
        "panels": [_panel(view, report.sections[view.key]) for view in views],
        "paired": paired(runs),
        "provenances": [provenance(run, gaps) for run in runs],
    }
    data = {"worst": {view.key: viewer_data(view) for view in views}}
    return Page(
        "report.html",
        f"mlip-ood report: {', '.join(names)}",
        values,
        charts=report.charts,
        data=data,
        bundles=("3Dmol-min.js",),
    )


def write_report(report: Report, html: Path | None, figures: Path | None) -> None:
    """Writes the page, and its charts as SVG and PNG.

    Raises:
        UsageError: If the page is to replace a folder, or the figures a file.
        SetupError: If a file cannot be written.
    """
    require_writable(html, figures)
    try:
        if html is not None:
            write_page(page_of(report), html)
        if figures is not None:
            for chart, ending in product(report.charts, (".svg", ".png")):
                save_chart(chart, figures / f"{chart.name}{ending}")
    except OSError as cause:
        place = cause.filename or html or figures
        raise SetupError(
            f"cannot write {place}: {cause.strerror or cause}; choose a file with --html and a folder with --figures"
        ) from cause


def require_writable(html: Path | None, figures: Path | None) -> None:
    """Checks the places of the output before anything is computed.

    Raises:
        UsageError: If the page is to replace a folder, or the figures a file.
    """
    if html is not None and html.is_dir():
        raise UsageError(f"--html {html} is a folder; expected the file to write, such as {html / 'report.html'}")
    if figures is not None and figures.exists() and not figures.is_dir():
        raise UsageError(f"--figures {figures} is a file; expected a folder for the figures")


def seen_by(views: Sequence[TaskView]) -> str:
    """Which of the models saw the training molecules of a task, in a sentence."""
    trained = [view.name for view in views if view.is_trained]
    others = [view for view in views if not view.is_trained]
    said = [f"{', '.join(trained)}: trained on these molecules."] if trained else []
    physics = [view.name for view in others if view.run.result.model.protocol == "control"]
    foreign = [view.name for view in others if view.run.result.model.protocol != "control"]
    said += [f"{', '.join(physics)}: no training set."] if physics else []
    said += (
        [f"{', '.join(foreign)}: trained on other data (zero-shot), so neither kind was chosen for its training."]
        if foreign
        else []
    )
    return " ".join(said)


@dataclass(frozen=True, slots=True)
class Panel:
    """What the page shows of one run on one task.

    Attributes:
        key: Identifies it.
        task: Name of the task.
        model: Short name of the model, as in the choice of models.
        heading: Model and task.
        sections: Its sections.
        worst: Its worst structures, as in the data of the page.
        failures: Frames that could not be computed, as text.
    """

    key: str
    task: str
    model: str
    heading: str
    sections: tuple[Section, ...]
    worst: tuple[Mapping[str, object], ...]
    failures: tuple[str, ...]


def _panel(view: TaskView, sections: tuple[Section, ...]) -> Panel:
    failures = tuple(
        f"{each.split}, {each.molecule_id}, {each.trajectory} frame {each.frame}: {each.cause}"
        for each in view.task.failures
    )
    heading = f"{view.name} on {view.task.task}, {view.title}"
    return Panel(view.key, view.task.task, view.run.slug, heading, sections, tuple(viewer_data(view)), failures)
