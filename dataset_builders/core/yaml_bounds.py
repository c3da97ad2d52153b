"""Bounds on untrusted YAML, checked before any object is built from it."""

import functools
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from dataset_builders.core.errors import DataError
from dataset_builders.core.hub.explaining import first_line

if TYPE_CHECKING:
    from ruamel.yaml import YAML

MAX_CHARACTERS: Final = 2**19
"""Length of a document. The files of this benchmark need some hundred bytes per number."""
MAX_DEPTH: Final = 32
"""Nesting depth of lists and mappings; the entries of a card have depth six."""
MAX_VALUES: Final = 20_000
"""Values of a document after alias expansion, which every writer performs."""


MISFITS: Final = (ValueError, ArithmeticError, LookupError, AttributeError, TypeError)
"""What the parser raises, besides its own errors, if a scalar does not match its tag, such as `!!int ""`."""


@dataclass(slots=True)
class _Count:
    """Running count of values.

    Attributes:
        open: Number of values, nested ones included, in each open list or mapping, outermost first.
        anchors: Anchor of each of them; `None` without one.
        of_anchor: Number of values behind each completed anchor.
    """

    open: list[int] = field(default_factory=lambda: [0])
    anchors: list[str | None] = field(default_factory=list)
    of_anchor: dict[str, int] = field(default_factory=dict)


def safe_yaml() -> "YAML":
    """A YAML 1.2 parser, as the Hub uses, that builds only plain values and prints no warning."""
    from ruamel.yaml import YAML

    yaml = YAML(typ="safe", pure=True)
    yaml.composer.warn_double_anchors = False
    return yaml


def bounded_yaml(text: str, name: str) -> Any:
    """Reads a YAML document (version 1.2, as the Hub does) into plain values.

    Args:
        text: The document.
        name: Its name, for error messages.

    Raises:
        DataError: If it is not YAML, or is longer, deeper or larger than a hand-written file.
    """
    from ruamel.yaml.error import YAMLError

    try:
        # The bounds are checked while the document is composed, since the scanner takes most of the time.
        return _counting_yaml(text, name).load(text)
    except (YAMLError, *MISFITS) as cause:
        raise DataError(f"{name} is not YAML ({_where(cause)}); correct it first, it was not changed") from cause


def require_bounded(text: str, name: str) -> None:
    """Checks the length, depth and size of a document from its tokens alone, without following an alias.

    Args:
        text: The document.
        name: Its name, for error messages.

    Raises:
        DataError: If it exceeds a bound, which no hand-written file does.
        YAMLError: From `ruamel.yaml`, if it is not YAML.
    """
    for _ in _counting_yaml(text, name).parse(text):
        pass


def _counting_yaml(text: str, name: str) -> "YAML":
    """A parser for a document of bounded length, which checks the other bounds as it reads.

    Raises:
        DataError: If the document is longer.
    """
    if len(text) > MAX_CHARACTERS:
        raise _limit_error(name, f"{len(text):,} characters long", f"{MAX_CHARACTERS:,}")
    yaml = safe_yaml()
    yaml.Parser = functools.partial(_counting_parser(), name=name)
    return yaml


@functools.cache
def _counting_parser() -> Callable[..., Any]:
    """A parser that checks the bounds of a document with each event that it gives away."""
    from ruamel.yaml.parser import Parser

    class CountingParser(Parser):
        def __init__(self, loader: Any, name: str) -> None:
            super().__init__(loader)
            self._count = _Count()
            self._document_name = name

        def get_event(self) -> Any:
            event = super().get_event()
            _add(self._count, event, self._document_name)
            return event

    return CountingParser


def _add(count: _Count, event: Any, name: str) -> None:
    """Counts one parser event."""
    from ruamel.yaml import events

    match event:
        case events.CollectionStartEvent():
            count.open.append(1)
            count.anchors.append(event.anchor)
            if len(count.anchors) > MAX_DEPTH:
                raise _limit_error(name, f"more than {MAX_DEPTH} lists and mappings deep", str(MAX_DEPTH))
            return
        case events.CollectionEndEvent():
            anchor, values = count.anchors.pop(), count.open.pop()
        case events.ScalarEvent():
            anchor, values = event.anchor, 1
        case events.AliasEvent():
            if event.anchor in count.anchors:
                raise DataError(
                    f"{name} contains a list or mapping (&{event.anchor}) that contains itself; write it without an "
                    "alias"
                )
            anchor, values = None, count.of_anchor.get(event.anchor, 1)
        case _:
            return
    if anchor is not None:
        count.of_anchor[anchor] = values
    count.open[-1] += values
    if count.open[-1] > MAX_VALUES:
        raise _limit_error(name, f"more than {MAX_VALUES:,} values large with its aliases expanded", f"{MAX_VALUES:,}")


def _limit_error(name: str, seen: str, expected: str) -> DataError:
    return DataError(f"{name} is {seen}; expected at most {expected}. Shorten it first, it was not changed")


def _where(cause: Exception) -> str:
    mark = getattr(cause, "problem_mark", None)
    problem = getattr(cause, "problem", None) or first_line(cause)
    return f"line {mark.line + 1}: {problem}" if mark is not None else str(problem)
