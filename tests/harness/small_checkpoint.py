"""The config of a checkpoint small enough for a test."""

from typing import Final

from harness.networks.architecture import NetworkArguments
from harness.networks.checkpoint_format import CheckpointConfig

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
