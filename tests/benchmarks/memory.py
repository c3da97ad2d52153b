"""Peak memory of a whole evaluation against the number of structures.

python -m tests.benchmarks.memory --structures 10000 1000000
"""

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.benchmarks.many_structures import write_many

PROGRAM = """
import resource, sys
from harness.cli import main
code = main(sys.argv[1:])
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, file=sys.stderr)
sys.exit(code)
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--structures", type=int, nargs="+", default=[10_000, 100_000])
    parser.add_argument("--model", default="zero")
    arguments = parser.parse_args()
    print("structures  peak memory, MB     s")
    peaks = []
    for n_structures in arguments.structures:
        with tempfile.TemporaryDirectory() as folder:
            directory = Path(folder) / "data"
            write_many(directory, n_structures)
            options = ["--model", arguments.model, "--task", "task1", "--dataset", str(directory), "--quiet"]
            started = time.perf_counter()
            done = subprocess.run(
                [sys.executable, "-c", PROGRAM, *options, "--output", f"{folder}/results"],
                capture_output=True,
                text=True,
                check=True,
            )
            seconds = time.perf_counter() - started
        peaks.append(int(done.stderr.splitlines()[-1]) / 1024)
        print(f"{n_structures:>10} {peaks[-1]:>16.0f} {seconds:>6.0f}", flush=True)
    print(f"largest : smallest = {max(peaks) / min(peaks):.2f}")


if __name__ == "__main__":
    main()
