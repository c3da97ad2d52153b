"""`python -m dataset_builders build`: its options and actions."""

import argparse
import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from dataset_builders.core.errors import UsageError
from dataset_builders.core.sole_user import sole_user
from dataset_builders.core.terminal import terminal_width
from dataset_builders.engines.options import add_engine_options, local_folder
from dataset_builders.tasks.editions import EDITIONS, find_edition
from dataset_builders.tasks.regions import TASKS, Task, find_task

if TYPE_CHECKING:
    from dataset_builders.build.fanout import BuildSettings


def add_build_options(parser: argparse.ArgumentParser) -> None:
    """Adds the options of `build` to its parser."""
    what = parser.add_argument_group("what to build")
    what.add_argument(
        "--edition",
        default="mini",
        help=f"{', '.join(EDITIONS)}, or frames per molecule as TRAIN/OOD/VALIDATION/TEST_ID (default: mini)",
    )
    what.add_argument(
        "--task",
        action="extend",
        nargs="+",
        default=[],
        metavar="TASK",
        help=f"some of {', '.join(TASKS)} (default: all; none with --task-file)",
    )
    what.add_argument(
        "--task-file",
        action="extend",
        nargs="+",
        default=[],
        type=Path,
        metavar="FILE",
        help="custom tasks, each declared in a TOML file; see docs/custom-tasks.md",
    )
    what.add_argument(
        "--molecule",
        action="extend",
        nargs="+",
        metavar="ID",
        help="only these molecules, such as OH-2-H: a slice of the edition, which is checked but not certified",
    )
    what.add_argument("--seed", type=int, default=0, metavar="S", help="random seed of the build (default: 0)")
    where = parser.add_argument_group("output")
    where.add_argument("--out", metavar="DIR", help="data-set folder to write")
    where.add_argument(
        "--work",
        metavar="DIR",
        help="folder of finished units, reused by larger editions; shared by all workers (default: OUT.work)",
    )
    add_engine_options(parser, "units", "a few bursts, about a minute")


def run_build(arguments: argparse.Namespace) -> int:
    """Builds, plans, computes a shard or merges, according to the options."""
    from dataset_builders.build.edition import build_edition, make_shard, merge_edition
    from dataset_builders.engines.choice import choose_executor
    from dataset_builders.engines.shares import parse_shard

    open_pool = choose_executor(arguments.executor, arguments.workers)
    settings = _settings(arguments)
    if arguments.plan:
        from dataset_builders.build.build_plan import plan_build

        print(plan_build(settings, open_pool).text(terminal_width()))
        return 0
    if arguments.shard:
        shard = parse_shard(arguments.shard)
        units = make_shard(settings, open_pool, shard)
        print(
            f"shard {shard} is done: its {len(units):,} units are in {settings.work_dir}. When all are done, run "
            "the same command with --merge and --out instead of --shard"
        )
        return 0
    out = local_folder("--out", arguments.out)
    with sole_user(out, "build", "choose another --out"):
        report = merge_edition(settings, out) if arguments.merge else build_edition(settings, out, open_pool)
    if report.slices:
        print(report.text(terminal_width()))
        print(f"\nwrote {arguments.out}, a slice, which has no card and cannot be published")
    else:
        print(f"wrote {arguments.out}; check it with: python -m dataset_builders certify {arguments.out}")
    return 0


def _settings(arguments: argparse.Namespace) -> "BuildSettings":
    from dataset_builders.build.fanout import BuildSettings

    if not arguments.out and not (arguments.work and (arguments.shard or arguments.plan)):
        raise UsageError(
            "build needs --out DIR, the data-set folder to write; with --shard or --plan, --work DIR is enough"
        )
    if arguments.work:
        work_dir = local_folder("--work", arguments.work)
    else:
        out = local_folder("--out", arguments.out)
        work_dir = out.with_name(out.name + ".work")
    tasks = _tasks(arguments.task, arguments.task_file)
    molecules = tuple(dict.fromkeys(arguments.molecule or ()))
    return BuildSettings(
        tasks=_tasks_with(molecules, tasks),
        edition=find_edition(arguments.edition),
        seed=arguments.seed,
        work_dir=work_dir,
        molecules=molecules,
    )


def _tasks(names: Sequence[str], paths: Sequence[Path]) -> tuple[Task, ...]:
    """The named tasks and those of task files."""
    from dataset_builders.tasks.task_document import read_task_file

    named = [find_task(name) for name in names or ([] if paths else TASKS)]
    tasks = [*dict.fromkeys(named), *(read_task_file(path) for path in paths)]
    for first, second in itertools.combinations(tasks, 2):
        if first.name == second.name:
            raise UsageError(f"two of the task files declare {first.name}; give each task a unique name")
    return tuple(tasks)


def _tasks_with(molecules: tuple[str, ...], tasks: tuple[Task, ...]) -> tuple[Task, ...]:
    """The tasks that contain any of the given molecules; all tasks if none is given."""
    if not molecules:
        return tasks
    known = {task: {word.molecule_id for word in (*task.train_words(), *task.ood_words())} for task in tasks}
    names = ", ".join(task.name for task in tasks)
    for molecule_id in molecules:
        if not any(molecule_id in ids for ids in known.values()):
            raise UsageError(
                f"--molecule {molecule_id}: no molecule of {names} has this id; expected LEFT-SPACER-RIGHT, such as "
                "OH-2-H or NH2-6-COOH in the spelling of the data set's column molecule_id"
            )
    return tuple(task for task, ids in known.items() if ids.intersection(molecules))
