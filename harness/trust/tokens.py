"""Keeps tokens away from the code that comes with a model."""

import contextlib
import os
import re
from collections.abc import Iterator
from typing import Final

TOKEN_VARIABLES: Final = re.compile(r"(?:.*_)?(?:TOKEN|API_KEY|ACCESS_KEY|SECRET|PASSWORD)", flags=re.IGNORECASE)
"""Names of environment variables that are taken to hold a token: `HF_TOKEN`, `HUGGING_FACE_HUB_TOKEN`,
`WANDB_API_KEY`, `AWS_SECRET_ACCESS_KEY`, and whatever else ends alike."""


@contextlib.contextmanager
def without_tokens() -> Iterator[None]:
    """Takes tokens out of the environment, and puts them back also after an error.

    What a checkpoint runs while it is loaded or computes, and every process that it starts, does not
    find them in its environment. This is no prison: code in this process can still read a token file on disk
    (of `hf auth login`, or of Git) and `/proc/self/environ`, and what it leaves behind, such as a thread, sees
    the environment again afterwards.
    """
    hidden = _take_out()
    try:
        yield
    finally:
        # One that was set meanwhile is not the user's.
        _take_out()
        os.environ.update(hidden)


def _take_out() -> dict[str, str]:
    names = [name for name in os.environ if TOKEN_VARIABLES.fullmatch(name)]
    return {name: os.environ.pop(name) for name in names}
