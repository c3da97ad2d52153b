"""Changes items of a YAML list in its text, so that everything else stays identical to the byte.

A round trip through a YAML library moves comments, spaces and line breaks. This module rewrites only the lines of
the changed items, then parses the outcome and checks that it contains exactly the intended content.
"""

import copy
import functools
import io
import math
import re
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from dataset_builders.core.errors import DataError
from dataset_builders.core.yaml_bounds import bounded_yaml, safe_yaml

YamlPath = tuple[str | int, ...]
"""Keys and indices that lead from the top of a document to a value in it."""

_NO_WRAP: Final = 2**16
"""Line width, large enough that no line is folded."""

_KEPT: Final = 16
"""Size of the cache of parsed documents: a change parses and compares the same text many times."""

_LINE_BREAK: Final = re.compile(r"\r\n|\r|\n")


@dataclass(frozen=True, slots=True)
class Items:
    """The wanted items of a list that also contains items of others.

    Attributes:
        wanted: Items by identity, in order; not empty.
        identity_of: Identity of an item, or `None` if it belongs to someone else. An item that has an identity and
            is not wanted is removed.
    """

    wanted: Mapping[Any, Any]
    identity_of: Callable[[Any], Hashable | None]


@dataclass(frozen=True, slots=True)
class _Slot:
    """The outcome for one item of the old list: whether it stays, and which new items follow it."""

    stays: bool
    new: list[Any]


@dataclass(frozen=True, slots=True)
class _Span:
    """Position of an item in the text."""

    start: int
    end: int


def load_yaml(text: str, name: str) -> Any:
    """Reads a YAML document (version 1.2, as the Hub does) into plain values.

    Args:
        text: The document.
        name: Its name, for error messages.

    Raises:
        DataError: If it is not YAML, or is longer, deeper or larger than a hand-written file.
    """
    return copy.deepcopy(_parsed(text, name))


@functools.lru_cache(maxsize=_KEPT)
def _parsed(text: str, name: str) -> Any:
    """The values of a document, shared by all callers."""
    return bounded_yaml(text, name)


def merge_items(text: str, path: YamlPath, items: Items, name: str) -> str:
    """Merges the wanted items into the list at `path`.

    An existing item with other content is replaced in place. A new item follows the wanted item before it,
    or is added at the end of the list. Items of others stay identical to the byte.

    Args:
        text: The document.
        path: Path of the list, which must exist.
        items: The items.
        name: Name of the document, for error messages.

    Raises:
        DataError: If the document is not YAML, or cannot be changed at this place alone.
    """
    data = load_yaml(text, name)
    old = _value_at(data, path)
    node = _node_at(text, path, name)
    if not old:
        filled = _flow_list([*items.wanted.values()])
        text = text[: node.start_mark.index] + filled + text[node.end_mark.index :]
        return _checked(text, _with_value(data, path, [*items.wanted.values()]), name)
    slots = _slots(old, items)
    if all(slot.stays and not slot.new for slot in slots):
        return text
    for span, replacement in reversed(list(_edits(text, node, slots))):
        text = text[: span.start] + replacement + text[span.end :]
    merged = [item for each, slot in zip(old, slots, strict=True) for item in ([each] if slot.stays else []) + slot.new]
    return _checked(text, _with_value(data, path, merged), name)


def remove_items(text: str, path: YamlPath, is_ours: Callable[[Any], bool], name: str) -> str:
    """Removes items from the list at `path`; the others and their comments stay identical to the byte.

    An empty list is written as `[]`.

    Args:
        text: The document.
        path: Path of the list, which must exist.
        is_ours: Whether to remove an item.
        name: Name of the document, for error messages.

    Raises:
        DataError: If the document is not YAML, or cannot be changed at this place alone.
    """
    data = load_yaml(text, name)
    old = _value_at(data, path)
    kept = [item for item in old if not is_ours(item)]
    if len(kept) == len(old):
        return text
    if kept:
        return merge_items(text, path, Items({}, lambda item: True if is_ours(item) else None), name)
    node = _node_at(text, path, name)
    end = node.end_mark.index if node.flow_style else _content_end(text, node.start_mark.index, node.end_mark.index)
    return _checked(text[: node.start_mark.index] + "[]" + text[end:], _with_value(data, path, []), name)


def remove_top_key(text: str, key: str, name: str) -> str:
    """Removes a key and its value from the top-level mapping; comments after it stay.

    Args:
        text: The document; a mapping with the key.
        key: The key.
        name: Name of the document, for error messages.

    Raises:
        DataError: If the document is not YAML, or the key cannot be removed alone.
    """
    data = load_yaml(text, name)
    root: Any = safe_yaml().compose(text)
    found = next(((each, value) for each, value in root.value if each.value == key), None)
    if found is None or root.flow_style:
        raise _unusual(name)
    start = found[0].start_mark.index
    line_break = _LINE_BREAK.search(
        text, _content_end(text, start, max(found[1].end_mark.index, found[0].end_mark.index))
    )
    rest = {other: value for other, value in data.items() if other != key}
    text = text[:start] + (text[line_break.end() :] if line_break else "")
    return _checked(text, rest or (None if load_yaml(text, name) is None else {}), name)


