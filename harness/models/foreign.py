"""A potential run by third-party code: it leaves no side effects, and a structure that fails affects no other."""

import importlib
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from typing import Any, Final, cast

import numpy as np

from dataset_builders.core.errors import ModelError
from harness.compute.arithmetic import FULL, deciding_variables, precision_in_use
from harness.compute.device import out_of_memory_as_itself
from harness.compute.hardware import processor_name, threads_of
from harness.compute.meter import Meter, meter_of
from harness.compute.staging import staged
from harness.core.batch import Prediction, StructureBatch, sound_prediction
from harness.core.potential import Potential, PotentialTraits
from harness.models.registry import with_traits
from harness.trust.errors_of_others import cause_of, must_propagate
from harness.trust.surroundings import Surroundings, inside

_OF_ANY_MODEL: Final = (
    "harness.potentials.ase_calculator",
    "harness.potentials.plugin",
    "harness.potentials.torchsim",
)
"""Adapters of this project that run arbitrary user code."""
_known: Final[dict[str, Surroundings]] = {}
"""Settings by adapter: imports leave them once, and they apply to all models that the adapter loads."""


def is_unknown(adapter: str) -> bool:
    """Whether an adapter, by the name of its module, runs unknown code: a plug-in, or any calculator."""
    return not adapter.startswith("harness.") or adapter in _OF_ANY_MODEL


def load_foreign(
    adapter: str, model: str, load: Callable[[], Potential], *, contained: bool, alone: bool = False
) -> Potential:
    """Loads a potential without changing the settings of this process.

    Args:
        adapter: Name of the module that loads it.
        model: The model as the user named it.
        load: Loads it.
        contained: Whether any error of its code counts as an error of the model or of a structure.
        alone: Whether this process never loads another model.

    Returns:
        The potential; its traits record what determines its last digits. Unknown code has its own process settings
        whenever it computes, too.

    Raises:
        ModelError: If it cannot be loaded, or is not a potential.
    """
    surroundings = _known.setdefault(adapter, Surroundings(model))
    surroundings.name = model
    unknown = is_unknown(adapter)
    if unknown and not alone:
        importlib.import_module("torch")  # records PyTorch's settings before the model changes them
    with inside(surroundings):
        try:
            potential = load()
            traits = potential.traits
            variables = dict(os.environ)
        except BaseException as cause:
            if not contained or must_propagate(cause):
                raise
            raise ModelError(f"{model} cannot be loaded: {cause_of(cause)}") from cause
    if not unknown:
        # This project's adapters set variables that their libraries read during computation, outside `inside`.
        os.environ.update(variables)
    if not isinstance(traits, PotentialTraits):
        raise ModelError(
            f"{adapter} returned traits of type {type(traits).__name__} for {model}; expected PotentialTraits"
        )
    traits = _of_this_process(traits, always=unknown)
    if contained or unknown:
        return ForeignPotential(potential, traits, surroundings if unknown else None, contained)
    return with_traits(potential, traits)


def _of_this_process(traits: PotentialTraits, *, always: bool) -> PotentialTraits:
    """Traits with the precision of this process; unless `always`, only if the family uses PyTorch."""
    full = {"float32_products": FULL}  # as it will be if PyTorch is imported later
    precision = (precision_in_use() or full) if always or "torch" in traits.packages else {}
    return replace(
        traits,
        precision=precision,
        variables=deciding_variables(os.environ),
        processor=processor_name(traits.device),
        threads=threads_of(traits),
    )


@dataclass(frozen=True, slots=True)
class _Step:
    """A batch between two steps, with the result of the last step, or the error that it raised."""

    batch: StructureBatch
    made: Any
    error: BaseException | None = None


@dataclass(frozen=True, slots=True)
class ForeignPotential:
    """A potential run by third-party code.

    If its errors are contained, a batch that raises an error is computed again structure by structure, and the
    structures that raise one are failures.

    Attributes:
        potential: The potential.
        traits: Its traits.
        surroundings: Its own process settings, if they are isolated.
        contained: Whether its errors are contained.
    """

    potential: Potential
    traits: PotentialTraits
    surroundings: Surroundings | None
    contained: bool

    @property
    def overlaps(self) -> bool:
        """Whether the steps of the potential overlap."""
        return staged(self.potential).overlaps

    def compute(self, batch: StructureBatch) -> Prediction:
        """Computes the batch with the potential.

        Raises:
            ModelError: If it returns no valid prediction for the batch.
            torch.OutOfMemoryError: If the batch does not fit on the device.
        """
        return self._result(self._tried(self.potential.compute, batch, batch))

    def prepare(self, batch: StructureBatch) -> _Step:
        """First step of the potential; see `staging`."""
        return self._tried(staged(self.potential).prepare, batch, batch)

    def launch(self, prepared: _Step) -> _Step:
        """Second step of the potential."""
        if prepared.error is not None:
            return prepared
        return self._tried(staged(self.potential).launch, prepared.made, prepared.batch)

    def collect(self, launched: _Step) -> Prediction:
        """Third step of the potential.

        Raises:
            ModelError: If the potential returns no valid prediction for the batch.
            torch.OutOfMemoryError: If the batch does not fit on the device.
        """
        if launched.error is not None:
            return self._result(launched)
        return self._result(self._tried(staged(self.potential).collect, launched.made, launched.batch))

    def meter(self) -> Meter | None:
        """The meter of the potential; see `meter`."""
        return meter_of(self.potential)

    @contextmanager
    def _inside(self) -> Iterator[None]:
        if self.surroundings is None:
            yield
        else:
            with inside(self.surroundings):
                yield

    def _tried(self, step: Callable[[Any], Any], value: Any, batch: StructureBatch) -> _Step:
        with self._inside():
            try:
                with out_of_memory_as_itself() if self.contained else nullcontext():
                    return _Step(batch, step(value))
            except BaseException as cause:
                if not self.contained or must_propagate(cause):
                    raise
                # The frames of its traceback would keep the tensors of the failed attempt alive.
                cause.__cause__ = cause.__context__ = None
                return _Step(batch, None, cause.with_traceback(None))

    def _result(self, step: _Step) -> Prediction:
        if step.error is not None:
            return self._one_by_one(step.batch, step.error)
        if not self.contained:
            return cast(Prediction, step.made)
        model_id = self.traits.model_id
        if not isinstance(step.made, Prediction):
            raise ModelError(f"{model_id} returned a {type(step.made).__name__}; expected a Prediction")
        return sound_prediction(step.made, step.batch, model_id)

    def _one_by_one(self, batch: StructureBatch, error: BaseException) -> Prediction:
        if batch.n_structures == 1:
            nan = np.full((len(batch.atomic_numbers), 3), np.nan)
            return Prediction(nan[:1, 0], nan, {0: cause_of(error)})
        parts = [self.compute(batch.slice(number, number + 1)) for number in range(batch.n_structures)]
        return Prediction(
            np.concatenate([part.energy for part in parts]),
            np.concatenate([part.forces for part in parts]),
            {number: cause for number, part in enumerate(parts) for cause in part.failures.values()},
        )
