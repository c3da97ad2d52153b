"""What the harness asks of a potential."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from harness.core.batch import Prediction, StructureBatch

DtypeName = Literal["float32", "float64"]
ProtocolName = Literal["zero-shot", "fine-tuned", "from-scratch", "control"]
TrainingProtocol = Literal["from-scratch", "fine-tuned"]
TrainingEvidence = Literal["stated", "proved"]
"""What a protocol of training stands on: somebody's word, or a checkpoint of ours, which `harness train` wrote."""
Isolation = Literal["auto", "always", "never"]
"""Whether a potential computes in a process of its own. `auto`: where its checkpoint can run code, or where its
family has an environment of its own."""


@dataclass(frozen=True, slots=True)
class PotentialTraits:
    """What is known of a potential before it computes anything.

    Attributes:
        model_id: What the user asked for: a name, a path, or a Hub id without its revision.
        family: Name of the adapter.
        elements: Atomic numbers that the model has parameters for; `None` where it takes any.
        files: sha256 of each file that the model was read from, by file name; empty for a method
            without a checkpoint.
        packages: Python packages whose versions belong to the result.
        dtype: Precision of the arithmetic.
        device: `cpu`, `cuda:0`, ...
        protocol: How the model came to know the task's molecules; `control` for methods without a
            training set.
        trained_on: Task whose `train` split the model was trained on, where it was.
        trained_task: Declaration of that task, where it is none of the four.
        training: Whether that training is proved or stated; `None` where there was none.
        base: The checkpoint that a stated training began with.
        unchecked: What data of a stated training were not compared with the data set, and why.
        level_of_theory: Level of the training labels, where known.
        level_is_stated: Whether the user named that level, since the model does not.
        unfinished: How far its training had come, where it was stopped before its end.
        conservative: Whether the forces are the derivative of the energy; `None` where that is not known.
        head: Which of several readout heads answered, for a checkpoint that has more than one.
        revision: Commit on the Hub, where the model came from there.
        needs_cell: Whether the family takes periodic structures only, so that each molecule stands in a box.
        is_compiled: Whether the network was compiled, which changes speed and rounding.
        versions: Versions of the packages, where they are those of another interpreter than this one.
        precision: What PyTorch computes products in, where it may be used; see `arithmetic`.
        variables: Variables of the environment that can change the last digits, as the process that computes has them.
    """

    model_id: str
    family: str
    elements: frozenset[int] | None
    files: Mapping[str, str] = field(default_factory=dict)
    packages: tuple[str, ...] = ()
    dtype: DtypeName = "float64"
    device: str = "cpu"
    protocol: ProtocolName = "zero-shot"
    trained_on: str | None = None
    trained_task: Mapping[str, Any] | None = None
    training: TrainingEvidence | None = None
    base: str | None = None
    unchecked: str | None = None
    level_of_theory: str | None = None
    level_is_stated: bool = False
    unfinished: str | None = None
    conservative: bool | None = True
    head: str | None = None
    revision: str | None = None
    needs_cell: bool = False
    is_compiled: bool = False
    versions: Mapping[str, str] = field(default_factory=dict)
    precision: Mapping[str, str] = field(default_factory=dict)
    variables: Mapping[str, str] = field(default_factory=dict)


class Potential(Protocol):
    """Computes energies and forces of a batch."""

    @property
    def traits(self) -> PotentialTraits:
        """What is known of the potential."""
        ...

    def compute(self, batch: StructureBatch) -> Prediction:
        """Energies (eV) and forces (eV/Å) of every structure of the batch, which is left untouched.

        A structure that cannot be computed (an SCF that does not converge, say) is listed in
        `Prediction.failures`; it does not stop the others.

        Raises:
            torch.OutOfMemoryError: If the batch does not fit on the device; the caller halves it.
        """
        ...


@dataclass(frozen=True, slots=True)
class LoadOptions:
    """What the user asked of the loader.

    Attributes:
        device: `auto`, `cpu`, `cuda`, `cuda:N`.
        dtype: Precision, or `None` for the one the checkpoint was saved in.
        trust_checkpoint: Whether a pickled checkpoint may be loaded, which runs what it holds.
        trusted_files: sha256 of checkpoints that may be loaded without that.
        threads: CPU threads for physics methods.
        head: Readout head of a checkpoint that has several, or `None` for its default one.
        compile: Whether the network is compiled, where the family can.
        allow_unfinished: Whether a checkpoint whose training was stopped before its end is taken.
        calculator: Factory of a calculator for the family `ase`, as `package.module:function`.
    """

    device: str = "auto"
    dtype: DtypeName | None = None
    trust_checkpoint: bool = False
    threads: int = 1
    head: str | None = None
    calculator: str | None = None
    compile: bool = False
    trusted_files: tuple[str, ...] = ()
    allow_unfinished: bool = False

    def trusts(self, sha256: str) -> bool:
        """Whether a checkpoint that can run code may be loaded."""
        return self.trust_checkpoint or sha256 in self.trusted_files
