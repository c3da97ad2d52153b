"""The whole way of a model that the training code of another project makes: export, train, evaluate."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from dataset_builders.cli import main as data
from harness.cli import main
from harness.results.result import RunResult

TRAIN = """\
--name m --work_dir runs --model_dir runs --train_file train.extxyz --valid_file validation.extxyz
--energy_key REF_energy --forces_key REF_forces --E0s average --model MACE --r_max 3.0 --num_channels 4 --max_L 0
--num_interactions 1 --batch_size 64 --valid_batch_size 140 --max_num_epochs 2 --default_dtype float32 --device cpu
--seed 0
"""


@pytest.mark.slow
def test_a_mace_of_mace_run_train_is_from_scratch_on_its_task(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("mace")
    export = tmp_path / "export"
    assert data(["export", "mini", "--task", "task3", "--format", "extxyz", "--out", str(export)]) == 0
    code = "from mace.cli.run_train import main; main()"
    trained = subprocess.run(
        [sys.executable, "-c", code, *TRAIN.split()], cwd=export, capture_output=True, text=True, check=False
    )
    assert trained.returncode == 0, trained.stderr
    model = export / "runs" / "m.model"
    command = ["--model", str(model), "--trust-checkpoint", "--quiet"]
    assert main([*command, "--trained-on", "task3", "--output", str(tmp_path / "stated")]) == 0
    (path,) = (tmp_path / "stated").glob("*/*/result.json")
    stated = RunResult.load(path)
    assert (stated.model.protocol, stated.model.level_of_theory, [*stated.tasks]) == (
        "from-scratch",
        "GFN2-xTB",
        ["task3"],
    )
    capsys.readouterr()
    assert main([*command, "--task", "task3", "--output", str(tmp_path / "silent")]) == 0
    assert "does not state its training and is taken as zero-shot" in " ".join(capsys.readouterr().out.split())
    shutil.copy(export / "mlip-ood.json", model.with_name("m.model.mlip-ood.json"))
    assert main([*command, "--output", str(tmp_path / "beside")]) == 0
    (path,) = (tmp_path / "beside").glob("*/*/result.json")
    beside = RunResult.load(path).model
    assert (beside.training, beside.stated_by, beside.unchecked) == ("stated", "mlip-ood.json", None)
    assert (beside.protocol, beside.trained_on) == ("from-scratch", "task3")
