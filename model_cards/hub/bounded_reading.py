"""Reads what lies on the Hub without taking more than a bounded amount, whatever somebody has put there."""

import json
from typing import Any, Final

from dataset_builders.core.errors import DataError
from dataset_builders.core.hub.repo import Repo
from dataset_builders.core.hub.retrying import TIMEOUT_SECONDS, retried

MAX_FILE_BYTES: Final = 2**24
"""The Hub keeps no larger file outside of large-file storage."""
MAX_ANSWER_BYTES: Final = 2**26


def read_file(repo: Repo, commit: str, path: str, max_bytes: int = MAX_FILE_BYTES) -> bytes:
    """The content of a small file of a repo at a commit, read past the cache, which takes any error for no network.

    Args:
        repo: The repo.
        commit: The commit.
        path: The file.
        max_bytes: More than this is not read.

    Raises:
        DataError: If the file is larger.
        HTTPError: Any error of the client; to be called inside `explained`.
    """
    from huggingface_hub import hf_hub_url

    url = hf_hub_url(repo.id, path, repo_type=repo.kind, revision=commit)
    return _read(url, {}, f"{path} of {repo}", max_bytes)


def read_answer(path: str, parameters: dict[str, str], name: str) -> Any:
    """What the Hub answers to a question that its client does not read robustly enough.

    Args:
        path: Of the question, such as `/api/models/org/name`.
        parameters: Of the question.
        name: What is asked for, for the message of an error.

    Raises:
        DataError: If the answer is too large, or is no JSON.
        HTTPError: Any error of the client; to be called inside `explained`.
    """
    from huggingface_hub import constants

    content = _read(f"{constants.ENDPOINT}{path}", parameters, name, MAX_ANSWER_BYTES)
    try:
        return json.loads(content)
    except (ValueError, RecursionError) as cause:
        raise DataError(f"the Hub's answer about {name} is no JSON; try again later") from cause


def _read(url: str, parameters: dict[str, str], name: str, max_bytes: int) -> bytes:
    from huggingface_hub.utils import build_hf_headers, get_session, hf_raise_for_status  # type: ignore[attr-defined]

    def call() -> bytes:
        content = bytearray()
        with get_session().stream(
            "GET", url, params=parameters, headers=build_hf_headers(), timeout=TIMEOUT_SECONDS, follow_redirects=True
        ) as response:
            if response.is_error:
                response.read()
            hf_raise_for_status(response)
            for piece in response.iter_bytes():
                content += piece
                if len(content) > max_bytes:
                    raise DataError(f"{name} is larger than {max_bytes:,} bytes, so it is not read; expected less")
        return bytes(content)

    return retried(call)