def fill_empty(text: str, value: Sequence[Any], name: str) -> str:
    """Adds a list to a document that contains only comments.

    Args:
        text: The document.
        value: The list.
        name: Name of the document, for error messages.

    Raises:
        DataError: If the document cannot take a list, for example because it is `null`.
    """
    newline = newline_of(text)
    text += "" if not text.strip("\ufeff") or text.endswith(("\n", "\r")) else newline
    return _checked(text + render_yaml(value).replace("\n", newline), list(value), name)


def set_top_key(text: str, key: str, value: Sequence[Any], name: str) -> str:
    """Sets a list under a key of the top-level mapping that is absent or empty.

    Args:
        text: The document; a mapping, or empty.
        key: The key.
        value: The list.
        name: Name of the document, for error messages.

    Raises:
        DataError: If the document is not YAML, or its style does not allow a further key.
    """
    newline = newline_of(text)
    text += "" if not text or text.endswith(("\n", "\r")) else newline
    data = load_yaml(text, name) or {}
    block = render_yaml(value).replace("\n", newline)
    if key in data:
        span = _value_span(text, key, name)
        text = text[: span.start].rstrip(" ") + newline + block.removesuffix(newline) + text[span.end :]
    else:
        text = f"{text}{key}:{newline}{block}"
    return _checked(text, {**data, key: list(value)}, name)


def replace_top_value(text: str, key: str, value: Sequence[Any], name: str) -> str:
    """Replaces the value of a top-level key by a list, written on one line.

    Args:
        text: The document; a mapping with the key.
        key: The key.
        value: The list.
        name: Name of the document, for error messages.

    Raises:
        DataError: If the document is not YAML, or the value cannot be replaced alone.
    """
    data = load_yaml(text, name)
    span = _value_span(text, key, name)
    return _checked(text[: span.start] + _flow_list(value) + text[span.end :], {**data, key: list(value)}, name)


def render_yaml(value: Any) -> str:
    """Writes a value as YAML; a string is quoted if YAML 1.1 (the client) or 1.2 (the Hub) would read another type."""
    from ruamel.yaml import YAML

    stream = io.StringIO()
    yaml = YAML()
    yaml.width = _NO_WRAP
    yaml.dump(_quoted(value), stream)
    return stream.getvalue()


def newline_of(text: str) -> str:
    r"""The line ending of the first line of a text, or `\n`."""
    found = _LINE_BREAK.search(text)
    return found[0] if found else "\n"


