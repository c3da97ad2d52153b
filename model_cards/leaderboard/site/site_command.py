"""`python -m harness leaderboard --html OUT` and `--space DIR`: writes the page instead of printing tables."""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from dataset_builders.chemistry.levels import find_level
from dataset_builders.core.errors import UsageError
from dataset_builders.core.size_text import size_text

if TYPE_CHECKING:
    from model_cards.leaderboard.site.site_entry import Gathered
    from model_cards.leaderboard.site.site_page import Site

HUB: Final = "hub"
"""Value of `--from` for the results that model repos publish."""


@dataclass(frozen=True, slots=True)
class SiteRequest:
    """What to write.

    Attributes:
        html: File of the page; `None` for none.
        space: Folder of a static Space; `None` for none.
        sources: `hub`, folders of results, or files of records.
        dataset_id: Data set on the Hub.
        revision: Its revision; `None` for any commit of its main branch.
        models: Further model repos to read.
        edition: Edition that the page opens with; `None` for the one that ranks best.
        labels: Level of theory that it opens with, by name; `None` for any.
    """

    html: Path | None
    space: Path | None
    sources: tuple[str, ...]
    dataset_id: str
    revision: str | None
    models: tuple[str, ...]
    edition: str | None
    labels: str | None


def add_site_options(parser: argparse.ArgumentParser) -> None:
    """Adds the options of the page to those of the terminal's tables."""
    parser.add_argument("--html", type=Path, metavar="OUT", help="write a page that needs no network to view, one file")
    parser.add_argument(
        "--space", type=Path, metavar="DIR", help="write the page and a card as the folder of a static Space of the Hub"
    )
    parser.add_argument(
        "--from",
        dest="sources",
        action="append",
        default=[],
        metavar="SOURCE",
        help=f"what the page shows: {HUB!r}, a folder of results (result.json, method.json, entries), or records of "
        f"the study (runs.jsonl); repeatable (default: {HUB})",
    )


def site_request(arguments: argparse.Namespace) -> SiteRequest | None:
    """The page that a command line asks for; `None` if it asks for none.

    Raises:
        UsageError: If options exclude each other.
    """
    if arguments.html is None and arguments.space is None:
        if arguments.sources:
            raise UsageError(f"--from {arguments.sources[0]} is for the page; add --html OUT or --space DIR")
        return None
    for option, value in (("--json", arguments.json), ("--task", arguments.task)):
        if value:
            raise UsageError(f"{option} with --html or --space: the page holds every task and number; omit {option}")
    dataset_id, _, revision = arguments.dataset.partition("@")
    sources = tuple(dict.fromkeys(arguments.sources)) or (HUB,)
    if HUB not in sources and arguments.model:
        raise UsageError(f"--model {arguments.model[0]} is read from the Hub; add --from {HUB}")
    return SiteRequest(
        arguments.html, arguments.space, sources, dataset_id, revision or None, tuple(arguments.model),
        arguments.edition, arguments.labels,
    )  # fmt: skip


def write_site(request: SiteRequest) -> None:
    """Writes the page and says what it shows, and what it leaves out.

    Raises:
        UsageError: If no result is on the edition or level that it should open with.
        DataError: If a source does not exist, or none has a result.
        SetupError: If the Hub cannot be reached, or a file cannot be written.
    """
    from model_cards.leaderboard.site.site_entry import gathered
    from model_cards.leaderboard.site.site_page import Opening, leaderboard_site, require_packages
    from model_cards.leaderboard.site.space_folder import write_space

    require_packages()
    if request.html is not None and request.html.is_dir():
        raise UsageError(f"{request.html} is a folder; --html writes a file, such as {request.html / 'index.html'}")
    found = gathered([_read(source, request) for source in request.sources])
    labels = None if request.labels is None else find_level(request.labels).method
    site = leaderboard_site(found, Opening(request.edition, labels), request.dataset_id)
    if request.html is not None:
        site.write(request.html)
        print(f"wrote {request.html} ({size_text(request.html.stat().st_size)})")
    if request.space is not None:
        write_space(site, request.space, request.dataset_id)
        print(f"wrote {request.space}; publish it: python -m model_cards publish {request.space} ORG/NAME")
    print("\n".join(_lines(site, found)))


def _read(source: str, request: SiteRequest) -> "Gathered":
    if source == HUB:
        from model_cards.leaderboard.site.from_hub import entries_of_hub

        return entries_of_hub(request.dataset_id, request.revision, request.models)
    from model_cards.leaderboard.site.from_folder import entries_of_path

    return entries_of_path(Path(source))


def _lines(site: "Site", found: "Gathered") -> Sequence[str]:
    lines = []
    for board in site.boards:
        kinds = [placed.entry.kind for placed in board.placed]
        n_models, n_controls = len(kinds) - kinds.count("control"), kinds.count("control")
        lines.append(f"{board.title}: {n_models} models, {n_controls} controls on {' '.join(board.tasks)}")
    return [*lines, *(f"left out: {each.place}: {each.cause}" for each in found.left_out)]
