"""Other people's code: whatever it raises, returns, prints and sets."""

import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
import torch

from dataset_builders.core.errors import ModelError
from harness.compute.staging import compute_ahead
from harness.core.batch import Prediction, StructureBatch
from harness.core.potential import Potential, PotentialTraits
from harness.models.foreign import load_foreign
from tests.harness.potentials.molecules import molecules
from tests.harness.toy_potential import TRAITS, Harmonic

PLUG_IN = "a_plug_in"


class Interrupted(BaseException):
    """Not even an Exception."""


class Unprintable(Exception):  # noqa: N818
    def __str__(self) -> str:
        raise RuntimeError("no text")


@dataclass
class Raising(Harmonic):
    """Raises where a batch holds a molecule with nitrogen."""

    error: BaseException = Exception("plain")  # noqa: RUF009

    def compute(self, batch: StructureBatch) -> Prediction:
        if 7 in batch.atomic_numbers:
            raise self.error
        return super().compute(batch)


def foreign(potential: object, adapter: str = PLUG_IN, *, contained: bool = True) -> Potential:
    return load_foreign(adapter, "mine", lambda: potential, contained=contained)  # type: ignore[arg-type,return-value]


@pytest.mark.parametrize(
    ("error", "cause"),
    [
        (Exception("plain"), "Exception: plain"),
        (TypeError("two\nlines"), "TypeError: two lines"),
        (SystemExit(3), "SystemExit: 3"),
        (Interrupted(), "Interrupted"),
        (Unprintable(), "Unprintable: (its text is not available: RuntimeError)"),
        (ValueError("x" * 9000), f"ValueError: {'x' * 500}…"),
    ],
)
def test_one_structure_fails_and_the_others_are_kept(error: BaseException, cause: str) -> None:
    batch = molecules()
    prediction = foreign(Raising(error=error)).compute(batch)
    expected = Harmonic().compute(batch)
    assert prediction.failures == {2: cause}
    np.testing.assert_array_equal(prediction.energy[:2], expected.energy[:2])
    np.testing.assert_array_equal(prediction.forces[: batch.offsets[2]], expected.forces[: batch.offsets[2]])
    assert np.isnan(prediction.energy[2])
    assert np.isnan(prediction.forces[batch.offsets[2] :]).all()


@pytest.mark.parametrize(
    "error",
    [
        KeyboardInterrupt(),
        torch.OutOfMemoryError("full"),
        ModelError("lacks N"),
        RuntimeError("CUDA error"),
    ],
)
def test_what_is_not_of_a_structure_passes(error: BaseException) -> None:
    with pytest.raises(type(error)):
        foreign(Raising(error=error)).compute(molecules())


def test_memory_that_is_full_is_that_of_the_device() -> None:
    with pytest.raises(torch.OutOfMemoryError):
        foreign(Raising(error=MemoryError())).compute(molecules())


def test_an_error_of_our_own_code_passes_too() -> None:
    own = foreign(Raising(error=TypeError("a bug")), "harness.potentials.toy", contained=False)
    with pytest.raises(TypeError, match="a bug"):
        own.compute(molecules())


class Staged(Harmonic):
    """Raises at one of its three steps, in whichever thread that is done."""

    def __init__(self, step: str) -> None:
        super().__init__()
        self._step = step

    @property
    def overlaps(self) -> bool:
        return True

    def _reach(self, step: str, batch: StructureBatch) -> StructureBatch:
        torch.set_default_dtype(torch.float64)
        if step == self._step and 7 in batch.atomic_numbers:
            raise LookupError(step)
        return batch

    def prepare(self, batch: StructureBatch) -> StructureBatch:
        return self._reach("prepare", batch)

    def launch(self, prepared: StructureBatch) -> StructureBatch:
        return self._reach("launch", prepared)

    def collect(self, launched: StructureBatch) -> Prediction:
        return super().compute(self._reach("collect", launched))

    def compute(self, batch: StructureBatch) -> Prediction:
        return self.collect(self.launch(self.prepare(batch)))


@pytest.mark.parametrize("step", ["prepare", "launch", "collect"])
def test_potentials_that_work_in_steps_are_contained_at_each(step: str) -> None:
    batch = molecules()
    jobs = ((number, batch) for number in range(5))
    outcomes = list(compute_ahead(foreign(Staged(step)), jobs, lambda: ()))
    expected = Harmonic().compute(batch)
    assert [number for number, _ in outcomes] == list(range(5))
    for _, prediction in outcomes:
        assert isinstance(prediction, Prediction)
        assert list(prediction.failures) == [2]
        np.testing.assert_array_equal(prediction.energy[:2], expected.energy[:2])
    assert torch.get_default_dtype() == torch.float32


