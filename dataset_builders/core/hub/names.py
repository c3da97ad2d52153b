"""Names on the Hub: the data set of this benchmark, and the pattern of valid repo ids."""

import os
import re
from typing import Final

DATASET_VARIABLE: Final = "MLIP_OOD_DATASET"
"""Environment variable with the id of another published data set, such as that of a fork."""

DATASET_ID: Final = os.environ.get(DATASET_VARIABLE) or "compgen/mlip-ood"
"""Id of the published data set, for cards, examples and defaults; spelt only here."""

_PART: Final = r"[A-Za-z0-9_](?:[A-Za-z0-9_.-]{0,94}[A-Za-z0-9_])?"
REPO_ID: Final = rf"{_PART}/{_PART}"
"""Pattern of `owner/name`, as the Hub allows it: 1 to 96 letters, digits, `-`, `_` and `.` each, neither `-` nor `.`
at an end. That neither stands twice in a row is left to the Hub's client, whose message says so."""

_REPO_ID: Final = re.compile(REPO_ID, flags=re.ASCII)


def is_repo_id(text: str) -> bool:
    """Whether a text is a valid repo id, `owner/name`."""
    return _REPO_ID.fullmatch(text) is not None
