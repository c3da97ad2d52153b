"""`python -m dataset_builders relabel`: its options and their implementation."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Final

from dataset_builders.chemistry.levels import GFN2, LEVELS, find_level
from dataset_builders.core.sole_user import sole_user
from dataset_builders.core.terminal import terminal_width
from dataset_builders.engines.options import add_engine_options, local_folder

if TYPE_CHECKING:
    from dataset_builders.relabel.frames_to_label import RelabelSettings

PROGRAMS: Final = ("auto", "gpu4pyscf")


def add_relabel_options(parser: argparse.ArgumentParser) -> None:
    """Adds the options of `relabel`, except the folder, to its parser."""
    parser.add_argument("--labels", required=True, metavar="LEVEL", help=f"one of {', '.join(LEVELS)}")
    parser.add_argument(
        "--from",
        dest="source_level",
        default=GFN2.name,
        metavar="LEVEL",
        help="level of the frames to take (%(default)s)",
    )
    parser.add_argument("--task", action="extend", nargs="+", metavar="TASK", help="default: all tasks of DIR")
    parser.add_argument(
        "--subset",
        action="extend",
        nargs="+",
        metavar="SPLIT=N",
        help="frames of each molecule to label, such as train=1 validation=0 test_id=4 test_ood=4, spread over its "
        "bursts; a split that is not named is taken completely, and one with 0 frames is omitted",
    )
    parser.add_argument("--out", metavar="OUT", help="data-set folder to write (default: DIR)")
    parser.add_argument(
        "--work", metavar="WORK", help="folder of finished labels, shared by all workers (default: OUT.work)"
    )
    parser.add_argument(
        "--labels-from",
        action="extend",
        nargs="+",
        type=Path,
        default=[],
        metavar="KEPT",
        help="folders written by --keep-labels, whose labels are not recomputed",
    )
    parser.add_argument(
        "--cheapest-first",
        action="store_true",
        help="label small molecules first, so that an interrupted run leaves more labels (default: the most expensive "
        "first, so that no worker idles at the end)",
    )
    parser.add_argument(
        "--program",
        choices=PROGRAMS,
        default="auto",
        help="for a density functional: gpu4pyscf requires a GPU; auto uses a GPU if there is one (default: "
        "%(default)s)",
    )
    stage = add_engine_options(parser, "labels", "a few labels, which are kept")
    stage.add_argument(
        "--keep-labels",
        type=Path,
        metavar="KEPT",
        help="write the finished labels to a small file in this folder, for version control, and stop; works while "
        "another command computes more",
    )


def run_relabel(arguments: argparse.Namespace, source: Path) -> int:
    """Computes labels, plans, computes a shard, or merges, according to the options.

    Args:
        arguments: As parsed.
        source: Folder of the data set from the command line.
    """
    from dataset_builders.chemistry.dft import require_gpu
    from dataset_builders.engines.choice import choose_executor
    from dataset_builders.engines.shares import parse_shard
    from dataset_builders.relabel.certified_labels import merge_labels, relabel_edition
    from dataset_builders.relabel.relabelled_edition import label_folder, make_labels

    open_pool = choose_executor(arguments.executor, arguments.workers)
    settings = _settings(arguments, source)
    if arguments.program == "gpu4pyscf":
        require_gpu(settings.level)
    if arguments.keep_labels:
        from dataset_builders.relabel.relabel_keep import keep_labels

        print(keep_labels(settings, arguments.keep_labels).text())
        return 0
    if arguments.plan:
        from dataset_builders.relabel.relabel_plan import plan_relabel

        print(plan_relabel(settings, open_pool).text(terminal_width()))
        return 0
    if arguments.shard:
        shard = parse_shard(arguments.shard)
        frames = make_labels(settings, open_pool, shard)
        print(
            f"shard {shard} is done: its {len(frames):,} labels are in {label_folder(settings)}. When all shards are "
            "done, run the same command with --merge instead of --shard"
        )
        return 0
    with sole_user(settings.out, "build", "choose another --out"):
        report = merge_labels(settings) if arguments.merge else relabel_edition(settings, open_pool)
    outcome = "certified" if report.ok else "a slice, which is not certified"
    configs = ", ".join(settings.level.config(task.name) for task in settings.tasks)
    print(f"wrote {configs} in {arguments.out or arguments.directory}, {outcome}")
    return 0


def _settings(arguments: argparse.Namespace, source: Path) -> "RelabelSettings":
    from dataset_builders.folder.task_folders import task_in, task_names
    from dataset_builders.relabel.frames_to_label import RelabelSettings, parse_frame_counts

    source_level = find_level(arguments.source_level)
    out = source if arguments.out is None else local_folder("--out", arguments.out)
    work_dir = local_folder("--work", arguments.work) if arguments.work else out.with_name(out.name + ".work")
    names = dict.fromkeys(arguments.task or task_names(source, source_level))
    return RelabelSettings(
        source=source,
        source_level=source_level,
        tasks=tuple(task_in(source, name, source_level) for name in names),
        level=find_level(arguments.labels),
        frame_counts=parse_frame_counts(arguments.subset or ()),
        out=out,
        work_dir=work_dir,
        labels_from=tuple(arguments.labels_from),
        cheapest_first=arguments.cheapest_first,
    )
