"""Reads files and answers of the Hub with a limit on their size, since anyone may upload them."""

import json
from typing import Any, Final

from dataset_builders.core.errors import DataError
from dataset_builders.core.hub.repo import Repo
from dataset_builders.core.hub.retrying import TIMEOUT_SECONDS, retried

MAX_FILE_BYTES: Final = 2**24
"""The Hub puts every larger file into large-file storage."""
MAX_ANSWER_BYTES: Final = 2**26


def read_file(repo: Repo, commit: str, path: str, max_bytes: int = MAX_FILE_BYTES) -> bytes:
    """Reads a small file of a repo at a commit, without the cache, which treats any error as a missing network.

    Args:
        repo: The repo.
        commit: The commit.
        path: The file.
        max_bytes: Largest size that is read.

    Raises:
        DataError: If the file is larger.
        HTTPError: Any error of the client; call this inside `explained`.
    """
    from huggingface_hub import hf_hub_url

    url = hf_hub_url(repo.id, path, repo_type=repo.kind, revision=commit)
    return _read(url, {}, f"{path} of {repo}", max_bytes)


def read_answer(path: str, parameters: dict[str, str], name: str) -> Any:
    """Sends a request to the Hub whose answer the client does not read robustly enough.

    Args:
        path: Path of the request, such as `/api/models/org/name`.
        parameters: Its query parameters.
        name: What is requested, for error messages.

    Raises:
        DataError: If the answer is too large or not JSON.
        HTTPError: Any error of the client; call this inside `explained`.
    """
    from huggingface_hub import constants

    content = _read(f"{constants.ENDPOINT}{path}", parameters, name, MAX_ANSWER_BYTES)
    try:
        return json.loads(content)
    except (ValueError, RecursionError) as cause:
        raise DataError(f"the answer of the Hub about {name} is not JSON; try again later") from cause


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
                    raise DataError(
                        f"{name} is larger than {max_bytes:,} bytes and is not read; expected a smaller file"
                    )
        return bytes(content)

    return retried(call)
