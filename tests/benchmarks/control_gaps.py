"""How much of a gap comes from the make-up of the OOD molecules alone: `harness.scoring.composition`, of finished runs.

python -m tests.benchmarks.control_gaps results/gfn1-xtb/<key> results/mmff94/<key>
"""

import argparse
from pathlib import Path

from harness.results.manifest import Manifest
from harness.scoring.composition import composition_gap
from harness.study.predicted import predicted_task


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", nargs="+", type=Path, help="folder of a finished run")
    for run in parser.parse_args().run:
        print(f"{run.parent.name:<12} gap measured / expected from ID errors of the same environments")
        for task in Manifest.load(run).tasks:
            predicted = predicted_task(run, task)
            frames = predicted.frames
            gap = composition_gap(frames.test_id, frames.test_ood, predicted.smiles)
            measured, expected = (mae / gap.id_force_mae for mae in (gap.ood_force_mae, gap.expected_force_mae))
            print(f"{task:<12} {measured:.2f} / {expected:.2f}")


if __name__ == "__main__":
    main()
