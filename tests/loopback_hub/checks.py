"""Checks of YAML that name the file and the field which they refuse."""

from collections.abc import Mapping
from typing import NoReturn

from tests.loopback_hub.card import parse_yaml
from tests.loopback_hub.errors import HubError


class InvalidFileError(HubError):
    """A file that the Hub does not take."""

    def __init__(self, message: str) -> None:
        super().__init__(400, message)


def refuse(file: str, field: str, expected: str, seen: object) -> NoReturn:
    """Says which field of which file is wrong.

    Raises:
        InvalidFileError: Always.
    """
    raise InvalidFileError(f'{file}: "{field}" must be {expected}; got {seen!r}')


def decoded(file: str, content: bytes) -> str:
    """The text of a file.

    Raises:
        InvalidFileError: If it is not UTF-8.
    """
    try:
        return content.decode()
    except UnicodeDecodeError as cause:
        raise InvalidFileError(f"{file} is not UTF-8: {cause}") from cause


def loaded(file: str, text: str) -> object:
    """The value of a YAML file.

    Raises:
        InvalidFileError: If it is not YAML.
    """
    from ruamel.yaml.error import YAMLError

    try:
        return parse_yaml(text)
    except YAMLError as cause:
        raise InvalidFileError(f"{file}: invalid YAML: {' '.join(str(cause).split())}") from cause


def mapping(file: str, field: str, value: object) -> Mapping[str, object]:
    """The value, which must be a mapping."""
    return value if isinstance(value, dict) else refuse(file, field, "a mapping", value)


def items(file: str, field: str, value: object) -> list[object]:
    """The value, which must be a list."""
    return value if isinstance(value, list) else refuse(file, field, "a list", value)


def text(file: str, field: str, value: object) -> str:
    """The value, which must be a string with something in it."""
    return value if isinstance(value, str) and value.strip() else refuse(file, field, "a string", value)


def texts(file: str, field: str, value: object) -> list[str]:
    """The value, which must be a list of strings."""
    if not all(isinstance(item, str) for item in items(file, field, value)):
        refuse(file, field, "a list of strings", value)
    return value  # type: ignore[return-value]


def optional_texts(file: str, of: Mapping[str, object], *fields: str, inside: str = "") -> None:
    """Checks that fields are strings where they are there."""
    for field in fields:
        if of.get(field) is not None:
            text(file, f"{inside}{field}", of[field])
