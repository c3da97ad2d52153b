"""Spoils contents: values inside a document where its kind allows it, otherwise lines and bytes."""

import json
import math
import random
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

from tests.fuzz.hostile import BYTES, LINES, NUMBERS, TEXTS, TOML, YAML
from tests.fuzz.spoiled_tables import spoiled_table
from tests.fuzz.spoiled_tensors import spoiled_tensors
from tests.fuzz.target import Kind

_SCALAR: Final = re.compile(r'"(?:[^"\\\n]|\\.)*"|[-+]?\d[\w.+-]*|[A-Za-z_][\w./-]*')
_LONGEST: Final = 20 * 10**6
_DEEP: Final = (60, 150, 250, 2000, 100_000)


class Raw(str):
    """Text that is written into a JSON document as it stands."""

    __slots__ = ()


def mutated(kind: Kind, seeds: Sequence[bytes], rng: random.Random) -> bytes:
    """One spoiled content."""
    seed = rng.choice(seeds)
    if rng.random() < 0.15:
        return bytes_mutated(seed, rng, seeds)
    content = _MUTATORS[kind](seed, rng)
    return bytes_mutated(content, rng, seeds) if rng.random() < 0.05 else content


def bytes_mutated(content: bytes, rng: random.Random, others: Sequence[bytes]) -> bytes:
    """Flips, cuts, splices, repetitions and insertions, one to four of them."""
    found = bytearray(content)
    for _ in range(rng.choice((1, 1, 2, 4))):
        place, end = sorted((rng.randrange(len(found) + 1), rng.randrange(len(found) + 1)))
        match rng.randrange(6):
            case 0 if found:
                found[place - 1] ^= 1 << rng.randrange(8)
            case 1:
                del found[place : min(end, place + rng.choice((1, 4, 64, 10**6)))]
            case 2:
                found[place:place] = rng.choice(BYTES)
            case 3:
                other = rng.choice(others)
                found[place:] = other[rng.randrange(len(other) + 1) :]
            case 4:
                found[place:place] = found[place : min(end, place + 200)] * rng.choice((1, 2, 50))
            case _:
                found[place : place + 8] = rng.choice(BYTES)[:8]
    return bytes(found)


def json_mutated(content: bytes, rng: random.Random) -> bytes:
    """Values, keys and nesting of a JSON document."""
    try:
        document = json.loads(content)
    except (ValueError, RecursionError):
        return bytes_mutated(content, rng, [content])
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        document = _changed(document, rng)
    return _cut(_json(document)).encode("utf-8", "surrogatepass")


def _cut(parts: Iterable[str]) -> str:
    """The parts in one, cut off where repetitions of repetitions would fill the memory."""
    found, length = [], 0
    for part in parts:
        found.append(part)
        length += len(part)
        if length > _LONGEST:
            break
    return "".join(found)


def _changed(document: Any, rng: random.Random) -> Any:
    """The document with one change at a random place, all depths being alike."""
    holders = list(_holders(document))
    if not holders:
        return _hostile_value(document, rng)
    holder, key = rng.choice(holders)
    match rng.randrange(9):
        case 0:
            del holder[key]
        case 1 if isinstance(holder, dict):
            holder[rng.choice(TEXTS)] = _hostile_value(holder[key], rng)
        case 2 if isinstance(holder, dict):
            value = holder.pop(key)
            twice = json.dumps(str(key)) if not isinstance(key, Raw) else str(key)
            holder[Raw(f"{twice}: {''.join(_json(value))}, {twice}")] = _hostile_value(value, rng)
        case 3 if isinstance(holder, list):
            holder[key:key] = [holder[key]] * rng.choice((1, 3, 1000))
        case 4:
            other, place = rng.choice(holders)
            if not _contains(other[place], holder):
                holder[key] = other[place]
        case _:
            holder[key] = _hostile_value(holder[key], rng)
    return document


def _contains(value: Any, holder: Any) -> bool:
    """Whether a value is this list or object, or holds it; it may not be put inside, which would close a circle."""
    return value is holder or any(inner[key] is holder for inner, key in _holders(value))


def _holders(document: Any) -> Iterator[tuple[Any, Any]]:
    """Every list or object with each of its keys."""
    waiting = [document]
    while waiting:
        holder = waiting.pop()
        keys: Sequence[Any] = (
            list(holder) if isinstance(holder, dict) else range(len(holder)) if isinstance(holder, list) else ()
        )
        for key in keys:
            yield holder, key
            waiting.append(holder[key])


