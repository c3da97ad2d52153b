"""Imports mace-torch without its side effects, and without what only its trainer or its compiling need."""

import contextlib
import io
import os
import warnings
from collections.abc import Iterator
from typing import Any, Final

from harness.networks.light_import import light_import, look_up_later

_NO_WEIGHTS_ONLY: Final = "TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD"
_NAMES_OF: Final = ("mace.tools.train",)
"""Its trainer, which needs pandas, Matplotlib and torchmetrics."""

_WHOLE: Final = ("scipy.signal", "torch._dynamo")
"""For the plots of e3nn, and for compiling."""

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
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()), light_import(_NAMES_OF, _WHOLE):
            warnings.filterwarnings("ignore", message=f"Environment variable {_NO_WEIGHTS_ONLY}")
            from mace import modules, tools
        look_up_later(tools)
        yield modules
    finally:
        if before is None:
            os.environ.pop(_NO_WEIGHTS_ONLY, None)
        else:
            os.environ[_NO_WEIGHTS_ONLY] = before
