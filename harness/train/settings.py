"""The settings of a training run: network, optimiser and stopping rule."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final

from dataset_builders.core.errors import UsageError
from harness.networks.architecture import NetworkArguments

DEFAULT_SHAPE: Final = NetworkArguments(channels=64, radial_features=20, layers=3, cutoff=5.0)


@dataclass(frozen=True, slots=True)
class TrainSettings:
    """Hyper-parameters of a run.

    Exactly one of `budget_minutes`, `epochs` and `steps` is set. The learning-rate schedule depends on steps alone, not
    on the load of the machine; `pace` converts a budget to a number of steps.

    Attributes:
        architecture: Name of the architecture.
        arguments: Its shape.
        batch_size: Frames per step.
        learning_rate: Peak of the schedule.
        budget_minutes: Wall-clock time of the run, including validations but not reading of data or compiling; the
            number of steps is measured before the first.
        epochs: Passes over the training frames.
        steps: Steps of the optimiser.
        seed: Seed of the initial weights and of the order of the frames.
        warmup_fraction: Share of the run in which the learning rate rises linearly to its peak; from
            there it falls along a half cosine to `final_fraction` of the peak.
        final_fraction: Final learning rate, as a share of its peak.
        energy_weight: Weight of the energy error per atom (eV) in the loss relative to the length of the
            force error (eV/Å), whose weight is 1.
        ema_decay: Decay per step of the running mean of the weights, which is validated and saved.
        max_gradient_norm: Maximum gradient length; longer gradients are rescaled to it.
        validations: Number of validations, evenly spaced over the run.
        patience: Consecutive validations without a smaller force error after which the run ends early; 0 for never.
        compile: Whether the step is compiled.
        train_frames: Number of training frames, of those that `train` has; `None` for all.
    """

    architecture: str = "PaiNN"
    arguments: NetworkArguments | Mapping[str, Any] = DEFAULT_SHAPE
    batch_size: int = 4
    learning_rate: float = 1e-3
    budget_minutes: float | None = None
    epochs: int | None = None
    steps: int | None = None
    seed: int = 0
    warmup_fraction: float = 0.02
    final_fraction: float = 1e-3
    energy_weight: float = 1.0
    ema_decay: float = 0.999
    max_gradient_norm: float = 1.0
    validations: int = 20
    patience: int = 8
    compile: bool = False
    train_frames: int | None = None

    def __post_init__(self) -> None:
        lengths = (self.budget_minutes, self.epochs, self.steps)
        if sum(length is not None for length in lengths) != 1:
            raise UsageError(
                f"budget {self.budget_minutes} minutes, {self.epochs} epochs and {self.steps} steps; "
                "give exactly one of --budget, --epochs and --steps"
            )
        for option, value in self._positive():
            if not value > 0:
                raise UsageError(f"{option} {value}; expected a number above 0")
        for option, number in (("--seed", self.seed), ("--patience", self.patience)):
            if number < 0:
                raise UsageError(f"{option} {number}; expected 0 or more")

    @property
    def cutoff(self) -> float:
        """The neighbour cutoff of the network, Å."""
        arguments = self.arguments
        return float(arguments.cutoff if isinstance(arguments, NetworkArguments) else arguments["cutoff"])

    def as_dict(self) -> dict[str, Any]:
        """The settings as plain values, for writing to files."""
        return asdict(self)

    def _positive(self) -> list[tuple[str, float]]:
        options: list[tuple[str, float]] = [
            ("--batch-size", self.batch_size),
            ("--learning-rate", self.learning_rate),
            ("--validations", self.validations),
        ]
        for option, length in (("--budget", self.budget_minutes), ("--epochs", self.epochs), ("--steps", self.steps)):
            if length is not None:
                options.append((option, length))
        if isinstance(self.arguments, NetworkArguments):
            shape = self.arguments
            options += [
                ("--channels", shape.channels),
                ("--radial-features", shape.radial_features),
                ("--layers", shape.layers),
                ("--cutoff", shape.cutoff),
            ]
        return options
