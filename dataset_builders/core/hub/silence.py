"""How long a silent Hub is waited for."""

from typing import Any, Final

SILENCE_SECONDS: Final = 120.0
"""Longest time in which nothing arrives from the Hub, or nothing can be sent to it, for calls that name no limit of
their own. A commit of many files takes the Hub up to a minute."""


def limit_silence() -> None:
    """Gives each request of the client a time limit, unless it has one: without, a silent Hub is waited for forever.

    A limit of the client itself would not do, since many of its calls ask for none explicitly. The hook stays, since
    calls of other threads may be under way.
    """
    from huggingface_hub import get_session

    hooks = get_session().event_hooks["request"]
    if _limited not in hooks:
        hooks.append(_limited)


def _limited(request: Any) -> None:
    limits = request.extensions.get("timeout") or {}
    if not any(limits.values()):
        request.extensions["timeout"] = dict.fromkeys(("connect", "read", "write", "pool"), SILENCE_SECONDS)
