import os

import pytest
import torch

from harness.compute.process_threads import threads_per_process, wanted_threads


def test_threads_are_set_for_a_block(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    before = torch.get_num_threads()
    with threads_per_process(3):
        assert (torch.get_num_threads(), os.environ["OMP_NUM_THREADS"]) == (3, "3")
    assert (torch.get_num_threads(), "OMP_NUM_THREADS" in os.environ) == (before, False)


def test_the_number_of_the_user_comes_back_after_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    before = torch.get_num_threads()
    with pytest.raises(ValueError, match="inside"), threads_per_process(1):
        raise ValueError("inside")
    assert (torch.get_num_threads(), os.environ["OMP_NUM_THREADS"]) == (before, "2")


def test_nothing_is_changed_without_a_number(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    before = torch.get_num_threads()
    with threads_per_process(None):
        assert (torch.get_num_threads(), os.environ["OMP_NUM_THREADS"]) == (before, "2")


@pytest.mark.parametrize(("text", "expected"), [("4", 4), ("4,2", 4), ("", None), ("0", None), ("many", None)])
def test_the_number_that_the_user_wants(text: str, expected: int | None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", text)
    assert wanted_threads() == expected
