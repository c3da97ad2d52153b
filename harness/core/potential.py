"""The interface of a potential: what it computes, its traits, and the options to load it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from dataset_builders.core.errors import UsageError
from harness.core.batch import Prediction, StructureBatch
from harness.core.known_checkpoints import Evidence

DtypeName = Literal["float32", "float64"]
SavedDtypeName = Literal["float16", "bfloat16", "float32", "float64"]
ProtocolName = Literal["zero-shot", "fine-tuned", "from-scratch", "control"]
TrainingProtocol = Literal["from-scratch", "fine-tuned"]
TrainingEvidence = Literal["stated", "proved"]
"""Evidence for a training protocol: the user's statement, or a checkpoint that `harness train` wrote."""
Isolation = Literal["auto", "always", "never", "strict"]
"""Whether a potential computes in a separate process. `auto`: if its checkpoint can run code, or if its family has
a separate Python environment. `strict`: always, and confined: no files of the user, no network, no other process."""

ConfinedBy = Literal["bubblewrap", "landlock"]
"""What confines a process with `strict` isolation; results record it."""


@dataclass(frozen=True, slots=True)
class PotentialTraits:
    """What is known about a potential before it computes anything.

    Attributes:
        model_id: The model as the user named it: a name, a path, or a Hub id without its revision.
        family: Name of the adapter.
        elements: Atomic numbers that the model has parameters for; `None` if it accepts any.
        files: sha256 of each file that the model was read from, by file name; empty for a method
            without a checkpoint.
        packages: Python packages whose versions the result records.
        dtype: Precision of the arithmetic.
        saved_dtype: Precision in which the checkpoint was saved, if the adapter tells.
        device: `cpu`, `cuda:0`, ...
        protocol: How the model was trained with respect to the task; `control` for methods without a
            training set.
        trained_on: Task whose `train` split the model was trained on, if any.
        trained_task: Declaration of that task, if it is not one of the four.
        training: Whether that training is proved or stated; `None` if there was none.
        base: The checkpoint that a stated training started from.
        unchecked: Data of a stated training that were not compared with the data set, and why.
        level_of_theory: Level of theory of the training labels, if known.
        level_is_stated: Whether the user stated that level, because the model does not.
        known_as: Name of the published checkpoint that the model was recognised as, if any.
        known_by: Whether the bytes of its files or their name alone told.
        unfinished: How far its training had advanced, if it was stopped early.
        conservative: Whether the forces are the negative gradient of the energy; `None` if unknown.
        head: Readout head in use, for a checkpoint that has more than one.
        revision: Commit on the Hub, if the model came from there.
        needs_cell: Whether the family accepts periodic structures only, so that each molecule is put in a box.
        is_compiled: Whether the network was compiled, which changes speed and rounding.
        versions: Versions of the packages, if another interpreter than this one has them.
        precision: Precision of PyTorch's products, if it may be used; see `arithmetic`.
        variables: Environment variables of the computing process that can change the last digits.
        processor: Model of the GPU or CPU that computes.
        threads: CPU threads of the arithmetic, if known.
        isolation: What confines the process that computes, if it is confined: bubblewrap or landlock.
    """

    model_id: str
    family: str
    elements: frozenset[int] | None
    files: Mapping[str, str] = field(default_factory=dict)
    packages: tuple[str, ...] = ()
    dtype: DtypeName = "float64"
    saved_dtype: SavedDtypeName | None = None
    device: str = "cpu"
    protocol: ProtocolName = "zero-shot"
    trained_on: str | None = None
    trained_task: Mapping[str, Any] | None = None
    training: TrainingEvidence | None = None
    base: str | None = None
    unchecked: str | None = None
    level_of_theory: str | None = None
    level_is_stated: bool = False
    known_as: str | None = None
    known_by: Evidence | None = None
    unfinished: str | None = None
    conservative: bool | None = True
    head: str | None = None
    revision: str | None = None
    needs_cell: bool = False
    is_compiled: bool = False
    versions: Mapping[str, str] = field(default_factory=dict)
    precision: Mapping[str, str] = field(default_factory=dict)
    variables: Mapping[str, str] = field(default_factory=dict)
    processor: str | None = None
    threads: int | None = None
    isolation: ConfinedBy | None = None


class Potential(Protocol):
    """Computes energies and forces of a batch."""

    @property
    def traits(self) -> PotentialTraits:
        """What is known about the potential."""
        ...

    def compute(self, batch: StructureBatch) -> Prediction:
        """Energies (eV) and forces (eV/Å) of every structure of the batch, which is not modified.

        A structure that cannot be computed (an SCF that does not converge, say) is listed in
        `Prediction.failures`; it does not stop the others.

        Raises:
            torch.OutOfMemoryError: If the batch does not fit on the device; the caller halves it.
        """
        ...


@dataclass(frozen=True, slots=True)
class LoadOptions:
    """Options of the user for loading a model.

    Attributes:
        device: `auto`, `cpu`, `cuda`, `cuda:N`.
        dtype: Precision, or `None` for that of the checkpoint.
        trust_checkpoint: Whether a pickled checkpoint, which can run code, may be loaded.
        trusted_files: sha256 of checkpoints that may be loaded without `trust_checkpoint`.
        threads: CPU threads for physics methods.
        head: Readout head of a checkpoint that has several, or `None` for the default.
        compile: Whether to compile the network, if the family supports it.
        allow_unfinished: Whether to accept a checkpoint whose training was stopped early.
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

    def require_no_head(self, model: str) -> None:
        """Checks that no readout head was requested of a model that has only one output.

        Raises:
            UsageError: If one was.
        """
        if self.head is not None:
            raise UsageError(f"{model} has no readout heads, so it takes no --head; leave out --head {self.head}")
