"""`python -m harness leaderboard`: ranks the published results."""

import argparse
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Final

from dataset_builders.chemistry.levels import GFN2, LEVELS, Level, find_level
from dataset_builders.core.errors import UsageError
from dataset_builders.core.hub.names import DATASET_ID
from dataset_builders.core.option_parser import option_parser
from dataset_builders.core.printable import print_json
from dataset_builders.folder.configs import task_of_config
from dataset_builders.tasks.editions import UNKNOWN_EDITION, edition_note
from dataset_builders.tasks.regions import TASKS, in_order, title_of
from model_cards.cards.result_tables import protocol_text
from model_cards.leaderboard.site.site_command import add_site_options, site_request, write_site

if TYPE_CHECKING:
    from rich.console import RenderableType

    from model_cards.leaderboard.published import Published
    from model_cards.leaderboard.ranking import Leaderboard, Overall, Ranked

_MARKS: Final = (
    "verified: the Hub verified the score; merged: the owner of the model has it on the main branch; community: it is "
    "in an open pull request, which anyone may write, so it is ranked separately. Score 0-100, higher is better; "
    "errors in meV/Å, lower is better; read a gap (OOD / ID) together with its ID error. Compare only models of the "
    "same protocol, and compare close models with `harness compare`, paired on the same molecules; stated: the "
    "publisher states what the model was trained on, and no checkpoint proves it. Seeds: number of trainings of a "
    "task that a number is the mean of. Speed: structures/s, as measured by the publisher; the hardware is in the "
    "notes of the entry, and speeds on different hardware are not compared."
)
_COMMUNITY: Final = "; open pull requests, not merged by the owners of the models"
_SHORT: Final = 12
_MAX_LINE: Final = 400
_MODEL_WIDTH: Final = 32


def main(argv: Sequence[str]) -> int:
    """Reads the published results and prints their ranking, or writes it as a page.

    Raises:
        UsageError: If an option is wrong.
        DataError: If the data set does not exist.
        SetupError: If the Hub cannot be reached.
    """
    arguments = _parser().parse_args(argv)
    page = site_request(arguments)
    if arguments.dataset.count("/") != 1:
        raise UsageError(f"--dataset {arguments.dataset!r}; expected a Hub id org/name, optionally with @revision")
    if page is not None:
        write_site(page)
        return 0
    dataset_id, _, revision = arguments.dataset.partition("@")
    level = find_level(arguments.labels or GFN2.name)
    from model_cards.leaderboard.ranking import read_leaderboard

    board = read_leaderboard(dataset_id, revision or None, arguments.model, level, arguments.edition)
    configs = _configs(arguments.task, board, level)
    if arguments.json:
        document = asdict(board)
        for key in ("by_config", "community"):
            document[key] = {config: rows for config, rows in document[key].items() if config in configs}
        print_json(document, indent=2)
    else:
        _print(board, configs)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = option_parser(
        "python -m harness leaderboard",
        "[options]",
        "Rank the results on this benchmark that model repos on the Hub publish.",
        (
            f"python -m harness leaderboard --dataset {DATASET_ID} --task task2",
            "python -m harness leaderboard --html leaderboard.html --from results",
        ),
        notes="Models are found through the leaderboard of the data set on the Hub, through the tag that `push`\n"
        "adds to a card, and by --model. Only results on the same data are ranked together.\n"
        "A page holds every edition and level; --edition and --labels say which it opens with.",
    )
    parser.add_argument(
        "--dataset",
        default=DATASET_ID,
        metavar="ORG/NAME",
        help=f"data set on the Hub, with @revision for an older state (default: {DATASET_ID})",
    )
    parser.add_argument(
        "--labels",
        choices=(*LEVELS,),
        help=f"level of theory of the labels; each has a separate ranking (default: {GFN2.name})",
    )
    parser.add_argument(
        "--edition",
        metavar="NAME",
        help="edition to rank; two are never mixed (default: the one with results that ranks best: full, standard, "
        f"others, mini); {UNKNOWN_EDITION!r} for results on data that the data set does not hold",
    )
    parser.add_argument("--task", action="extend", nargs="+", default=[], metavar="TASK", help="only these tasks")
    parser.add_argument(
        "--model", action="append", default=[], metavar="ORG/NAME", help="also read this model repo; repeatable"
    )
    add_site_options(parser)
    parser.add_argument("--json", action="store_true", help="print everything as one JSON document")
    return parser


def _configs(named: Sequence[str], board: "Leaderboard", level: Level) -> tuple[str, ...]:
    known = in_order([*TASKS, *(task_of_config(config) for ranked in _rankings(board) for config in ranked)])
    for name in named:
        if name not in known:
            raise UsageError(f"unknown task {name!r}; known tasks: {' '.join(known)}")
    return tuple(level.config(task) for task in in_order(named) or known)


def _print(board: "Leaderboard", configs: Sequence[str]) -> None:
    from harness.report.table import console

    console().print(render(board, configs))


