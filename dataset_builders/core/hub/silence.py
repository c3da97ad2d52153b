"""How long a silent Hub is waited for."""

from typing import Final

SILENCE_SECONDS: Final = 120.0
"""Longest time in which nothing arrives from the Hub, or nothing can be sent to it, for calls that name no limit of
their own. A commit of many files takes the Hub up to a minute."""


def limit_silence() -> None:
    """Gives the client of this process a time limit, unless it has one: without it, a silent Hub is waited for forever.

    It stays, since calls of other threads may be under way.
    """
    from huggingface_hub import get_session

    session = get_session()
    # A user may have given the client limits of their own.
    if not any(session.timeout.as_dict().values()):
        session.timeout = SILENCE_SECONDS
