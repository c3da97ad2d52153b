"""Which names in a result are files of a checkpoint, and which are modules."""

import pytest

from harness.models.file_names import checkpoint_files


@pytest.mark.parametrize(
    ("files", "code"),
    [
        (("m.model",), ()),
        (("calcs:ok",), ("calcs:ok",)),
        (("weights.npz", "part/weights.pt", "calcs:ok", "constants"), ("calcs:ok", "constants")),
        (("weights.npz", "own", "own.calcs:ok", "own.constants"), ("own", "own.calcs:ok", "own.constants")),
        (("config.json", "model.safetensors", "model"), ("model",)),
        (("torchsim.json", "small.pth", "recipes", "recipes.small"), ("recipes", "recipes.small")),
    ],
)
def test_code_is_told_from_files(files: tuple[str, ...], code: tuple[str, ...]) -> None:
    found = checkpoint_files(dict.fromkeys(files, "0" * 64))
    assert tuple(name for name in files if name not in found) == code
