"""Measures the controls that the package ships, on mini at each level of theory that it has labels of.

python -m tests.benchmarks.shipped_controls              # all levels
python -m tests.benchmarks.shipped_controls --labels wb97m-d3bj

Writes harness/report/shipped_controls/<control>-<suffix>.json (GFN2-xTB: <control>.json), from which each table takes
the gap of GFN1-xTB. To be run again when the labels of mini, or the code that a control depends on, change.
"""

import argparse
import tempfile

from dataset_builders.chemistry.levels import LEVELS
from dataset_builders.folder.mini import MINI_DIRECTORY
from harness.api import evaluate
from harness.report.control_gaps import INSTALLED

CONTROLS = ("gfn1-xtb", "mmff94")


def levels_of_mini() -> list[str]:
    return [name for name, level in LEVELS.items() if any(MINI_DIRECTORY.glob(level.config("task[0-9]")))]


def file_name(control: str, level: str) -> str:
    return "-".join(filter(None, (control, LEVELS[level].suffix))) + ".json"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--labels", nargs="+", default=levels_of_mini(), choices=levels_of_mini())
    for level in parser.parse_args().labels:
        with tempfile.TemporaryDirectory() as output:
            for result in evaluate(list(CONTROLS), dataset="mini", labels=level, output=output, threads=1):
                path = INSTALLED / file_name(result.model.id, level)
                result.save(path)
                gaps = ", ".join(f"{name} {task.gap.value:.2f}" for name, task in result.tasks.items())
                print(f"{path.name}: {gaps}")


if __name__ == "__main__":
    main()
