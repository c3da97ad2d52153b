"""Reading a data set on the Hub against reading a copy of it: structures per second, and peak memory of an evaluation.

The Hub is one of this machine, so that what is measured is the reader and not a network.

python -m tests.benchmarks.hub_reader --structures 10000 100000
"""

import argparse
import contextlib
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from tests.benchmarks.many_structures import write_many
from tests.benchmarks.memory import PROGRAM

REPO = "compgen/many"

UPLOAD = """
import sys
from huggingface_hub import HfApi
HfApi().create_repo(sys.argv[1], repo_type="dataset", exist_ok=True)
HfApi().upload_folder(repo_id=sys.argv[1], repo_type="dataset", folder_path=sys.argv[2], delete_patterns="*.parquet")
"""

RATE = """
import sys, time
from harness.data.dataset import open_dataset
from harness.data.rows import stream_split
dataset = open_dataset(sys.argv[1])
started = time.perf_counter()
n_rows = sum(len(rows) for rows in stream_split(dataset, "task1", "test_id"))
print(n_rows / (time.perf_counter() - started))
"""


@contextlib.contextmanager
def served() -> Iterator[dict[str, str]]:
    """A Hub in a process of its own; gives the environment of its clients."""
    command = [sys.executable, "-m", "tests.loopback_hub", "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        words = server.stdout.readline().removeprefix("export ").split()
        try:
            yield {**os.environ, "HF_HUB_OFFLINE": "0", **dict(word.split("=", 1) for word in words)}
        finally:
            server.terminate()


def said_by(program: str, environment: dict[str, str], *arguments: str) -> str:
    """What a program of Python prints last on either stream."""
    command = [sys.executable, "-c", program, *arguments]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(done.stderr)
    return (done.stderr if program == PROGRAM else done.stdout).splitlines()[-1]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--structures", type=int, nargs="+", default=[10_000, 100_000])
    print("structures  on the Hub, structures/s  a copy, structures/s  Hub : copy  peak memory, MB  that of a copy")
    for n_structures in parser.parse_args().structures:
        with tempfile.TemporaryDirectory() as folder, served() as environment:
            environment["HF_HOME"] = f"{folder}/huggingface"
            directory = Path(folder) / "data"
            write_many(directory, n_structures)
            said_by(UPLOAD + "print()", environment, REPO, str(directory))
            places = (f"hf://datasets/{REPO}", str(directory))
            there, here = (float(said_by(RATE, environment, place)) for place in places)
            peaks = [_peak(environment, place, f"{folder}/{n}") for n, place in enumerate(places)]
        rates = f"{n_structures:>10} {there:>25,.0f} {here:>21,.0f} {there / here:>11.2f}"
        print(f"{rates} {peaks[0]:>16.0f} {peaks[1]:>15.0f}", flush=True)


def _peak(environment: dict[str, str], place: str, output: str) -> float:
    """Most memory that an evaluation of zero forces takes, MB."""
    options = ("--model", "zero", "--task", "task1", "--quiet", "--dataset", place, "--output", output)
    return int(said_by(PROGRAM, environment, *options)) / 1024


if __name__ == "__main__":
    main()
