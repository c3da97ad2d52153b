"""The config of a checkpoint small enough for a test."""

from dataclasses import replace
from pathlib import Path
from typing import Final

from harness.core.potential import DtypeName
from harness.networks.architecture import NetworkArguments
from harness.networks.checkpoint_format import CheckpointConfig, symbol_of, write_checkpoint

SMALL_CONFIG: Final = CheckpointConfig(
    architecture="PaiNN",
    arguments=NetworkArguments(channels=4, radial_features=5, layers=2, cutoff=4.0),
    elements=(1, 6, 8),
    reference_energies={"H": -10.0, "C": -50.0, "O": -100.0},
    dtype="float32",
    trained_on="task2",
    protocol="from-scratch",
    level_of_theory="GFN2-xTB",
    training={"seed": 0},
)


def write_small_checkpoint(folder: Path, task: str, dtype: DtypeName = "float32") -> Path:
    """Writes a checkpoint for a task of mini; its weights are random, and the same each time."""
    import torch

    from harness.networks.networks import build_network
    from harness.networks.tensors import network_tensors

    elements = (1, 6, 7, 8, 9, 16, 17)
    energies = {symbol_of(number): -10.0 * number for number in elements}
    config = replace(SMALL_CONFIG, elements=elements, reference_energies=energies, trained_on=task, dtype=dtype)
    torch.manual_seed(0)
    network = build_network(config.architecture, config.arguments, elements).to(getattr(torch, dtype))
    write_checkpoint(folder, config, network_tensors(network))
    return folder
