"""Ids of repos: those that the Hub takes, as its own client checks them."""

import pytest
from huggingface_hub.utils import HFValidationError, validate_repo_id
from hypothesis import given
from hypothesis import strategies as st

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
