"""The options of `python -m dataset_builders export`."""

import argparse
from pathlib import Path

from dataset_builders.chemistry.levels import GFN2, LEVELS
from dataset_builders.core.option_parser import option_parser
from dataset_builders.tasks.editions import SPLITS
from dataset_builders.tasks.regions import TASKS
from harness.export.dataset_reading import DEFAULT_SPLITS
from harness.export.formats import FORMATS
from harness.export.keys import REFERENCE_KEYS, RESULT_KEYS


def parser() -> argparse.ArgumentParser:
    """The options of the command."""
    parser = option_parser(
        "python -m dataset_builders export",
        "DATASET --task TASK --format FORMAT --out DIR [options]",
        "Write `train` and `validation` of one task in a format that other training code reads, with the\n"
        "reference energies of the elements, training commands, and the training record to keep beside\n"
        "the model. No file of a test split is opened.",
        ("python -m dataset_builders export mini --task task3 --format extxyz --out export",),
    )
    add = parser.add_argument
    add("dataset", metavar="DATASET", help="`mini`, a folder, or a Hub id org/name[@revision]")
    add("--task", required=True, help=f"{', '.join(TASKS)}, or the data set's own")
    add("--labels", choices=(*LEVELS,), default=GFN2.name, help=f"level of theory of the labels (default: {GFN2.name})")
    add("--format", required=True, choices=(*FORMATS,), help="extxyz: for MACE, NequIP, SevenNet and graph-pes")
    add(
        "--out",
        type=Path,
        required=True,
        metavar="DIR",
        help="output folder; replaces an earlier export of the task",
    )
    add(
        "--split",
        nargs="+",
        action="extend",
        choices=SPLITS,
        metavar="SPLIT",
        help=f"splits to write, of {', '.join(SPLITS)} (default: {' and '.join(DEFAULT_SPLITS)}); a model that saw a "
        "test split can never be evaluated on the task",
    )
    names = f"(default: {REFERENCE_KEYS.energy} in extxyz, {RESULT_KEYS.energy} in npz)"
    add("--energy-key", metavar="NAME", help=f"name of the energies {names}; ASE reads `energy` as a calculator result")
    names = f"(default: {REFERENCE_KEYS.forces} in extxyz, {RESULT_KEYS.forces} in npz)"
    add("--forces-key", metavar="NAME", help=f"name of the forces {names}")
    return parser
