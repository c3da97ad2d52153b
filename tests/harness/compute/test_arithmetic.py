"""Full precision whatever the environment, PyTorch's defaults and other code say."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from dataset_builders.core.errors import SetupError
from harness.compute.arithmetic import (
    LOWERING,
    deciding_variables,
    full_precision,
    lowering_variables,
    neutralise_variables,
    precision_in_use,
)
from harness.compute.device import resolve_device
from harness.core.potential import PotentialTraits
from harness.results.identity import run_identity
from harness.worker.sandbox import scrubbed_environment

SETTINGS = """
import torch
from harness.compute.device import resolve_device
resolve_device("cpu")
print(torch.get_float32_matmul_precision(), torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32,
      torch.backends.cuda.matmul.allow_fp16_reduced_precision_reduction,
      torch.backends.cuda.matmul.allow_bf16_reduced_precision_reduction)
"""


@pytest.mark.parametrize("variables", [{}, {"TORCH_ALLOW_TF32_CUBLAS_OVERRIDE": "1"}])
def test_whoever_resolves_a_device_computes_in_full_precision(variables: dict[str, str]) -> None:
    done = subprocess.run(
        [sys.executable, "-c", SETTINGS], env=os.environ | variables, capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["highest", "False", "False", "False", "False"]


def test_what_is_in_use_is_reported() -> None:
    resolve_device("cpu")
    assert precision_in_use() == {"float32_products": "ieee"}
    torch.backends.cuda.matmul.allow_tf32 = True
    try:
        assert "cuda.matmul" in precision_in_use()["float32_products"]
    finally:
        assert set(full_precision().values()) == {"tf32"}
    assert precision_in_use() == {"float32_products": "ieee"}


@pytest.mark.parametrize("name", list(LOWERING))
def test_variables_that_lower_the_precision_do_not_count(
    name: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv(name, "BF16" if "FPMATH" in name else "1")
    assert set(lowering_variables(os.environ)) == {name}
    neutralise_variables()
    assert lowering_variables(os.environ) == {}
    assert os.environ[name] == LOWERING[name]
    assert f"{name}=" in caplog.text
    assert "is ignored: everything is computed in full precision" in caplog.text


@pytest.mark.parametrize("value", ["", "0", "OFF", "STRICT", "highest"])
def test_variables_that_ask_for_full_precision_are_left_alone(value: str) -> None:
    assert lowering_variables(dict.fromkeys(LOWERING, value)) == {}


def test_one_that_cuda_has_read_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NVIDIA_TF32_OVERRIDE", "1")
    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: True)
    with pytest.raises(SetupError, match="NVIDIA_TF32_OVERRIDE is 1, and CUDA has already read it in this process"):
        neutralise_variables()


def test_a_setting_that_does_not_stay_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("harness.compute.arithmetic._set_all", lambda torch: None)
    torch.backends.cuda.matmul.allow_tf32 = True
    with pytest.raises(SetupError, match=r"PyTorch's setting .*matmul.* stays at .*expected full precision"):
        full_precision()
    monkeypatch.undo()
    full_precision()


DECIDING = {
    "CUBLAS_WORKSPACE_CONFIG": ":4096:8",
    "OPENBLAS_CORETYPE": "Haswell",
    "MKL_CBWR": "COMPATIBLE",
    "ATEN_CPU_CAPABILITY": "default",
    "NPY_DISABLE_CPU_FEATURES": "AVX512F",
    "OMP_NUM_THREADS": "3",
}


def test_a_worker_gets_what_changes_numbers_and_nothing_that_lowers_them() -> None:
    given = {**DECIDING, **dict.fromkeys(LOWERING, "1"), "OMP_PROC_BIND": "true", "MKL_DYNAMIC": "0", "SECRET": "s"}
    got = scrubbed_environment(given, Path("/home"), ())
    assert DECIDING.items() <= got.items()
    assert {"OMP_PROC_BIND", "MKL_DYNAMIC"} <= got.keys()
    assert lowering_variables(got) == {}
    assert got["NVIDIA_TF32_OVERRIDE"] == "0"
    assert "SECRET" not in got


def test_what_decides_on_the_last_digits_is_recorded() -> None:
    assert deciding_variables({**DECIDING, "HOME": "/home"}) == DECIDING
    assert "OMP_NUM_THREADS" not in deciding_variables(DECIDING, threads=False)


def test_precision_and_variables_stand_in_the_identity(tiny_dataset: Path) -> None:
    from dataclasses import replace

    from harness.data.dataset import open_dataset

    dataset = open_dataset(str(tiny_dataset))
    traits = PotentialTraits("model", "ase", None)

    def identity(**changes: object) -> dict[str, str]:
        return run_identity(replace(traits, **changes), dataset, ("task1",), 512)  # type: ignore[arg-type]

    plain = identity()
    precision = identity(precision={"float32_products": "ieee"})
    haswell = identity(variables={"OPENBLAS_CORETYPE": "Haswell"})
    assert len({str(each) for each in (plain, precision, haswell)}) == 3
    assert identity(variables={"OMP_NUM_THREADS": "3"}) == plain
