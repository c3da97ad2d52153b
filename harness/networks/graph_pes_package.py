"""Imports graph-pes without the packages that only its own trainer, its data sets or other networks need.

graph-pes 1.0 imports Lightning to learn its rank, scikit-learn to fit energies of atoms, load-atoms and ASE's readers
to read data sets, and e3nn with SymPy for some of its networks. They take four seconds of every process that loads a
network, and only NequIP and MACE use one of them here.
"""

import os
from types import ModuleType
from typing import Any, Final

from harness.networks.light_import import light_import, look_up_later

_RANK: Final = "graph_pes.utils.distributed"
_NAMES_OF: Final = (
    "sklearn.linear_model",
    "load_atoms",
    "load_atoms.utils",
    "graph_pes.models.e3nn.mace",
    "graph_pes.models.e3nn.nequip",
    "graph_pes.models.orb",
)
_WHOLE: Final = ("ase.io", "ase.db")
_ALL_MODELS: Final = "ALL_PES_MODELS"


def graph_pes_models() -> Any:
    """`graph_pes.models`, with all networks."""
    with light_import(_NAMES_OF, _WHOLE, {_RANK: _rank_of_process()}):
        from graph_pes import models
    look_up_later(models, [_ALL_MODELS])
    return models


def _rank_of_process() -> ModuleType:
    """What graph-pes asks Lightning for: whether this process is the one that logs to standard output."""
    module = ModuleType(_RANK)
    rank = int(os.environ.get("RANK", "0"))
    constants = {"GLOBAL_RANK": rank, "WORLD_SIZE": int(os.environ.get("WORLD_SIZE", "1")), "IS_RANK_0": rank == 0}
    module.__dict__.update(constants)
    return module