def render(board: "Leaderboard", configs: Sequence[str]) -> "RenderableType":
    """The ranking of each task, the overall ranking, the same for open pull requests, and the excluded results.

    Args:
        board: The published results.
        configs: Configurations to show.
    """
    from rich.console import Group

    commit = f" at {board.commit[:_SHORT]}" if board.commit else ""
    head = (
        f"{board.dataset_id}{commit}, content {board.content_hash[:_SHORT]}, labels {board.labels}, "
        f"edition {board.edition}"
    )
    note = edition_note(board.edition)
    parts: list[RenderableType] = [_plain(head), *([_plain(note)] if note else [])]
    merged, community = ([config for config in configs if ranked.get(config)] for ranked in _rankings(board))
    if not merged:
        parts.append(_plain("no results are published on these data"))
    parts.extend(_task_table(board.by_config[config], config) for config in merged)
    if board.overall:
        parts.append(_overall_table(board.overall, ""))
    parts.extend(_task_table(board.community[config], config, _COMMUNITY) for config in community)
    if board.community_overall:
        parts.append(_overall_table(board.community_overall, _COMMUNITY))
    parts.extend(_plain(line) for line in _left_out(board))
    return Group(*parts, _plain(_MARKS)) if merged or community else Group(*parts)


def _rankings(board: "Leaderboard") -> "tuple[Mapping[str, tuple[Ranked, ...]], ...]":
    return board.by_config, board.community


def _task_table(rows: "Sequence[Ranked]", config: str, whose: str = "") -> "RenderableType":
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    from model_cards.leaderboard.published import seeds_of, speed_of

    title = f"{config}: {title_of(task_of_config(config), None)}{whose}"
    table = Table(box=SIMPLE_HEAD, title=title, title_justify="left", pad_edge=False)
    for name in ("rank", "score", "OOD", "ID", "gap"):
        table.add_column(name, justify="right", no_wrap=True)
    has_seeds = any(seeds_of(row.published) for row in rows)
    has_speed = any(speed_of(row.published) for row in rows)
    shown = (*(["seeds"] if has_seeds else []), *(["speed"] if has_speed else []))
    widths = {"model": _width(row.published.model_id for row in rows)}
    for name in ("model", "protocol", "dtype", *shown, "status"):
        table.add_column(name, overflow="fold", min_width=widths.get(name))
    for row in rows:
        each = row.published
        numbers = (each.values.get(name) for name in ("score", "ood_force_mae", "id_force_mae"))
        gap = each.values.get("gap")
        table.add_row(
            str(row.rank),
            *("–" if number is None else f"{number:.1f}" for number in numbers),
            "–" if gap is None else f"{gap:.2f}",
            _plain(each.model_id),
            _plain(protocol_text(each.notes.get("protocol", "not stated"), each.notes.get("training"))),
            _plain(each.notes.get("dtype", "not stated")),
            *([seeds_of(each) or "–"] if has_seeds else []),
            *([speed_of(each) or "–"] if has_speed else []),
            _status(each),
        )
    return table


def _overall_table(rows: "Sequence[Overall]", whose: str) -> "RenderableType":
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    title = f"overall: mean score of the four tasks{whose}"
    table = Table(box=SIMPLE_HEAD, title=title, title_justify="left", pad_edge=False)
    for name in ("rank", "score"):
        table.add_column(name, justify="right", no_wrap=True)
    has_seeds = any(row.seeds for row in rows)
    widths = {"model": _width(row.model_id for row in rows)}
    for name in ("model", "protocol", *(["seeds"] if has_seeds else []), "status"):
        table.add_column(name, overflow="fold", min_width=widths.get(name))
    for row in rows:
        protocol = protocol_text(row.protocol, "stated" if row.is_stated else None)
        seeds = [row.seeds or "–"] if has_seeds else []
        table.add_row(str(row.rank), f"{row.score:.1f}", _plain(row.model_id), _plain(protocol), *seeds, _status(row))
    return table


def _width(names: Iterable[str]) -> int | None:
    """The width that the names of models keep, up to a limit, where a table is wider than the terminal."""
    return min(max(map(len, names), default=0), _MODEL_WIDTH) or None


def _left_out(board: "Leaderboard") -> list[str]:
    lines = [
        f"not ranked here: {count} model{'' if count == 1 else 's'} with results on edition {edition}; "
        f"--edition {edition} ranks them"
        for edition, count in board.other_editions.items()
    ]
    lines += [
        f"not ranked, since it was evaluated on other data: {each.model_id}, {each.config}, revision "
        f"{(each.revision or 'not stated')[:_SHORT]}, score {each.values.get('score', '–')}"
        for each in board.elsewhere
    ]
    faults = (", ".join(filter(None, (fault.model_id, fault.place))) + f": {fault.cause}" for fault in board.faults)
    unread = (f"{model_id}: {why}" for model_id, why in sorted(board.unread.items()))
    return [
        *lines,
        *(f"left out: {_one_line(line)}" for line in faults),
        *(f"not read: {_one_line(line)}" for line in unread),
    ]


def _one_line(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= _MAX_LINE else f"{line[:_MAX_LINE]}…"


def _status(of: "Published | Overall") -> str:
    return of.status if of.pull_request is None else f"{of.status} (PR {of.pull_request})"


def _plain(text: str) -> "RenderableType":
    """Untrusted text without markup and without terminal control characters."""
    from rich.text import Text

    return Text("".join(character for character in text if character.isprintable()))
