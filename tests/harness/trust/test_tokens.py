"""Tokens, which no model code is to find in its environment."""

import os
import subprocess
import sys

import pytest

from harness.trust.tokens import TOKEN_VARIABLES, without_tokens


@pytest.mark.parametrize(
    "name",
    [
        "HF_TOKEN",
        "HUGGING_FACE_HUB_TOKEN",
        "WANDB_API_KEY",
        "NEPTUNE_API_TOKEN",
        "MLFLOW_TRACKING_PASSWORD",
        "AWS_SECRET_ACCESS_KEY",
        "hf_token",
        "TOKEN",
    ],
)
def test_these_are_tokens(name: str) -> None:
    assert TOKEN_VARIABLES.fullmatch(name)


@pytest.mark.parametrize("name", ["HF_TOKEN_PATH", "TOKENIZERS_PARALLELISM", "HF_HOME", "PATH", "OMP_NUM_THREADS"])
def test_these_are_none(name: str) -> None:
    assert not TOKEN_VARIABLES.fullmatch(name)


def test_a_process_that_is_started_meanwhile_finds_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "not-a-real-one")
    command = [sys.executable, "-c", "import os; print(os.environ.get('HF_TOKEN'))"]
    with without_tokens():
        inside = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    after = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert (inside, after) == ("None\n", "not-a-real-one\n")


def test_they_are_put_back_after_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "not-a-real-one")
    with pytest.raises(KeyboardInterrupt), without_tokens():
        raise KeyboardInterrupt
    assert os.environ["HF_TOKEN"] == "not-a-real-one"


def test_one_that_the_model_sets_does_not_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HF_TOKEN", raising=False)
    monkeypatch.setenv("HF_HOME", "before")
    with without_tokens():
        os.environ["HF_TOKEN"] = "somebody-else's"
        os.environ["HF_HOME"] = "after"
    assert "HF_TOKEN" not in os.environ
    assert os.environ["HF_HOME"] == "after"
