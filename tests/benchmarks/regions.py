"""Regions side by side, from the records of a study: what each model has on each of them, as a table in Markdown.

python -m tests.benchmarks.regions docs/results/100-10-5-10 docs/results/100-10-5-10-regions
"""

import argparse
from pathlib import Path

from dataset_builders.tasks.regions import in_order
from harness.study.run_record import read_records
from harness.study.summary import Line, Spread, summarise

ROWS = ("gfn1-xtb", "additive", "painn", "painn-delta", "ani2x-tuned")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("results", nargs="+", type=Path, help="folder of records")
    parser.add_argument("--rows", nargs="+", default=ROWS, help=f"rows (default: {' '.join(ROWS)})")
    arguments = parser.parse_args()
    records = [record for folder in arguments.results for record in read_records(folder)]
    lines = {(line.row, line.task): line for line in summarise(records)}
    print("| region | model | ID, meV/Å | OOD, meV/Å | gap | excess |\n|---|---|---:|---:|---:|---:|")
    for task in sorted(in_order(task for _, task in lines), key=lambda name: name.partition("_")[0]):
        name = f"`{task}`"
        for row in arguments.rows:
            if (row, task) in lines:
                print(f"| {name} | {row} | {' | '.join(cells(lines[row, task]))} |")
                name = ""


def cells(line: Line) -> tuple[str, ...]:
    errors = [f"{(line.force_mae[part].value or 0.0) * 1e3:.1f}" for part in ("test_id", "test_ood")]
    return (*errors, ratio(line.gap), ratio(line.excess))


def ratio(spread: Spread) -> str:
    if spread.value is None:
        return "–"
    if spread.low is None or spread.high is None:
        return f"{spread.value:.2f}"
    return f"{spread.value:.2f} ({spread.low:.2f}–{spread.high:.2f})"


if __name__ == "__main__":
    main()
