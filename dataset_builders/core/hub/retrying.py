"""Repeats calls to the Hub that may succeed the next time."""

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Final, TypeVar

from dataset_builders.core.hub.explaining import first_line
from dataset_builders.core.hub.silence import limit_silence

if TYPE_CHECKING:
    import tenacity

MAX_TRIES: Final = 5


TIMEOUT_SECONDS: Final = 30.0
"""Time limit for an answer of the Hub to a question about a repo; the client itself has none."""


MAX_WAIT_SECONDS: Final = 300.0
"""Longest `Retry-After` that is respected; a call with a longer one fails."""


_TRY_AGAIN: Final = frozenset({408, 429, 500, 502, 503, 504})


_REFUSALS: Final = frozenset({429, 503})


_LOG: Final = logging.getLogger(__name__)


_T = TypeVar("_T")


def retried(call: Callable[[], _T], *, only_refusals: bool = False) -> _T:
    """Retries a call to the Hub after a transient error: a lost connection, a rate limit, a failing server.

    Waits as long as the server requests (`Retry-After`), else 1, 2, 4 and 8 seconds.

    Args:
        call: The call; safe to repeat.
        only_refusals: For a call that is not safe to repeat: retry only if the server said that it did nothing.
    """
    import tenacity

    limit_silence()

    def wait(state: tenacity.RetryCallState) -> float:
        cause = state.outcome.exception() if state.outcome else None
        asked = _retry_after(cause)
        return float(2 ** (state.attempt_number - 1)) if asked is None else asked

    return tenacity.Retrying(
        retry=tenacity.retry_if_exception(_was_refused if only_refusals else _may_pass),
        wait=wait,
        stop=tenacity.stop_after_attempt(MAX_TRIES),
        before_sleep=_tell,
        reraise=True,
    )(call)


def _tell(state: "tenacity.RetryCallState") -> None:
    cause = state.outcome.exception() if state.outcome else None
    if isinstance(cause, Exception) and state.next_action is not None:
        _LOG.warning("the Hub: %s; retrying in %g s", first_line(cause), state.next_action.sleep)


def _may_pass(cause: BaseException) -> bool:
    # The client re-exports the root of its HTTP library's errors, whichever library that is.
    from huggingface_hub.errors import HfHubHTTPError, HTTPError  # type: ignore[attr-defined]

    if isinstance(cause, HfHubHTTPError):
        asked = _retry_after(cause)
        return cause.response.status_code in _TRY_AGAIN and (asked is None or asked <= MAX_WAIT_SECONDS)
    return isinstance(cause, HTTPError)


def _was_refused(cause: BaseException) -> bool:
    from huggingface_hub.errors import HfHubHTTPError

    return isinstance(cause, HfHubHTTPError) and cause.response.status_code in _REFUSALS and _may_pass(cause)


def _retry_after(cause: BaseException | None) -> float | None:
    from huggingface_hub.errors import HfHubHTTPError

    if not isinstance(cause, HfHubHTTPError):
        return None
    text = cause.response.headers.get("Retry-After", "")
    return float(text) if text.isdecimal() else None