def _hostile_value(value: Any, rng: random.Random) -> Any:
    deep = rng.choice(_DEEP)
    choices: list[Callable[[], Any]] = [
        lambda: Raw(rng.choice(NUMBERS)),
        lambda: rng.choice(TEXTS),
        lambda: rng.choice((None, True, False, [], {}, [None], {"": None}, [[]], [{}])),
        lambda: Raw("[" * deep + "]" * deep) if rng.random() < 0.5 else Raw('{"a":' * deep + "1" + "}" * deep),
        lambda: [value, value],
        lambda: {"x": value},
        lambda: str(value)[: rng.randrange(1, 200)],
    ]
    if isinstance(value, bool):
        choices.append(lambda: not value)
    elif isinstance(value, int | float) and not math.isnan(value):
        choices += [
            lambda: -value,
            lambda: value + 1,
            lambda: 2 * value,
            lambda: value / 3 if abs(value) < 1e300 else 0,
        ]
    elif isinstance(value, str):
        choices += [lambda: value + rng.choice(TEXTS), value.upper, lambda: value[:-1]]
    elif isinstance(value, list) and value:
        choices += [lambda: value[:-1], lambda: value[::-1], lambda: value * rng.choice((2, 300))]
    return rng.choice(choices)()


def _json(value: Any) -> Iterator[str]:
    """The document as text; not by the recursive encoder, which Raw values would not pass."""
    match value:
        case Raw():
            yield str(value)
        case dict():
            yield "{"
            for place, (key, each) in enumerate(value.items()):
                # The last key of a Raw pair, `"a": 1, "a"`, belongs to this value.
                yield (", " if place else "") + (str(key) if isinstance(key, Raw) else json.dumps(key)) + ": "
                yield from _json(each)
            yield "}"
        case list():
            yield "["
            for place, each in enumerate(value):
                if place:
                    yield ", "
                yield from _json(each)
            yield "]"
        case _:
            yield json.dumps(value, ensure_ascii=False)


def tokens_mutated(content: bytes, rng: random.Random, literals: Sequence[str]) -> bytes:
    """Words and numbers replaced by hostile ones, and lines moved, doubled, dropped, indented or inserted."""
    text = content.decode("utf-8", "replace")
    for _ in range(rng.choice((1, 1, 2, 3))):
        text = _with_token(text, rng, literals) if rng.random() < 0.6 else _with_lines(text, rng, literals)
    return text.encode("utf-8", "surrogatepass")


def _with_token(text: str, rng: random.Random, literals: Sequence[str]) -> str:
    found = list(_SCALAR.finditer(text))
    if not found:
        return text + rng.choice(literals)
    place = rng.choice(found)
    match rng.randrange(4):
        case 0:
            new = rng.choice(NUMBERS)
        case 1:
            new = json.dumps(rng.choice(TEXTS), ensure_ascii=rng.random() < 0.5)
        case 2:
            new = rng.choice(found)[0]
        case _:
            new = rng.choice(literals)
    return text[: place.start()] + new + text[place.end() :]


def _with_lines(text: str, rng: random.Random, literals: Sequence[str]) -> str:
    lines = text.split("\n")
    place, other = rng.randrange(len(lines)), rng.randrange(len(lines))
    match rng.randrange(7):
        case 0:
            del lines[place]
        case 1:
            lines[place:place] = [lines[place]] * rng.choice((1, 2, 500))
        case 2:
            lines[place], lines[other] = lines[other], lines[place]
        case 3:
            lines[place] = " " * rng.choice((1, 2, 4, 40)) + lines[place]
        case 4:
            lines[place] = lines[place].lstrip()
        case 5:
            lines[place:place] = [rng.choice(literals)]
        case _:
            return rng.choice(("\r\n", "\r", "\n\n", "\u2028", "\x85")).join(lines)
    return "\n".join(lines)


def yaml_mutated(content: bytes, rng: random.Random) -> bytes:
    """Tokens and lines, and now and then aliases that grow exponentially."""
    if rng.random() < 0.04:
        width, depth = rng.choice((2, 10)), rng.choice((5, 9, 30))
        lines = ["a0: &a0 [x]"] + [
            f"a{level}: &a{level} [{', '.join([f'*a{level - 1}'] * width)}]" for level in range(1, depth)
        ]
        bomb = "\n".join(lines).encode()
        return content.replace(b"---\n", b"---\n" + bomb + b"\n", 1) if content.startswith(b"---") else bomb
    return tokens_mutated(content, rng, YAML)


_MUTATORS: Final[Mapping[Kind, Callable[[bytes, random.Random], bytes]]] = {
    "json": json_mutated,
    "yaml": yaml_mutated,
    "toml": lambda content, rng: tokens_mutated(content, rng, TOML),
    "text": lambda content, rng: tokens_mutated(content, rng, LINES),
    "parquet": lambda content, rng: spoiled_table(content, rng, json_mutated),
    "safetensors": lambda content, rng: spoiled_tensors(content, rng, json_mutated),
    "bytes": lambda content, rng: bytes_mutated(content, rng, [content]),
}
