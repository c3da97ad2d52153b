"""Checkpoints of `harness train` whose network comes from an installed plug-in: code that nobody here knows."""

from pathlib import Path
from typing import Final

from harness.core.family import Family
from harness.core.potential import LoadOptions, Potential
from harness.core.source_code import working_files
from harness.networks.checkpoint_format import read_config
from harness.networks.networks import require_plugin
from harness.potentials.graph_pes import load_network
from harness.trust.pickles import sha256_of

FAMILY: Final = Family("plugin", __name__, "torch", folder=("config.json", "model.safetensors"), in_config=True)


def load(path: Path, options: LoadOptions) -> Potential:
    """Loads a checkpoint folder of `python -m harness train`.

    No code is looked up but that of an installed package which adds the architecture that the checkpoint names.

    Args:
        path: Folder with `config.json` and `model.safetensors`.
        options: Device and precision.

    Raises:
        ModelError: If the checkpoint is incomplete or corrupt, its plug-in is not installed, builds another network or
            none, or its training did not come to its end and that was not allowed.
        SetupError: If the plug-in cannot be used.
        UsageError: If the device is not there, or a readout head was requested.
    """
    config = read_config(path)
    architecture = require_plugin(path, config)
    assert architecture is not None  # `read_config` knows the family by its plug-in
    # Of a plug-in that is worked on, no version tells what its code is.
    code = {name: sha256_of(file) for name, file in working_files(architecture.build.__module__).items()}
    return load_network(path, config, options, architecture.computes_with, code)
