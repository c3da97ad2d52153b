"""Files of tensors on a full disk."""

from pathlib import Path

import pytest
import torch
from safetensors import SafetensorError
from safetensors.torch import save_file

from dataset_builders.core.whole_file import whole_file
from harness.networks.tensor_file import system_errors


def test_a_full_disk_is_the_error_of_the_system_and_names_the_file(tmp_path: Path) -> None:
    """safetensors wraps it in an error of its own, which names neither."""
    path = tmp_path / "model.safetensors"
    said = "Error while serializing: I/O error: No space left on device (os error 28)"
    with pytest.raises(OSError, match="No space left on device") as caught, whole_file(path), system_errors():
        raise SafetensorError(said)
    assert (caught.value.errno, caught.value.filename) == (28, str(path))


def test_a_place_that_takes_no_file_is_told_by_safetensors_itself(tmp_path: Path) -> None:
    """The form of its message is that of a real one."""
    with pytest.raises(FileNotFoundError, match="No such file or directory"), system_errors():
        save_file({"weights": torch.zeros(2)}, tmp_path / "gone" / "model.safetensors")


def test_other_errors_stay() -> None:
    """Such as tensors that cannot be written."""
    with pytest.raises(SafetensorError, match="invalid"), system_errors():
        raise SafetensorError("invalid tensor")
