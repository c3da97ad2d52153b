"""Numbers and texts go between NumPy and Arrow as Arrow itself converts them, and nothing else is imported for that."""

import subprocess
import sys

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pytest

from dataset_builders.core.arrow_arrays import array_of_numbers, array_of_texts, numpy_of

NUMBERS = [np.dtype(name) for name in ("i1", "u1", "i2", "i4", "i8", "u8", "f2", "f4", "f8")]


@pytest.mark.parametrize("dtype", NUMBERS, ids=str)
@pytest.mark.parametrize("n_values", [0, 1, 70])
def test_numbers_are_those_of_arrow(dtype: npt.DTypeLike, n_values: int) -> None:
    values = np.arange(n_values).astype(dtype)
    array = array_of_numbers(values)
    array.validate(full=True)
    assert array.equals(pa.array(values))
    back = numpy_of(array)
    assert back.dtype == values.dtype
    np.testing.assert_array_equal(back, values)


def test_not_a_number_stays_one_and_is_no_null() -> None:
    array = array_of_numbers(np.array([1.0, np.nan, -0.0, np.inf]))
    assert array.null_count == 0
    assert numpy_of(array).tobytes() == np.array([1.0, np.nan, -0.0, np.inf]).tobytes()


@pytest.mark.parametrize("values", [np.arange(9)[::2], np.arange(9)[::-1]], ids=str)
def test_values_that_lie_otherwise_in_memory_are_copied(values: npt.NDArray[np.int64]) -> None:
    assert array_of_numbers(values).to_pylist() == values.tolist()


def test_what_arrow_has_no_type_for_is_its_error() -> None:
    with pytest.raises(pa.ArrowException, match="type"):
        array_of_numbers(np.array([1j]))
    with pytest.raises(pa.ArrowException, match="1-dim"):
        array_of_numbers(np.ones((2, 2)))


@pytest.mark.parametrize("texts", [[], [""], ["a", "", "Ångström", "\N{GRINNING FACE}", "\0"]], ids=str)
def test_texts_are_those_of_arrow(texts: list[str]) -> None:
    array = array_of_texts(texts)
    array.validate(full=True)
    assert array.equals(pa.array(texts, pa.string()))


def test_half_a_surrogate_pair_is_an_error() -> None:
    with pytest.raises(UnicodeEncodeError):
        array_of_texts(["a", "\ud800"])


@pytest.mark.parametrize("start", [0, 1, 7, 8, 9, 63])
@pytest.mark.parametrize("n_values", [0, 1, 8, 20])
def test_a_part_of_an_array_is_that_part(start: int, n_values: int) -> None:
    truths = np.random.default_rng(3).integers(0, 2, 90).astype(bool)
    for values in (truths, np.arange(90.0), np.arange(90, dtype=np.uint8)):
        part = numpy_of(pa.array(values)[start : start + n_values])
        assert part.dtype == values.dtype
        np.testing.assert_array_equal(part, values[start : start + n_values])


def test_nulls_and_other_types_are_those_of_arrow() -> None:
    for array in (pa.array([1, None, 3]), pa.array(["a", None]), pa.array([True, None]), pa.array([None, None])):
        np.testing.assert_array_equal(numpy_of(array), array.to_numpy(zero_copy_only=False))


CONVERSION = """
import sys
import numpy as np
import pyarrow as pa
from dataset_builders.core.arrow_arrays import array_of_numbers, array_of_texts, numpy_of
numpy_of(array_of_numbers(np.arange(3.0)).is_valid())
numpy_of(array_of_numbers(np.arange(3)))
array_of_texts(["a"])
print("pandas" in sys.modules)
"""


def test_pandas_is_not_imported() -> None:
    done = subprocess.run([sys.executable, "-c", CONVERSION], capture_output=True, text=True, check=False)
    assert done.stdout == "False\n", done.stderr
