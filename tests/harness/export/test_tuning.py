"""Checkpoints that their own tools train further: each recipe runs, and its model counts as fine-tuned on its task."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from harness.cli import main
from harness.results.result import RunResult
from tests.harness.export.exporting import export
from tests.harness.export.trainers import block, programs_here, programs_of, run_recipe, section, without_mpi

CASES: dict[str, tuple[str, str, str, Callable[[], Path]]] = {
    "MACE": (
        "runs/mace/mace.model",
        "base.model",
        "runs/mace-tuned/mace-tuned.model",
        lambda: programs_here("mace_run_train", "mace-torch"),
    ),
    "graph-pes": (
        "runs/graph-pes/model.pt",
        "base.pt",
        "runs/graph-pes-tuned/model.pt",
        lambda: programs_here("graph-pes-train", "graph-pes"),
    ),
    "NequIP": (
        "runs/nequip/model.nequip.zip",
        "base.nequip.zip",
        "runs/nequip-tuned/model.nequip.zip",
        lambda: programs_of("nequip"),
    ),
    "SevenNet": (
        "runs/sevennet/checkpoint_best.pth",
        "base.pth",
        "runs/sevennet-tuned/checkpoint_best.pth",
        lambda: programs_of("sevennet"),
    ),
}
"""Where the recipe from scratch leaves its model, the name of a base, where fine-tuning leaves its own, programs."""


@pytest.mark.slow
def test_so3lr_is_trained_further_from_the_weights_in_its_package(
    tiny_dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    programs = programs_of("so3lr")
    out = export(tiny_dataset, tmp_path / "out", "extxyz", task="task1")
    run_recipe(out, "SO3LR, fine-tuned", programs)
    tuned = out / "runs" / "so3lr-tuned" / "so3lr-tuned.so3lr.pt"
    monkeypatch.chdir(tmp_path)
    options = ["--dataset", str(tiny_dataset), "--trust-checkpoint", "--device", "cpu", "--quiet"]
    stated = ["--trained-on", "task1", "--base", "so3lr", "--output", "results"]
    assert main(["--model", str(tuned), *options, *stated]) == 0
    (path,) = Path("results").glob("*/*/result.json")
    result = RunResult.load(path)
    assert (result.model.family, result.model.protocol, result.model.base) == ("so3lr", "fine-tuned", "so3lr")
    assert result.tasks["task1"].n_failed == 0


# Two trainings and an evaluation each.
@pytest.mark.slow
@pytest.mark.parametrize("trainer", CASES)
def test_a_checkpoint_is_trained_further_and_evaluated(
    trainer: str, tiny_dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scratch, base, tuned, programs = CASES[trainer]
    found = programs()
    variables = without_mpi(tmp_path) if trainer == "graph-pes" else None
    out = export(tiny_dataset, tmp_path / "out", "extxyz", task="task1")
    run_recipe(out, trainer, found, variables)
    assert (out / scratch).stat().st_size
    shutil.copy(out / scratch, out / base)
    run_recipe(out, f"{trainer}, fine-tuned", found, variables)
    assert (out / tuned).read_bytes() != (out / base).read_bytes()

    monkeypatch.chdir(tmp_path)
    options = ["--dataset", str(tiny_dataset), "--trust-checkpoint", "--device", "cpu", "--quiet"]
    if trainer == "graph-pes":
        Path("calculator_of_graph_pes.py").write_text(block(section(out, "graph-pes"), "python"))
        options += ["--calculator", "calculator_of_graph_pes:load"]
    for name, folder in (variables or {}).items():
        monkeypatch.setenv(name, os.pathsep.join(filter(None, (folder, os.environ.get(name)))))
    stated = ["--trained-on", "task1", "--base", "org/base"]
    assert main(["--model", str(out / tuned), *options, *stated, "--output", "results"]) == 0
    (path,) = Path("results").glob("*/*/result.json")
    result = RunResult.load(path)
    model = result.model
    assert (model.protocol, model.trained_on, model.base, model.training) == (
        "fine-tuned",
        "task1",
        "org/base",
        "stated",
    )
    assert (model.level_of_theory, [*result.tasks], result.tasks["task1"].n_failed) == ("MMFF94", ["task1"], 0)
