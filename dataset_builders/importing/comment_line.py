"""Reads the comment line of an extended-XYZ frame without losing keys or values.

ASE parses it, but keeps only the last of duplicate keys, and an unclosed quote or a missing value swallows the keys
after it. So the keys are separated here again, and the result of ASE must agree.
"""

from collections.abc import Iterator
from typing import Any, Final

import numpy as np

_CLOSING: Final = {"'": "'", '"': '"', "{": "}", "[": "]"}


class MalformedFrameError(Exception):
    """Malformed text of a frame. The reader turns it into a mismatch of that frame."""


def values_of_comment(comment: str) -> dict[str, Any]:
    """Keys and values of a comment line, as ASE parses them.

    Raises:
        MalformedFrameError: If a key is duplicated, a quote is open, or a value is a number only to Python.
    """
    from ase.io.extxyz import key_val_str_to_dict

    pairs = _pairs(comment)
    raw = dict(pairs)
    if len(raw) < len(pairs):
        keys = [key for key, _ in pairs]
        twice = sorted({key for key in keys if keys.count(key) > 1})
        raise MalformedFrameError(f"{twice[0]} occurs twice in the comment line")
    try:
        info: dict[str, Any] = key_val_str_to_dict(comment) if comment.strip() else {}
    except (ValueError, RecursionError) as cause:
        raise MalformedFrameError(f"a comment line that ASE cannot read ({cause})") from cause
    if info.keys() != raw.keys():
        raise MalformedFrameError(f"a comment line with ambiguous keys: {comment.strip()[:60]!r}")
    for key, value in info.items():
        # Python, and so ASE, accepts `1_0` and digits of any script as numbers.
        is_odd = "_" in raw[key] or not raw[key].isascii()
        if is_odd and isinstance(value, (np.number, np.ndarray)) and not raw[key].startswith("_JSON"):
            raise MalformedFrameError(f"{key} {raw[key][:60]!r} is not a number")
    return info


def _pairs(comment: str) -> list[tuple[str, str]]:
    """Keys and raw values of a comment line, by ASE's rules.

    Raises:
        MalformedFrameError: If a value swallows the keys after it.
    """
    tokens = [[""]]
    is_apart = is_empty = False
    for char, is_verbatim in _characters(comment.strip()):
        if is_verbatim or not (char.isspace() or char == "="):
            tokens[-1][-1] += char
            is_empty = is_verbatim and not tokens[-1][-1]
        elif char == "=":
            if is_apart or tokens == [[""]]:
                raise MalformedFrameError(f"a key or a value is missing next to an = in {comment.strip()[:60]!r}")
            if tokens[-1] == [""]:
                tokens.pop()
            tokens[-1].append("")
        elif is_empty:
            raise MalformedFrameError(f"an empty value of {tokens[-1][0]}, which ASE replaces by the following text")
        elif tokens[-1][-1]:
            tokens.append([""])
            is_apart = False
        else:
            # Spaces may separate a value from its `=`, but a complete key-value pair may not follow.
            is_apart = len(tokens[-1]) > 1
    return [(token[0], "=".join(token[1:]) if len(token) > 1 else "T") for token in tokens]


def _characters(text: str) -> Iterator[tuple[str, bool]]:
    """Characters, and whether each is literal; an empty one at the end of a quote."""
    closing, is_escaped = "", False
    for char in text:
        if is_escaped:
            if char.isspace() and not closing:
                raise MalformedFrameError(f"a backslash before a space in {text[:60]!r}")
            is_escaped = False
            yield char, True
        elif char == "\\":
            is_escaped = True
        elif closing:
            yield ("", True) if char == closing else (char, True)
            closing = "" if char == closing else closing
        elif char in _CLOSING:
            closing = _CLOSING[char]
        else:
            yield char, False
    if closing:
        raise MalformedFrameError(f"a closing {closing} is missing in {text[:60]!r}")
