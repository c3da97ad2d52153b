"""The command line: `python -m model_cards CHECKPOINT --result RUN ...`."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from dataset_builders.command_line import exit_code_of


def main(argv: Sequence[str] | None = None) -> int:
    """Writes the card of a checkpoint and returns the exit code of the command."""
    parser = argparse.ArgumentParser(
        prog="python -m model_cards",
        description="Write the model card (README.md) of a checkpoint from the results of its evaluation.",
    )
    parser.add_argument(
        "checkpoint", type=Path, metavar="CHECKPOINT", help="folder with config.json and model.safetensors"
    )
    parser.add_argument(
        "--result",
        type=Path,
        action="append",
        required=True,
        metavar="RUN",
        help="run folder or result.json; repeat to compare models",
    )
    arguments = parser.parse_args(argv)
    return exit_code_of(lambda: _write(arguments.checkpoint, arguments.result))


def _write(checkpoint: Path, runs: Sequence[Path]) -> int:
    from harness.result import RunResult
    from model_cards.card import render_card

    paths = [run / "result.json" if run.is_dir() else run for run in runs]
    card = render_card(checkpoint, [RunResult.load(path) for path in paths])
    (checkpoint / "README.md").write_text(card, encoding="utf-8")
    print(f"wrote {checkpoint / 'README.md'}")
    return 0
