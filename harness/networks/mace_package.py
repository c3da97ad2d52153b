"""Imports mace-torch, whatever that changes meanwhile."""

import contextlib
import io
import os
import warnings
from collections.abc import Iterator
from typing import Any, Final

_NO_WEIGHTS_ONLY: Final = "TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD"


NEUTRAL_SINGLET: Final = {"total_charge": 0.0, "total_spin": 1.0, "elec_temp": 0.0}
"""What a model may ask about a molecule: charge, spin multiplicity and electronic temperature."""


@contextlib.contextmanager
def importing_mace() -> Iterator[Any]:
    """MACE's modules, imported before e3nn and without their side effect on the rest of the process.

    Importing mace switches off PyTorch's weights-only loading for every later `torch.load` of the
    process (e3nn 0.4 needs that while it is imported), so the switch is put back.
    """
    before = os.environ.get(_NO_WEIGHTS_ONLY)
    try:
        # Standard output is the report's: mace prints there when an accelerator library is absent.
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.filterwarnings("ignore", message=f"Environment variable {_NO_WEIGHTS_ONLY}")
            from mace import modules
        yield modules
    finally:
        if before is None:
            os.environ.pop(_NO_WEIGHTS_ONLY, None)
        else:
            os.environ[_NO_WEIGHTS_ONLY] = before
