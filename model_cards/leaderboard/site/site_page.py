"""The leaderboard as one self-contained HTML page."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from dataset_builders.chemistry.levels import GFN2
from dataset_builders.core.errors import DataError, SetupError, UsageError
from dataset_builders.core.hub.names import DATASET_ID
from dataset_builders.tasks.regions import in_order
from harness.pages.bundled import Bundle, vega
from harness.pages.page import Page, page_html, write_page
from model_cards.leaderboard.site.boards import Board, boards_of
from model_cards.leaderboard.site.charts import errors_chart, gap_charts
from model_cards.leaderboard.site.page_data import page_data
from model_cards.leaderboard.site.site_entry import Gathered
from model_cards.leaderboard.site.task_pictures import task_pictures

_BUNDLES: Final[tuple[Bundle, ...]] = ("tabulator.min.js", "tabulator_simple.min.css")
TITLE: Final = "mlip-ood leaderboard"


@dataclass(frozen=True, slots=True)
class Opening:
    """What the page shows first.

    Attributes:
        edition: Edition; `None` for the one that ranks best.
        labels: Level of theory of the labels, such as `GFN2-xTB`; `None` for any.
    """

    edition: str | None = None
    labels: str | None = None


@dataclass(frozen=True, slots=True)
class Site:
    """The content of the page.

    Attributes:
        page: The page.
        boards: Its boards.
    """

    page: Page
    boards: tuple[Board, ...]

    @property
    def n_models(self) -> int:
        """Number of models that are not controls, each counted once a board."""
        return sum(placed.entry.kind != "control" for board in self.boards for placed in board.placed)

    def html(self) -> str:
        """The page as one HTML document.

        Raises:
            MissingPackageError: If vl-convert-python is not installed.
        """
        return page_html(self.page)

    def write(self, path: Path) -> None:
        """Writes the page, atomically.

        Raises:
            MissingPackageError: If vl-convert-python is not installed.
            SetupError: If the file cannot be written.
        """
        try:
            write_page(self.page, path)
        except OSError as cause:
            raise SetupError(f"cannot write {path}: {cause.strerror or cause}; choose another path") from cause


def leaderboard_site(found: Gathered, opening: Opening = Opening(), dataset_id: str = DATASET_ID) -> Site:
    """Ranks entries and prepares the page.

    Args:
        found: Entries and faults from any sources.
        opening: What the page shows first.
        dataset_id: Data set on the Hub, for the commands on the page.

    Raises:
        DataError: If there is no entry; the message lists the faults.
        UsageError: If no entry is on the edition or at the level that the page should open with.
        MissingPackageError: If altair is not installed.
    """
    boards = boards_of(found.entries)
    if not boards:
        faults = "".join(f"\n  {each.place}: {each.cause}" for each in found.left_out)
        raise DataError(f"there is no result to show{':' if faults else ''}{faults or '; publish one with `push`'}")
    titles = {name: task.title for b in boards for p in b.placed for name, task in p.entry.tasks.items()}
    tasks = [(name, titles[name]) for name in in_order(titles)]
    gaps = gap_charts(tasks)
    values = {
        "gap_charts": [(chart.name, name) for chart, (name, _) in zip(gaps, tasks, strict=True)],
        "pictures": task_pictures(),
        "left_out": found.left_out,
        "dataset_id": dataset_id,
        "made_of": _made_of(boards),
    }
    data = page_data(boards, _opens_with(boards, opening))
    page = Page("leaderboard.html", TITLE, values, charts=[*gaps, errors_chart()], data=data, bundles=_BUNDLES)
    return Site(page, boards)


def require_packages() -> None:
    """Checks that a page can be written, before results are read for it.

    Raises:
        MissingPackageError: If a package is missing.
    """
    errors_chart()
    vega()


def _opens_with(boards: Sequence[Board], opening: Opening) -> int:
    """The board to show first.

    As in the terminal, it has GFN2-xTB labels where there are any, and open pull requests do not choose the edition.
    """
    fitting = [
        place
        for place, board in enumerate(boards)
        if opening.edition in (None, board.data.edition) and opening.labels in (None, board.data.labels)
    ]
    if not fitting:
        wanted = ", ".join(filter(None, (opening.edition, opening.labels and f"{opening.labels} labels")))
        raise UsageError(
            f"there is no result on {wanted}; the page could open with: {'; '.join(board.title for board in boards)}"
        )
    return min(fitting, key=lambda place: (not _has_models(boards[place]), boards[place].data.labels != GFN2.method))


def _has_models(board: Board) -> bool:
    return any(placed.entry.kind == "model" for placed in board.placed)


def _made_of(boards: Sequence[Board]) -> str:
    sources = sorted({p.entry.origin.kind for board in boards for p in board.placed if p.entry.kind != "control"})
    words = {"Hub": "results in model repos on the Hub", "results": "files of results", "study": "records of the study"}
    listed = " and ".join(words[source] for source in sources) or "controls"
    return f"Written by python -m harness leaderboard from {listed}. The page is one file and reads nothing else."
