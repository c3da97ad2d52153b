import pytest


@pytest.fixture(autouse=True)
def _device() -> None:
    """Skips what is in this folder where there is no CUDA device."""
    torch = pytest.importorskip("torch")
    if not torch.cuda.is_available():
        pytest.skip("needs a CUDA device")
