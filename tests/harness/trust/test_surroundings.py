"""What a model's code sets in this process: found again by that model, and by nobody else."""

import locale
import logging
import os
import random
import signal
import subprocess
import sys
import threading
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from harness.trust.surroundings import Surroundings, inside


def set_flags(**flags: Any) -> None:
    for name, value in flags.items():
        setattr(torch.backends.cudnn, name, value)


CHANGES: dict[str, tuple[Callable[[Path], Any], Callable[[], Any]]] = {
    "default dtype": (lambda _: torch.set_default_dtype(torch.float64), torch.get_default_dtype),
    "default device": (lambda _: torch.set_default_device("meta"), torch.get_default_device),
    "gradients": (lambda _: torch.set_grad_enabled(False), torch.is_grad_enabled),
    "determinism": (
        lambda _: torch.use_deterministic_algorithms(True, warn_only=True),
        torch.are_deterministic_algorithms_enabled,
    ),
    "cudnn": (lambda _: set_flags(benchmark=True), lambda: torch.backends.cudnn.benchmark),
    "threads": (lambda _: torch.set_num_threads(torch.get_num_threads() + 1), torch.get_num_threads),
    "denormals": (
        lambda _: torch.set_flush_denormal(True),
        lambda: bool(torch.tensor(1e-310, dtype=torch.float64) / 2),
    ),
    "random numbers of torch": (lambda _: torch.manual_seed(3), lambda: torch.get_rng_state().tolist()),
    "random numbers of NumPy": (lambda _: np.random.seed(3), lambda: str(np.random.get_state())),  # noqa: NPY002
    "random numbers": (lambda _: random.seed(3), random.getstate),
    "errors of NumPy": (lambda _: np.seterr(all="raise"), np.geterr),
    "warnings": (lambda _: warnings.simplefilter("error"), lambda: list(warnings.filters)),
    "working directory": (os.chdir, Path.cwd),
    "a new variable": (lambda _: os.environ.update(CODE_OF_OTHERS="1"), lambda: os.environ.get("CODE_OF_OTHERS")),
    "a variable less": (lambda _: os.environ.pop("PATH"), lambda: os.environ.get("PATH")),
    "logging": (lambda _: logging.disable(logging.ERROR), lambda: logging.root.manager.disable),
    "handlers of the log": (lambda _: logging.root.addHandler(logging.NullHandler()), lambda: [*logging.root.handlers]),
    "locale": (lambda _: locale.setlocale(locale.LC_ALL, other_locale()), lambda: locale.setlocale(locale.LC_ALL)),
}


def other_locale() -> str:
    return "C" if locale.setlocale(locale.LC_ALL) != "C" else "C.UTF-8"


@pytest.mark.parametrize("name", list(CHANGES))
def test_what_a_model_sets_is_its_own(name: str, tmp_path: Path) -> None:
    change, read = CHANGES[name]
    own, other = Surroundings("own"), Surroundings("other")
    before = read()
    with inside(own):
        change(tmp_path)
        changed = read()
    assert changed != before
    assert read() == before
    with inside(other):
        assert read() == before
    with inside(own):
        assert read() == changed
    assert read() == before


def test_it_is_taken_back_after_an_error_too() -> None:
    def code_of_others() -> None:
        torch.set_default_dtype(torch.float64)
        sys.exit(3)

    with pytest.raises(SystemExit), inside(Surroundings("own")):
        code_of_others()
    assert torch.get_default_dtype() == torch.float32


def test_a_handler_of_a_signal_is_not_put_in_place_again() -> None:
    own, before = Surroundings("own"), signal.getsignal(signal.SIGINT)
    with inside(own):
        signal.signal(signal.SIGINT, signal.SIG_IGN)
    assert signal.getsignal(signal.SIGINT) == before
    with inside(own):
        assert signal.getsignal(signal.SIGINT) == before


@pytest.mark.parametrize(
    "lower",
    [
        lambda: torch.set_float32_matmul_precision("high"),
        lambda: torch.set_float32_matmul_precision("medium"),
        lambda: setattr(torch.backends.cuda.matmul, "allow_tf32", True),
        lambda: setattr(torch.backends.cudnn, "allow_tf32", True),
        lambda: setattr(torch.backends.cuda.matmul, "allow_bf16_reduced_precision_reduction", True),
        lambda: setattr(torch.backends, "fp32_precision", "tf32"),
        lambda: torch.set_autocast_enabled("cpu", True),
    ],
)
def test_lower_precision_is_nobodys(lower: Callable[[], None], caplog: pytest.LogCaptureFixture) -> None:
    own = Surroundings("a plug-in")
    with inside(own):
        pass
    for _ in range(2):
        with inside(own):
            assert torch.get_float32_matmul_precision() == "highest"
            lower()
        assert torch.get_float32_matmul_precision() == "highest"
        assert not torch.backends.cuda.matmul.allow_tf32
        assert not torch.backends.cudnn.allow_tf32
        assert not torch.backends.cuda.matmul.allow_bf16_reduced_precision_reduction
        assert not torch.is_autocast_enabled("cpu")
    assert 1 <= len(caplog.records) <= 2  # said once a setting
    assert all("a plug-in set " in each.message for each in caplog.records)


def test_a_variable_of_the_process_is_not_kept_for_a_model(monkeypatch: pytest.MonkeyPatch) -> None:
    """A token that is there while a package is imported is not there again when its model computes."""
    own = Surroundings("own")
    monkeypatch.setenv("SOME_TOKEN", "secret")
    with inside(own):
        os.environ["CODE_OF_OTHERS"] = "1"
    monkeypatch.delenv("SOME_TOKEN")
    with inside(own):
        assert "SOME_TOKEN" not in os.environ
        assert os.environ["CODE_OF_OTHERS"] == "1"


def test_threads_that_come_and_go_leave_the_process_as_it_was() -> None:
    own, errors = Surroundings("own"), []

    def computes(seed: int) -> None:
        wait = np.random.default_rng(seed)
        for _ in range(20):
            with inside(own):
                torch.set_default_dtype(torch.float64)
                torch.set_grad_enabled(False)
                np.seterr(all="raise")
                time.sleep(float(wait.uniform(0.0, 2e-4)))
            if not torch.is_grad_enabled() or np.geterr()["over"] == "raise":
                errors.append(seed)

    threads = [threading.Thread(target=computes, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert torch.get_default_dtype() == torch.float32
    assert torch.is_grad_enabled()


def test_what_a_library_that_is_imported_meanwhile_sets_is_taken_back() -> None:
    program = """
from harness.trust.surroundings import Surroundings, inside
import sys
assert "torch" not in sys.modules
with inside(Surroundings("own")):
    import torch
    torch.set_default_dtype(torch.float64)
    torch.set_grad_enabled(False)
    torch.backends.cuda.matmul.allow_tf32 = True
assert torch.get_default_dtype() == torch.float32 and torch.is_grad_enabled()
assert not torch.backends.cuda.matmul.allow_tf32 and not torch.backends.cudnn.allow_tf32
"""
    subprocess.run([sys.executable, "-c", program], check=True)


def test_it_takes_little_time() -> None:
    own = Surroundings("own")
    durations = []
    for _ in range(50):
        began = time.perf_counter()
        with inside(own):
            pass
        durations.append(time.perf_counter() - began)
    assert min(durations) < 5e-3  # 0.6 ms where nothing else runs; a batch takes ten times that and more
