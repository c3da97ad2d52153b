"""Ids of repos: those that the Hub takes, as its own client checks them."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from huggingface_hub.utils import HFValidationError, validate_repo_id
from hypothesis import given
from hypothesis import strategies as st

from dataset_builders.core.hub import names
from dataset_builders.core.hub.names import DATASET_ID, is_repo_id


def is_valid(text: str) -> bool:
    try:
        validate_repo_id(text)
    except HFValidationError:
        return False
    return "/" in text


@pytest.mark.parametrize("text", ["org/name", "a/b", "org_1/my-model.v2", DATASET_ID])
def test_ids_of_repos(text: str) -> None:
    assert is_repo_id(text)
    assert is_valid(text)


@pytest.mark.parametrize(
    "text", ["", "name", "./name", "org/.", "org/name.", "-org/name", "org/na me", "a/b/c", "../x"]
)
def test_what_is_no_id(text: str) -> None:
    assert not is_repo_id(text)


@given(st.text("abXY01-_./", max_size=20))
def test_what_is_an_id_here_is_one_for_the_client(text: str) -> None:
    """The client also refuses `--` and `..`, which no page of the Hub has ever had."""
    if is_repo_id(text) and "--" not in text and ".." not in text:
        assert is_valid(text)


def test_the_id_of_the_data_set_is_spelt_once() -> None:
    root = Path(names.__file__).parents[3]
    files = [
        path
        for room in ("dataset_builders", "harness", "model_cards")
        for path in (root / room).rglob("*")
        if path.suffix in (".py", ".jinja", ".toml")
    ]
    assert [path for path in files if names.DATASET_ID in path.read_text()] == [Path(names.__file__)]


def test_a_fork_publishes_under_its_own_name() -> None:
    said = subprocess.run(
        [sys.executable, "-m", "harness", "leaderboard", "--help"],
        env={**os.environ, names.DATASET_VARIABLE: "someone/fork"},
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert "--dataset someone/fork --task task2" in said
    assert "compgen" not in said
