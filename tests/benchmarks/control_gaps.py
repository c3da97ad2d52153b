"""How much of a gap comes from the composition of the OOD molecules alone, of finished runs.

python -m tests.benchmarks.control_gaps results/gfn1-xtb/<key> results/mmff94/<key>
"""

import argparse
from pathlib import Path

from dataset_builders.tasks.drawn import Drawn
from harness.results.result import RESULT_NAME, RunResult
from harness.scoring.composition import composition_gap
from harness.study.predicted import predicted_task


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", nargs="+", type=Path, help="folder of a finished run")
    for run in parser.parse_args().run:
        print(f"{run.parent.name:<12} gap measured / expected from ID errors of the same environments")
        result = RunResult.load(run / RESULT_NAME)
        for task in result.tasks:
            predicted = predicted_task(run, task)
            frames = predicted.frames
            found = result.tasks[task]
            drawn = Drawn(found.clusters, {row.molecule_id: row.drawn for row in found.by_molecule})
            gap = composition_gap(frames.test_id, frames.test_ood, predicted.smiles, drawn)
            measured, expected = (mae / gap.id_force_mae for mae in (gap.ood_force_mae, gap.expected_force_mae))
            print(f"{task:<12} {measured:.2f} / {expected:.2f}")


if __name__ == "__main__":
    main()
