"""`python -m harness leaderboard`: ranks the published results."""

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Final

from dataset_builders.chemistry.levels import GFN2, LEVELS, Level, find_level
from dataset_builders.core.errors import UsageError
from dataset_builders.core.hub.names import DATASET_ID
from dataset_builders.core.option_parser import option_parser
from dataset_builders.core.printable import print_json
from dataset_builders.core.terminal import USUAL_WIDTH, console, notes
from dataset_builders.core.terminal_table import Cell, Column, fitted_table
from dataset_builders.folder.configs import task_of_config
from dataset_builders.tasks.editions import UNKNOWN_EDITION, edition_note
from dataset_builders.tasks.regions import TASKS, in_order, title_of
from harness.report.signs import ID_STYLE, OOD_STYLE, UNDEFINED
from harness.report.table import table_notes
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
_OVERALL: Final = "overall: mean score of the four tasks"


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
    terminal = console()
    terminal.print(render(board, configs, terminal.width), soft_wrap=True)


def render(board: "Leaderboard", configs: Sequence[str], width: int = USUAL_WIDTH) -> "RenderableType":
    """The ranking of each task, the overall ranking, the same for open pull requests, and the excluded results.

    Args:
        board: The published results.
        configs: Configurations to show.
        width: Columns of the terminal.
    """
    from rich.console import Group

    commit = f" at {board.commit[:_SHORT]}" if board.commit else ""
    head = (
        f"{board.dataset_id}{commit}, content {board.content_hash[:_SHORT]}, labels {board.labels}, "
        f"edition {board.edition}"
    )
    note = edition_note(board.edition)
    merged, community = ([config for config in configs if ranked.get(config)] for ranked in _rankings(board))
    tables = [(_heading(config), *_task_table(board.by_config[config])) for config in merged]
    tables += [(_OVERALL, *_overall_table(board.overall))] if board.overall else []
    tables += [(_heading(config) + _COMMUNITY, *_task_table(board.community[config])) for config in community]
    tables += [(_OVERALL + _COMMUNITY, *_overall_table(board.community_overall))] if board.community_overall else []
    parts: list[RenderableType] = list(notes([head, *([note] if note else [])], width))
    if not merged:
        parts += notes(["no results are published on these data"], width)
    below: dict[str, None] = {}
    for heading, columns, rows in tables:
        table = fitted_table(columns, [heading, *rows], width)
        parts += ["", *table.texts()]
        below |= dict.fromkeys(table_notes(table))
    marks = [_MARKS] if merged or community else []
    return Group(*parts, "", *notes([*below, *_left_out(board), *marks], width))


def _heading(config: str) -> str:
    return f"{config}: {title_of(task_of_config(config), None)}"


def _rankings(board: "Leaderboard") -> "tuple[Mapping[str, tuple[Ranked, ...]], ...]":
    return board.by_config, board.community


def _task_table(rows: "Sequence[Ranked]") -> tuple[list[Column], list[list[Cell]]]:
    from model_cards.leaderboard.published import seeds_of, speed_of

    columns = {
        "rank": Column("rank"),
        "model": Column("model", "left", shortest=8),
        "score": Column("score\n0-100"),
        "OOD": Column("OOD\nmeV/Å", style=OOD_STYLE),
        "ID": Column("ID\nmeV/Å", style=ID_STYLE),
        "gap": Column("gap\nOOD/ID"),
        "protocol": Column("protocol", "left", left_out=1, about="protocol"),
        "dtype": Column("dtype", "left", left_out=9, about="precision"),
        "seeds": Column("seeds", left_out=7, about="seeds"),
        "speed": Column("speed", left_out=8, about="speed"),
        "status": Column("status", "left", left_out=2, about="status"),
    }
    lines = []
    for row in rows:
        each = row.published
        cells = {
            "rank": str(row.rank),
            "model": each.model_id,
            "score": _number(each.values.get("score"), 1),
            "OOD": _number(each.values.get("ood_force_mae"), 1),
            "ID": _number(each.values.get("id_force_mae"), 1),
            "gap": _number(each.values.get("gap"), 2),
            "protocol": protocol_text(each.notes.get("protocol", "not stated"), each.notes.get("training")),
            "dtype": each.notes.get("dtype", "not stated"),
            "seeds": seeds_of(each),
            "speed": speed_of(each),
            "status": _status(each),
        }
        lines.append({key: text or UNDEFINED for key, text in cells.items()})
    return _present(columns, lines)


def _overall_table(rows: "Sequence[Overall]") -> tuple[list[Column], list[list[Cell]]]:
    columns = {
        "rank": Column("rank"),
        "model": Column("model", "left", shortest=8),
        "score": Column("score\n0-100"),
        "protocol": Column("protocol", "left", left_out=1, about="protocol"),
        "seeds": Column("seeds", left_out=7, about="seeds"),
        "status": Column("status", "left", left_out=2, about="status"),
    }
    lines = [
        {
            "rank": str(row.rank),
            "model": row.model_id,
            "score": f"{row.score:.1f}",
            "protocol": protocol_text(row.protocol, "stated" if row.is_stated else None),
            "seeds": row.seeds or UNDEFINED,
            "status": _status(row),
        }
        for row in rows
    ]
    return _present(columns, lines)


def _present(
    columns: Mapping[str, Column], lines: Sequence[Mapping[str, str]]
) -> tuple[list[Column], list[list[Cell]]]:
    """Columns and cells, without the seeds and speeds of a table in which no entry states any."""
    absent = {key for key in ("seeds", "speed") if all(line.get(key, UNDEFINED) == UNDEFINED for line in lines)}
    kept = [key for key in columns if key not in absent]
    return [columns[key] for key in kept], [[Cell(line[key]) for key in kept] for line in lines]


def _number(value: float | None, digits: int) -> str:
    return UNDEFINED if value is None else f"{value:.{digits}f}"


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
