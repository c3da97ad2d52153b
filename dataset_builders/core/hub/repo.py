"""A repo on the Hub, and its main branch."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

if TYPE_CHECKING:
    pass

RepoKind = Literal["dataset", "model"]


MAIN: Final = "main"


@dataclass(frozen=True, slots=True)
class Repo:
    """A repo on the Hub.

    Attributes:
        id: `org/name`.
        kind: Whether it is a data set or a model.
    """

    id: str
    kind: RepoKind

    def __str__(self) -> str:
        return f"{'data set' if self.kind == 'dataset' else 'model'} {self.id}"

    @property
    def url(self) -> str:
        """Address of its page."""
        from huggingface_hub import constants

        return f"{constants.ENDPOINT}/{'datasets/' if self.kind == 'dataset' else ''}{self.id}"
