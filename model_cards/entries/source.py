"""Where the entries of a result say that it comes from."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Source:
    """The trace of a result, and who evaluated.

    Attributes:
        url: Address of the trace.
        user: User of the Hub who evaluated; `None` if it was an organisation.
        org: The organisation; `None` if it was a user.
    """

    url: str
    user: str | None = None
    org: str | None = None
