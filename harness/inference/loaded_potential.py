"""A potential that stays loaded until it is closed, for callers who decide themselves what is computed and when."""

import contextlib
import threading
from types import TracebackType
from typing import Final, Self

from dataset_builders.core.errors import DataError, SetupError, UsageError
from harness.compute.device import does_not_fit, is_out_of_memory, release_memory
from harness.core.batch import Prediction, StructureBatch, sound_prediction
from harness.core.potential import Isolation, LoadOptions, Potential, PotentialTraits
from harness.models.registry import ModelSource
from harness.trust.standard_output import printing_on_standard_error
from harness.trust.tokens import without_tokens
from harness.worker.loading import loaded

_loading: Final = threading.Lock()
"""Tokens and standard output belong to the process, so one model is loaded at a time."""


class LoadedPotential:
    """A potential, and its worker process if it has one; close it, or use it in a `with` block.

    No token is in the environment while the model loads. A model that can run code of its own computes in a worker,
    whose environment has no tokens at all, unless isolation is `never`.

    Args:
        source: As `harness.models.resolve.resolve_model` found it.
        options: Device, precision, trust and threads.
        isolation: Whether it computes in a process of its own.

    Raises:
        UsageError: If the model does not offer what the options ask for.
        ModelError: If the checkpoint cannot be loaded.
        SetupError: If the package of its family is not installed, or the model does not fit on the device.
    """

    def __init__(self, source: ModelSource, options: LoadOptions, isolation: Isolation = "auto") -> None:
        self._stack = contextlib.ExitStack()
        self._options = options
        self._lock = threading.Lock()
        with _loading, without_tokens(), printing_on_standard_error():
            self._potential: Potential | None = self._stack.enter_context(loaded(source, options, isolation))
        self._traits = self._potential.traits

    @property
    def traits(self) -> PotentialTraits:
        """What is known of the potential."""
        return self._traits

    @property
    def is_closed(self) -> bool:
        """Whether it was closed, after which it computes nothing."""
        return self._potential is None

    def compute(self, batch: StructureBatch) -> Prediction:
        """Energies (eV) and forces (eV/Å) of every structure of a batch; several threads take turns.

        A structure that cannot be computed, or whose numbers are not finite, is listed in `Prediction.failures`.

        Raises:
            UsageError: If it was closed, or needs a SMILES that the batch does not give.
            DataError: If the atoms of a structure are not those of its SMILES.
            ModelError: If the model has no parameters for an element, or returns no prediction for the batch.
            SetupError: If the batch does not fit in the memory of the device.
        """
        with self._lock:
            if self._potential is None:
                raise UsageError(f"{self._traits.model_id} was closed; load it again")
            try:
                prediction = self._potential.compute(batch)
            except DataError as cause:
                if "" not in batch.smiles:
                    raise
                raise UsageError(
                    f"{self._traits.model_id} takes the bonds of a molecule from its SMILES, and none was given; give "
                    "smiles=..., with the atoms in RDKit's order, AddHs(MolFromSmiles(smiles))"
                ) from cause
            except Exception as cause:
                if not is_out_of_memory(cause):
                    raise
                release_memory()
                raise self._too_large(batch, cause) from cause
        return sound_prediction(prediction, batch, self._traits.model_id)

    def close(self) -> None:
        """Ends the worker process, if there is one; closing twice does nothing more."""
        with self._lock:
            self._potential = None
            self._stack.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _too_large(self, batch: StructureBatch, cause: Exception) -> SetupError:
        if batch.n_structures == 1:
            return does_not_fit(self._traits.model_id, self._options, cause)
        return SetupError(
            f"{batch.n_structures} structures ({len(batch.atomic_numbers)} atoms) do not fit in the memory of "
            f"{self._traits.device}; compute fewer at a time"
        )
