import json
import os
import re
import socket
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from dataset_builders.core.errors import UsageError
from harness.cli import main
from harness.data.dataset import open_dataset
from harness.inference.board import ARRIVAL_VARIABLE
from harness.inference.ranks import Ranks, current_ranks
from harness.results.cost import read_parts


def test_one_process_is_alone():
    assert current_ranks({}) == Ranks(0, 1)
    assert current_ranks({}).is_first


def test_torchrun_says_which_one_it_is():
    ranks = current_ranks({"RANK": "3", "WORLD_SIZE": "4"})
    assert (ranks.rank, ranks.world_size, ranks.is_first) == (3, 4, False)


@pytest.mark.parametrize("environment", [{"RANK": "2", "WORLD_SIZE": "2"}, {"RANK": "x"}, {"WORLD_SIZE": "-1"}])
def test_numbers_that_are_none_are_refused(environment):
    with pytest.raises(UsageError, match="expected a rank below the number of processes"):
        current_ranks(environment)


@pytest.fixture(scope="module")
def smaller(tmp_path_factory):
    """The molecules of up to 14 atoms of a task of mini: two shards of predictions for a model."""
    folder = tmp_path_factory.mktemp("smaller")
    for path in open_dataset("mini").directory.glob("task3/*.parquet"):
        (folder / "task3").mkdir(exist_ok=True)
        pq.write_table(pq.read_table(path, filters=[("n_atoms", "<=", 14)]), folder / "task3" / path.name)
    return folder


@pytest.mark.parametrize("command", [[], pytest.param(["compare"], marks=pytest.mark.slow)])
def test_three_models_in_two_processes_give_the_results_and_tables_of_one(tmp_path, smaller, command, capsys):
    models = [word for model in ("mmff94", "zero", "gfn1-xtb") for word in ("--model", model)]
    command = [*command, *models, "--dataset", str(smaller), "--batch-atoms", "256", "--quiet"]
    assert main([*command, "--output", str(tmp_path / "alone")]) == 0
    alone = capsys.readouterr().out
    together = run(launched([*command, "--output", str(tmp_path / "together")]))
    assert together.returncode == 0, together.stderr
    assert len(alone.splitlines()) > 10
    there = together.stdout.replace(str(tmp_path / "together"), str(tmp_path / "alone"))
    assert without_speeds(alone) == without_speeds(there)
    assert ", 2 processes" in " ".join(together.stdout.split())
    assert [len(read_parts(run)) for run in (tmp_path / "alone").glob("*/*")] == [1, 1, 1]
    assert [len(read_parts(run)) for run in (tmp_path / "together").glob("*/*")] == [2, 2, 2]
    first, second = (what_counts(tmp_path / name) for name in ("alone", "together"))
    assert len(first) == 3
    assert all(len(files) == 3 for files in first.values())
    assert first == second


def without_speeds(text):
    """What is printed, in one line, without what the evaluations cost."""
    flat = " ".join(text.split())
    return re.sub(r"[\d,.]+ structures/s on (?:(?! result:| [\w-]+ \([\w-]+\): | compared ).)*", "its speed", flat)


def launched(command):
    """The command in two processes, as torchrun starts them."""
    launch = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "--master-addr", "127.0.0.1"]
    return [*launch, "--master-port", str(free_port()), "-m", "harness", *command]


def run(command):
    # On a machine that is busy, one process may take much longer to start than the other.
    environment = os.environ | {"OMP_NUM_THREADS": "1", ARRIVAL_VARIABLE: "150"}
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=200, check=False)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def what_counts(output: Path) -> dict[str, dict[str, object]]:
    """Predictions and result by model and file name, without the time of the result."""
    counting = {}
    for directory in output.glob("*/*"):
        files: dict[str, object] = {path.name: path.read_bytes() for path in directory.glob("predictions/*.parquet")}
        result = json.loads((directory / "result.json").read_text())
        files["result"] = {key: value for key, value in result.items() if key not in ("created", "cost")}
        counting[directory.parent.name] = files
    return counting
