"""A repo on the Hub, and its main branch."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, Literal

RepoKind = Literal["dataset", "model", "space"]

MAIN: Final = "main"

_WORDS: Final[Mapping[RepoKind, str]] = MappingProxyType({"dataset": "data set", "model": "model", "space": "Space"})
_FOLDERS: Final[Mapping[RepoKind, str]] = MappingProxyType({"dataset": "datasets/", "model": "", "space": "spaces/"})


@dataclass(frozen=True, slots=True)
class Repo:
    """A repo on the Hub.

    Attributes:
        id: `org/name`.
        kind: Whether it is a data set, a model or a Space.
    """

    id: str
    kind: RepoKind

    def __str__(self) -> str:
        return f"{_WORDS[self.kind]} {self.id}"

    @property
    def url(self) -> str:
        """Address of its page."""
        from huggingface_hub import constants

        return f"{constants.ENDPOINT}/{_FOLDERS[self.kind]}{self.id}"
