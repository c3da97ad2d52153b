"""What a training run is told: the network, the optimiser and when to stop."""

from dataclasses import asdict, dataclass
from typing import Any, Final

from dataset_builders.errors import UsageError
from harness.checkpoints.format import Architecture, NetworkArguments

DEFAULT_SHAPE: Final = NetworkArguments(channels=64, radial_features=20, layers=3, cutoff=5.0)


@dataclass(frozen=True, slots=True)
class TrainSettings:
    """Hyper-parameters of a run.

    Exactly one of `budget_minutes` and `epochs` is set; the learning-rate schedule spans it.

    Attributes:
        architecture: Network of graph-pes.
        arguments: Its shape.
        batch_size: Frames of a step.
        learning_rate: Peak of the schedule.
        budget_minutes: Wall-clock time of the run, validations included, reading of the data not.
        epochs: Passes over the training frames.
        seed: Of the weights and of the order of the frames.
        warmup_fraction: Share of the run in which the learning rate rises linearly to its peak; from
            there it falls along a half cosine to `final_fraction` of the peak.
        final_fraction: Where the learning rate ends, as a share of its peak.
        energy_weight: Weight of the energy error per atom (eV) in the loss beside the length of the
            force error (eV/Å), whose weight is 1.
        ema_decay: Decay a step of the running mean of the weights, which is validated and saved.
        max_gradient_norm: Longer gradients are shortened to this.
        validations: How many times the run is validated, evenly over its course.
        compile: Whether the step is compiled, which pays for runs of more than some ten minutes.
    """

    architecture: Architecture = "PaiNN"
    arguments: NetworkArguments = DEFAULT_SHAPE
    batch_size: int = 4
    learning_rate: float = 1e-3
    budget_minutes: float | None = None
    epochs: int | None = None
    seed: int = 0
    warmup_fraction: float = 0.02
    final_fraction: float = 1e-3
    energy_weight: float = 1.0
    ema_decay: float = 0.999
    max_gradient_norm: float = 1.0
    validations: int = 30
    compile: bool = False

    def __post_init__(self) -> None:
        if (self.budget_minutes is None) == (self.epochs is None):
            raise UsageError(
                f"budget {self.budget_minutes} minutes and {self.epochs} epochs; "
                "give exactly one of --budget and --epochs"
            )
        arguments = self.arguments
        for option, value in (
            ("--channels", arguments.channels),
            ("--radial-features", arguments.radial_features),
            ("--layers", arguments.layers),
            ("--cutoff", arguments.cutoff),
            ("--batch-size", self.batch_size),
            ("--learning-rate", self.learning_rate),
            ("--budget", 1.0 if self.budget_minutes is None else self.budget_minutes),
            ("--epochs", 1 if self.epochs is None else self.epochs),
            ("--validations", self.validations),
        ):
            if not value > 0:
                raise UsageError(f"{option} {value}; expected a number above 0")
        if self.seed < 0:
            raise UsageError(f"--seed {self.seed}; expected 0 or more")

    def as_dict(self) -> dict[str, Any]:
        """The settings as plain values, for files."""
        return asdict(self)
