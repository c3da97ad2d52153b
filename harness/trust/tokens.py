"""Hides access tokens from the code that comes with a model."""

import contextlib
import os
import re
from collections.abc import Iterator
from typing import Final

TOKEN_VARIABLES: Final = re.compile(r"(?:.*_)?(?:TOKEN|API_KEY|ACCESS_KEY|SECRET|PASSWORD)", flags=re.IGNORECASE)
"""Names of environment variables that are assumed to contain a token: `HF_TOKEN`, `HUGGING_FACE_HUB_TOKEN`,
`WANDB_API_KEY`, `AWS_SECRET_ACCESS_KEY`, and others with the same endings."""


@contextlib.contextmanager
def without_tokens() -> Iterator[None]:
    """Removes tokens from the environment variables, and restores them afterwards, also after an error.

    Code that a checkpoint runs while it is loaded or computes, and every process that it starts, does not
    find them in its environment. This is not a sandbox: code in this process can still read a token file on
    disk (of `hf auth login`, or of Git) and `/proc/self/environ`, and a thread that it leaves behind sees
    the tokens again afterwards.
    """
    hidden = _take_out()
    try:
        yield
    finally:
        # A token that was set meanwhile is not the user's.
        _take_out()
        os.environ.update(hidden)


def _take_out() -> dict[str, str]:
    names = [name for name in os.environ if TOKEN_VARIABLES.fullmatch(name)]
    return {name: os.environ.pop(name) for name in names}
