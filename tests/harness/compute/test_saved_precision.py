from pathlib import Path

import pytest
import torch

from dataset_builders.core.errors import ModelError
from harness.compute.saved_precision import own_precision, saved_dtype

FILE = Path("a.model")
INDICES = torch.tensor([1])


@pytest.mark.parametrize(("dtype", "name"), [(torch.float32, "float32"), (torch.float64, "float64")])
def test_the_precision_of_the_parameters_is_used(dtype: torch.dtype, name: str) -> None:
    parameters = [torch.zeros(2, dtype=dtype), INDICES, torch.ones(1, dtype=dtype)]
    assert own_precision(parameters, FILE) == saved_dtype(parameters) == name


@pytest.mark.parametrize(
    ("dtypes", "known", "found"),
    [
        ([torch.float16], "float16", "float16"),
        ([torch.float64, torch.float32], None, "float32 and float64"),
        ([], None, "no floating-point numbers"),
    ],
)
def test_another_precision_or_several_must_be_chosen(dtypes: list[torch.dtype], known: str | None, found: str) -> None:
    parameters = [INDICES, *(torch.zeros(1, dtype=dtype) for dtype in dtypes)]
    assert saved_dtype(parameters) == known
    with pytest.raises(ModelError, match=rf"a\.model was saved in {found}; choose --dtype float32 or float64"):
        own_precision(parameters, FILE)
