"""Imports mace-torch without its side effects."""

import contextlib
import io
import os
import warnings
from collections.abc import Iterator
from typing import Any, Final

_NO_WEIGHTS_ONLY: Final = "TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD"


NEUTRAL_SINGLET: Final = {"total_charge": 0.0, "total_spin": 1.0, "elec_temp": 0.0}
"""Molecular properties that a model may take as input: charge, spin multiplicity and electronic temperature."""


@contextlib.contextmanager
def importing_mace() -> Iterator[Any]:
    """MACE's modules, imported before e3nn and without side effects on the rest of the process.

    Importing mace disables PyTorch's weights-only loading for every later `torch.load` of the
    process (e3nn 0.4 needs that during import), so the setting is restored.
    """
    before = os.environ.get(_NO_WEIGHTS_ONLY)
    try:
        # Standard output is reserved for the report: mace prints to it when an accelerator library is absent.
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.filterwarnings("ignore", message=f"Environment variable {_NO_WEIGHTS_ONLY}")
            from mace import modules
        yield modules
    finally:
        if before is None:
            os.environ.pop(_NO_WEIGHTS_ONLY, None)
        else:
            os.environ[_NO_WEIGHTS_ONLY] = before
