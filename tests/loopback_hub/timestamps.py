"""Times as the Hub writes them."""

from datetime import UTC, datetime


def stamp(time: datetime) -> str:
    """Such as `2026-08-19T07:19:38.123Z`."""
    return time.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z"