def _quoted(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _quoted(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_quoted(item) for item in value]
    return _quoted_text(value) if isinstance(value, str) else value


@functools.lru_cache(maxsize=4096)  # cards repeat the names of numbers and units
def _quoted_text(text: str) -> str:
    from huggingface_hub.utils import yaml_dump  # type: ignore[attr-defined]
    from ruamel.yaml.scalarstring import DoubleQuotedScalarString, SingleQuotedScalarString

    quote = yaml_dump(text)[0]
    kinds: dict[str, type[str]] = {"'": SingleQuotedScalarString, '"': DoubleQuotedScalarString}
    return kinds[quote](text) if quote in kinds else text


def _slots(old: Sequence[Any], items: Items) -> list[_Slot]:
    identities = [items.identity_of(item) for item in old]
    slots: list[_Slot] = []
    place: dict[Hashable, int] = {}
    for index, (item, identity) in enumerate(zip(old, identities, strict=True)):
        first = identity in items.wanted and identity not in place
        if identity is not None and first:
            place[identity] = index
        stays = identity is None or (first and item == items.wanted[identity])
        slots.append(_Slot(stays, [] if stays or not first else [items.wanted[identity]]))
    last = len(old) - 1
    for identity, item in items.wanted.items():
        if identity in place:
            last = place[identity]
        else:
            slots[last].new.append(item)
    return slots


def _edits(text: str, node: Any, slots: Sequence[_Slot]) -> Iterator[tuple[_Span, str]]:
    """Pieces of the text and their replacements, from front to back, without overlap."""
    if node.flow_style:
        yield from _flow_edits(node, slots)
        return
    newline = newline_of(text)
    spans, column = _block_spans(text, node)
    separator = newline + " " * column
    for span, slot in zip(spans, slots, strict=True):
        lines = [_block_item(item).replace("\n", separator) for item in slot.new]
        line_break = _LINE_BREAK.search(text, span.end)
        if slot.stays and lines:
            end = line_break.start() if line_break else len(text)
            yield _Span(end, end), "".join(separator + each for each in lines)
        elif lines:
            yield span, separator.join(lines)
        elif not slot.stays:
            yield _Span(span.start - column, line_break.end() if line_break else len(text)), ""


def _flow_edits(node: Any, slots: Sequence[_Slot]) -> Iterator[tuple[_Span, str]]:
    starts = [each.start_mark.index for each in node.value]
    ends = [each.end_mark.index for each in node.value]
    for index, slot in enumerate(slots):
        written = [_flow_item(item) for item in slot.new]
        if slot.stays and written:
            yield _Span(ends[index], ends[index]), "".join(f", {each}" for each in written)
        elif written:
            yield _Span(starts[index], ends[index]), ", ".join(written)
        elif not slot.stays and any(later.stays or later.new for later in slots[index + 1 :]):
            yield _Span(starts[index], starts[index + 1]), ""
        elif not slot.stays:
            yield _Span(ends[index - 1], ends[index]), ""


def _block_spans(text: str, node: Any) -> tuple[list[_Span], int]:
    """Positions of the items of a list in block style, each from its dash to its last character, and their column."""
    from ruamel.yaml.tokens import BlockEntryToken

    start, end = node.start_mark.index, node.end_mark.index
    entries = [token.start_mark for token in safe_yaml().scan(text) if isinstance(token, BlockEntryToken)]
    inside = [mark for mark in entries if start <= mark.index < end]
    column = inside[0].column
    dashes = [mark.index for mark in inside if mark.column == column]
    bounds = [*dashes[1:], end]
    return [_Span(dash, _content_end(text, dash, bound)) for dash, bound in zip(dashes, bounds, strict=True)], column


def _content_end(text: str, start: int, bound: int) -> int:
    """End of an item before `bound`, without the blank and comment lines after it."""
    piece = text[start:bound].rstrip()
    while (cut := max(piece.rfind("\n"), piece.rfind("\r"))) >= 0 and piece[cut + 1 :].lstrip().startswith("#"):
        piece = piece[:cut].rstrip()
    return start + len(piece)


def _block_item(item: Any) -> str:
    return render_yaml([item]).rstrip("\n")


def _flow_item(item: Any) -> str:
    return _flow_list([item])[1:-1]


def _flow_list(value: Sequence[Any]) -> str:
    from ruamel.yaml import YAML

    stream = io.StringIO()
    yaml = YAML()
    yaml.width = _NO_WRAP
    yaml.default_flow_style = True
    yaml.dump(_quoted(value), stream)
    return stream.getvalue().strip()


def _node_at(text: str, path: YamlPath, name: str) -> Any:
    node: Any = safe_yaml().compose(text)
    for step in path:
        if isinstance(step, int):
            node = node.value[step]
        else:
            node = next((value for key, value in node.value if key.value == step), None)
        # A key from a merge (`<<`) is in the data but not in the text of the mapping.
        if node is None:
            raise _unusual(name)
    return node


def _value_span(text: str, key: str, name: str) -> _Span:
    """Position of the value of a top-level key; just after the colon if it is empty."""
    root: Any = safe_yaml().compose(text)
    found = next(((each, value) for each, value in root.value if each.value == key), None)
    if found is None:
        raise _unusual(name)
    start, end = (mark.index for mark in (found[1].start_mark, found[1].end_mark))
    if start < end:
        return _Span(start, end)
    # The parser places an empty value at the next token, below comments of others.
    colon = text.index(":", found[0].end_mark.index)
    return _Span(colon + 1, colon + 1)


def _value_at(data: Any, path: YamlPath) -> Any:
    for step in path:
        data = data[step]
    return data


def _with_value(data: Any, path: YamlPath, value: Any) -> Any:
    if not path:
        return value
    changed = copy.copy(data)
    changed[path[0]] = _with_value(data[path[0]], path[1:], value)
    return changed


def _checked(text: str, expected: Any, name: str) -> str:
    try:
        found = load_yaml(text, name)
    except DataError as cause:
        raise _unusual(name) from cause
    if not _is_same(found, expected):
        raise _unusual(name)
    return text


def _is_same(first: Any, second: Any) -> bool:
    """Whether two documents have equal content in equal order; here NaN equals NaN, and 1 does not equal True."""
    if type(first) is not type(second):
        return False
    if isinstance(first, dict):
        return _is_same([*first.items()], [*second.items()])
    if isinstance(first, list | tuple):
        return len(first) == len(second) and all(map(_is_same, first, second))
    if isinstance(first, float) and math.isnan(first):
        return math.isnan(second)
    return bool(first == second)


def _unusual(name: str) -> DataError:
    return DataError(
        f"{name} has a form that cannot be extended without changing the content of others; write it as plain lists "
        "and mappings, without anchors, each item on separate lines"
    )
