"""Errors of the benchmark: one root, few children, each with the exit code of the command line."""

from typing import ClassVar


class MlipOodError(Exception):
    """Root of every error that this project raises on purpose.

    A message says what went wrong, the value seen, what was expected and what to do about it.
    """

    exit_code: ClassVar[int] = 1


class UsageError(MlipOodError):
    """An invalid request: an unknown task, edition, device or option value."""

    exit_code: ClassVar[int] = 2


class DataError(MlipOodError):
    """Data that are absent, corrupt, or break the schema."""

    exit_code: ClassVar[int] = 3


class ShapeError(DataError):
    """An array whose shape differs from the documented one."""


class CertificateError(DataError):
    """A data set that fails its certificate."""


class ModelError(MlipOodError):
    """A checkpoint that cannot be loaded, or that does not support the requested molecules."""

    exit_code: ClassVar[int] = 4


class IncompleteError(MlipOodError):
    """Structures or molecules failed, so the result does not cover the whole task."""

    exit_code: ClassVar[int] = 5


class ConvergenceError(IncompleteError):
    """An embedding, a trajectory or a self-consistent field that failed or did not converge."""


class SetupError(MlipOodError):
    """Something outside the request is missing: an optional package, the network, a writable folder."""

    exit_code: ClassVar[int] = 6


class MissingPackageError(SetupError):
    """An optional dependency is not installed."""

    def __init__(self, package: str, extra: str, purpose: str) -> None:
        self._arguments = (package, extra, purpose)
        super().__init__(
            f"{purpose} needs the package {package!r}, which is not installed. "
            f"Install it with: pip install 'mlip-ood[{extra}]'"
        )

    def __reduce__(self) -> tuple[type["MissingPackageError"], tuple[str, str, str]]:
        # Without it, the error of a worker cannot be unpickled here, and the worker seems to have died.
        return type(self), self._arguments