def changed(**changes: Callable[[Prediction], Any]) -> object:
    class Changed(Harmonic):
        def compute(self, batch: StructureBatch) -> Prediction:
            prediction = super().compute(batch)
            return replace(prediction, **{name: change(prediction) for name, change in changes.items()})

    return Changed()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"energy": lambda _: None}, r"energy of toy has dtype object \(NoneType\); expected real numbers"),
        ({"energy": lambda it: it.energy.astype(str)}, "energy of toy has dtype <U"),
        ({"energy": lambda it: it.energy + 0j}, "energy of toy has dtype complex128"),
        ({"energy": lambda it: it.energy > 0}, "energy of toy has dtype bool"),
        ({"energy": lambda it: it.energy[:, None]}, r"energy of toy has shape \(3, 1\); expected shape \(3,\)"),
        ({"energy": lambda it: it.energy[0]}, r"energy of toy has shape \(\)"),
        ({"energy": lambda _: [[1.0], [1.0, 2.0]]}, "energy of toy is a list, not an array: ValueError"),
        ({"forces": lambda it: it.forces.T}, "forces of toy has shape"),
        ({"forces": lambda it: it.forces.ravel()}, "forces of toy has shape"),
        ({"forces": lambda it: it.forces[:-1]}, "forces of toy has shape"),
        ({"forces": lambda it: it.forces.astype(object)}, "forces of toy has dtype object"),
        ({"failures": lambda _: {3: "out of range"}}, "toy reports the failure of structure 3 in a batch of 3"),
    ],
)
def test_what_is_no_prediction_is_the_models_fault(
    changes: dict[str, Callable[[Prediction], Any]], message: str
) -> None:
    with pytest.raises(ModelError, match=message):
        foreign(changed(**changes)).compute(molecules())


def test_lists_and_tensors_of_single_precision_are_taken() -> None:
    batch, expected = molecules(), Harmonic().compute(molecules())
    found = foreign(
        changed(energy=lambda it: list(it.energy), forces=lambda it: torch.tensor(it.forces, dtype=torch.float32))
    ).compute(batch)
    np.testing.assert_array_equal(found.energy, expected.energy)
    np.testing.assert_allclose(found.forces, expected.forces, atol=1e-6)
    assert found.forces.dtype == np.float64


@pytest.mark.parametrize("answer", [None, (1.0, 2.0), {"energy": 1.0}])
def test_something_else_than_a_prediction_is_the_models_fault(answer: object) -> None:
    class Other(Harmonic):
        def compute(self, batch: StructureBatch) -> Any:
            return answer

    with pytest.raises(ModelError, match=rf"returned a {type(answer).__name__}; expected a Prediction"):
        foreign(Other()).compute(molecules())


@pytest.mark.parametrize("error", [TypeError("no such weights"), SystemExit(2), Interrupted("odd")])
def test_a_model_that_cannot_be_loaded_is_one_clear_error(error: BaseException) -> None:
    def load() -> Potential:
        torch.set_default_dtype(torch.float64)
        raise error

    with pytest.raises(ModelError, match=f"mine cannot be loaded: {type(error).__name__}"):
        load_foreign(PLUG_IN, "mine", load, contained=True)
    assert torch.get_default_dtype() == torch.float32


def test_something_else_than_a_potential_is_refused() -> None:
    with pytest.raises(ModelError, match="mine cannot be loaded: AttributeError"):
        foreign("springs")

    @dataclass
    class Without:
        traits: object = None

    with pytest.raises(ModelError, match="traits of type NoneType for mine; expected PotentialTraits"):
        foreign(Without())


class Doubling(Harmonic):
    """Needs the default precision that it set when it was loaded."""

    def compute(self, batch: StructureBatch) -> Prediction:
        assert torch.zeros(1).dtype == torch.float64
        torch.backends.cuda.matmul.allow_tf32 = True
        np.seterr(all="raise")
        return super().compute(batch)


def test_the_next_model_is_unharmed_and_this_one_finds_what_it_set() -> None:
    def load() -> Potential:
        torch.set_default_dtype(torch.float64)
        return Doubling()

    first = load_foreign("a_plug_in_that_sets_much", "first", load, contained=True)
    second = foreign(Harmonic())
    assert first.traits.precision == {"float32_products": "ieee"}
    for _ in range(2):
        assert first.compute(molecules()).failures == {}
        assert torch.zeros(1).dtype == torch.float32
        assert not torch.backends.cuda.matmul.allow_tf32
        assert np.geterr()["over"] != "raise"
        assert second.compute(molecules()).failures == {}


def test_a_variable_that_an_adapter_of_ours_sets_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CHECK_INPUTS", "0")

    def load() -> Potential:
        monkeypatch.setenv("CHECK_INPUTS", "1")
        return Harmonic()

    load_foreign("harness.potentials.own", "mine", load, contained=False)
    assert os.environ["CHECK_INPUTS"] == "1"
    monkeypatch.setenv("CHECK_INPUTS", "0")
    load_foreign(PLUG_IN, "mine", load, contained=True)
    assert os.environ["CHECK_INPUTS"] == "0"


def test_traits_say_what_the_process_computes_in(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MKL_CBWR", "COMPATIBLE")
    traits = PotentialTraits("own", "own", None, packages=("torch",))
    own = foreign(Harmonic(traits=traits), "harness.potentials.own", contained=False)
    assert own.traits.precision == {"float32_products": "ieee"}
    assert own.traits.variables["MKL_CBWR"] == "COMPATIBLE"
    assert foreign(Harmonic(traits=TRAITS), "harness.potentials.own", contained=False).traits.precision == {}
