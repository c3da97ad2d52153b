"""Runs the recipes of `TRAINING.md` with the trainers of others, made small."""

import os
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from harness.worker.family_environments import environments_folder, find_environment

CONFIGS = {
    "graph-pes": "graph-pes.yaml",
    "NequIP": "nequip.yaml",
    "SevenNet": "sevennet.yaml",
    "graph-pes, fine-tuned": "graph-pes-tuned.yaml",
    "NequIP, fine-tuned": "nequip-tuned.yaml",
    "SevenNet, fine-tuned": "sevennet-tuned.yaml",
    "SO3LR, fine-tuned": "so3lr-tuned.yaml",
}
SMALLER = {
    "--max_num_epochs 200": "--max_num_epochs 2",
    "--num_channels 64": "--num_channels 4",
    "--device cuda": "--device cpu",
    "max_epochs: 200": "max_epochs: 2",
    "channels: 64": "channels: 8",
    "num_features: 32": "num_features: 4",
    "epoch: 200": "epoch: 2",
    "per_epoch: 10": "per_epoch: 1",
    "--max_num_epochs 50": "--max_num_epochs 2",
    "max_epochs: 50": "max_epochs: 2",
    "epoch: 50": "epoch: 2",
    "num_epochs: 50": "num_epochs: 1",
    "device: cuda": "device: cpu",
    "channel: 32": "channel: 4",
}
"""What a test changes in a recipe, so that it takes seconds on a CPU."""

TIMEOUT_S = 240


def section(out: Path, title: str) -> str:
    parts = re.split(r"^## ", (out / "TRAINING.md").read_text(encoding="utf-8"), flags=re.MULTILINE)
    return next(part for part in parts if part.partition("\n")[0] == title)


def block(text: str, language: str) -> str:
    found = re.search(rf"^```{language}\n(.*?)^```", text, flags=re.MULTILINE | re.DOTALL)
    assert found, text
    return found[1]


def run_recipe(out: Path, title: str, programs: Path, variables: Mapping[str, str] | None = None) -> None:
    """Does what a recipe says, with a smaller model and fewer epochs."""
    text = section(out, title)
    for large, small in SMALLER.items():
        text = text.replace(large, small)
    if title in CONFIGS:
        (out / CONFIGS[title]).write_text(block(text, "yaml"))
    path = f"{programs}{os.pathsep}{os.environ['PATH']}"
    # Without PYTHONPATH, by which other interpreters would find the packages of this one.
    environment = {**{name: value for name, value in os.environ.items() if name != "PYTHONPATH"}, **(variables or {})}
    ended = subprocess.run(
        ["bash", "-ec", block(text, "bash")],
        cwd=out,
        env={**environment, "PATH": path, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )
    assert ended.returncode == 0, ended.stdout[-3000:] + ended.stderr[-3000:]


def programs_of(family: str) -> Path:
    """Where the programs of a family are that has an environment of its own."""
    environment = find_environment(family)
    if environment is None:
        pytest.skip(f"there is no environment of {family}")
    return environments_folder() / family / "bin"


def programs_here(program: str, family: str) -> Path:
    """Where a program of this environment is."""
    programs = Path(sys.executable).parent
    if not (programs / program).exists():
        pytest.skip(f"{family} is not installed")
    return programs


def without_mpi(folder: Path) -> dict[str, str]:
    """Variables for graph-pes: Lightning, which it starts, stops where mpi4py is installed without an MPI library."""
    stub = folder / "stub" / "mpi4py"
    stub.mkdir(parents=True, exist_ok=True)
    (stub / "__init__.py").write_text('raise ImportError("no MPI library")')
    return {"PYTHONPATH": str(stub.parent)}
