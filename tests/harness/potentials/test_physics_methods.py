"""What the contract does not ask of the methods without a checkpoint, and devices."""

import numpy as np
import pytest
import torch

from dataset_builders.chemistry.xtb import cold_singlepoint
from dataset_builders.core.errors import DataError, UsageError
from dataset_builders.tasks.words import word
from harness.compute.device import out_of_memory_as_itself, resolve_device
from harness.core.batch import StructureBatch, check_prediction
from harness.core.potential import LoadOptions
from harness.models.registry import load_potential
from tests.harness.potentials.molecules import molecules, packed, unpacked


def test_threads_do_not_change_a_bit() -> None:
    batch = molecules((word("OH", 1, "H"), word("CHO", 1, "H"), word("H", 1, "H")) * 2)
    one, two = (load_potential("gfn2-xtb", LoadOptions(threads=threads)).compute(batch) for threads in (1, 2))
    np.testing.assert_array_equal(one.energy, two.energy)
    np.testing.assert_array_equal(one.forces, two.forces)


def test_gfn2_gives_back_the_label() -> None:
    batch = molecules((word("OH", 1, "H"),))
    energy, forces = cold_singlepoint("GFN2-xTB", batch.atomic_numbers, batch.positions)
    prediction = load_potential("gfn2-xtb", LoadOptions()).compute(batch)
    assert prediction.energy[0] == pytest.approx(energy, abs=1e-9)
    np.testing.assert_allclose(prediction.forces, forces, atol=1e-9)


def test_the_openmp_threads_of_the_caller_stay_as_they_were() -> None:
    threadpoolctl = pytest.importorskip("threadpoolctl")
    potential = load_potential("gfn2-xtb", LoadOptions())
    with threadpoolctl.threadpool_limits(limits=2, user_api="openmp"):
        before = threadpoolctl.threadpool_info()
        potential.compute(molecules((word("H", 1, "H"),)))
        assert threadpoolctl.threadpool_info() == before


def test_a_structure_that_does_not_converge_fails_alone() -> None:
    good = unpacked(molecules())[0]
    numbers, positions, smiles = good
    batch = packed([good, (numbers, np.zeros_like(positions), smiles), good])
    prediction = load_potential("gfn2-xtb", LoadOptions(threads=2)).compute(batch)
    assert list(prediction.failures) == [1]
    assert "GFN2-xTB" in prediction.failures[1]
    assert np.isnan(prediction.energy).tolist() == [False, True, False]
    assert np.isnan(prediction.forces).all(axis=1).tolist() == [False] * 6 + [True] * 6 + [False] * 6
    assert check_prediction(prediction, batch, "gfn2-xtb").failures == prediction.failures


def test_a_molecule_without_mmff94_parameters_fails_alone() -> None:
    good = unpacked(molecules())[0]
    boron = (np.array([5, 1, 1, 1]), np.eye(4, 3), "B")
    prediction = load_potential("mmff94", LoadOptions()).compute(packed([boron, good]))
    assert prediction.failures == {0: "MMFF94 has no parameters for B"}
    assert np.isnan(prediction.forces[:4]).all()
    assert np.isfinite(prediction.forces[4:]).all()


def test_mmff94_refuses_atoms_that_are_not_those_of_the_smiles() -> None:
    numbers, positions, smiles = unpacked(molecules())[0]
    with pytest.raises(DataError, match=r"structure 0 of the batch has atomic numbers .* but its SMILES CO has"):
        load_potential("mmff94", LoadOptions()).compute(packed([(numbers[::-1].copy(), positions, smiles)]))


@pytest.mark.parametrize("name", ["zero", "mmff94", "gfn2-xtb"])
def test_what_a_method_cannot_do_is_refused(name: str) -> None:
    with pytest.raises(UsageError, match=f"{name} runs on the CPU only, not on 'cuda:1'"):
        load_potential(name, LoadOptions(device="cuda:1"))
    with pytest.raises(UsageError, match=f"{name} computes in float64 only, not in 'float32'"):
        load_potential(name, LoadOptions(dtype="float32"))


def test_fewer_than_one_thread_is_refused() -> None:
    with pytest.raises(UsageError, match="0 threads for gfn1-xtb; expected 1 or more"):
        load_potential("gfn1-xtb", LoadOptions(threads=0))


def test_a_device_that_is_there_is_resolved(monkeypatch: pytest.MonkeyPatch) -> None:
    assert resolve_device("cpu") == torch.device("cpu")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert resolve_device("auto") == resolve_device("cuda") == torch.device("cuda", 0)
    assert resolve_device("cuda:1") == torch.device("cuda", 1)
    with pytest.raises(UsageError, match="device 'cuda:2' is not available: PyTorch sees 2 CUDA"):
        resolve_device("cuda:2")
    monkeypatch.setenv("LOCAL_RANK", "1")
    assert resolve_device("auto") == resolve_device("cuda") == torch.device("cuda", 1)
    assert resolve_device("cuda:0") == torch.device("cuda", 0)


def test_without_cuda_auto_is_the_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert resolve_device("auto") == torch.device("cpu")
    with pytest.raises(UsageError, match="device 'cuda' is not available: PyTorch sees 0 CUDA"):
        resolve_device("cuda")


@pytest.mark.parametrize("name", ["gpu", "cuda:", "cuda:x", "CPU", ""])
def test_an_unknown_device_is_named(name: str) -> None:
    with pytest.raises(UsageError, match=f"unknown device '{name}'; expected auto, cpu, cuda or cuda:N"):
        resolve_device(name)


def test_a_full_device_inside_torchscript_is_distinguished_from_a_broken_model() -> None:
    with pytest.raises(torch.OutOfMemoryError, match="out of memory"), out_of_memory_as_itself():
        raise RuntimeError("The following operation failed in the TorchScript interpreter: CUDA out of memory.")
    with pytest.raises(RuntimeError, match="shape mismatch") as caught, out_of_memory_as_itself():
        raise RuntimeError("shape mismatch")
    assert not isinstance(caught.value, torch.OutOfMemoryError)


def test_one_atom_is_computed_and_feels_no_force() -> None:
    helium = StructureBatch(np.array([2]), np.zeros((1, 3)), np.array([1]), ("[He]",))
    prediction = load_potential("gfn1-xtb", LoadOptions()).compute(helium)
    assert np.isfinite(prediction.energy).all()
    np.testing.assert_allclose(prediction.forces, 0.0, atol=1e-12)
