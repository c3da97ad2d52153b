"""Imports networks of fairchem-core 1 without the packages that it compiles for each version of PyTorch.

fairchem-core 1.10 takes two functions of torch-scatter and one class of torch-sparse. These packages have no wheels on
PyPI, so every installation compiles them. PyTorch Geometric has the same functions without compiled code, and a
placeholder of the class, which none of the networks here uses: they get their triplets from `MoleculeGraph`.
"""

import contextlib
import importlib
import sys
import warnings
from collections.abc import Iterator
from types import ModuleType
from typing import Any


def import_fairchem1(module: str) -> Any:
    """A module below `fairchem.core.models`.

    Raises:
        ImportError: If fairchem-core is not installed, or not in a version that has it.
    """
    with _stand_ins(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return importlib.import_module(f"fairchem.core.models.{module}")


@contextlib.contextmanager
def _stand_ins() -> Iterator[None]:
    """Puts functions of PyTorch Geometric in the place of the compiled packages, also of installed ones."""
    from torch_geometric import typing, utils  # before them, since it looks for the compiled packages itself

    scatter, sparse = ModuleType("torch_scatter"), ModuleType("torch_sparse")
    scatter.__dict__.update(scatter=utils.scatter, segment_csr=utils.segment)
    sparse.__dict__.update(SparseTensor=typing.SparseTensor)
    placed = {module.__name__: module for module in (scatter, sparse)}
    before = {name: sys.modules[name] for name in placed if name in sys.modules}
    sys.modules.update(placed)
    try:
        yield
    finally:
        for name in placed:
            del sys.modules[name]
        sys.modules.update(before)
