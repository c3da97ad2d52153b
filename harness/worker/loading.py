"""Loads a potential in this process or in a worker, as required."""

import contextlib
import importlib.util
import logging
import os
import site
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Final

from dataset_builders.core.errors import MissingPackageError, MlipOodError, ModelError, SetupError, UsageError
from harness.compute.arithmetic import neutralise_variables
from harness.core.potential import Isolation, LoadOptions, Potential, PotentialTraits
from harness.models.foreign import is_unknown, load_foreign
from harness.models.registry import ModelSource, families, load_potential, named_as
from harness.worker.client import HelperEndedError, WorkerPotential, WorkerSpec
from harness.worker.confinement import confinement_for
from harness.worker.family_environments import ENVIRONMENTS, find_environment
from harness.worker.kernel_limits import not_dumpable
from harness.worker.project_packages import package_folders

_LOG: Final = logging.getLogger(__name__)


@contextlib.contextmanager
def loaded(
    source: ModelSource, options: LoadOptions, isolation: Isolation = "auto", *, is_first: bool = True
) -> Iterator[Potential]:
    """Loads a potential for a `with` block; its worker, if it has one, ends with the block.

    Args:
        source: Result of `harness.models.resolve.resolve_model`.
        options: Device, precision, trust and threads.
        isolation: Whether it computes in a separate process.
        is_first: Whether to warn of what the code of a stranger can do; not again for a model that is loaded already.

    Raises:
        UsageError: If the model does not support the options.
        ModelError: If the checkpoint cannot be loaded.
        SetupError: If the package of its family is installed neither here nor in an environment.
    """
    if options.compile and not source.family.can_compile:
        able = " ".join(family.name for family in families() if family.can_compile)
        raise UsageError(
            f"--compile has no effect on {source.model_id} of the family {source.family.name}; families that support "
            f"it: {able}. Leave it out"
        )
    interpreter = _interpreter(source)
    neutralise_variables()
    if not _needs_worker(source, interpreter, isolation):
        with _importing_from_working_directory(source):
            yield load_foreign(
                source.family.module,
                source.model_id,
                lambda: load_potential(source, options),
                contained=_is_contained(source),
            )
        return
    spec = _spec(source, options, interpreter, is_strict=isolation == "strict")
    with not_dumpable(), contextlib.closing(WorkerPotential(spec)) as worker:
        if is_first and isolation != "strict" and _is_of_strangers(source):
            _LOG.warning("%s", _what_is_open(source, is_cut_off=worker.is_cut_off))
        yield named_as(worker, source)


@contextlib.contextmanager
def helper(
    source: ModelSource, options: LoadOptions, isolation: Isolation, traits: PotentialTraits
) -> Iterator[Potential]:
    """Loads a potential that is loaded already once more, in a worker that helps to compute, for a `with` block.

    Args:
        source: As for `loaded`.
        options: As for `loaded`.
        isolation: As for `loaded`.
        traits: Traits of the first potential, whose files this one must be read from, too.

    Raises:
        HelperEndedError: If it cannot be loaded, although the first one could.
        ModelError: If the files of the model are others than when it was first loaded.
    """
    spec = _spec(source, options, _interpreter(source), is_strict=isolation == "strict")
    try:
        worker = WorkerPotential(replace(spec, is_helper=True))
    except MlipOodError as cause:
        raise HelperEndedError(str(cause)) from cause
    with contextlib.closing(worker):
        if dict(worker.traits.files) != dict(traits.files):
            raise ModelError(
                f"the files of {source.model_id} have changed since this evaluation began; evaluate the model again"
            )
        yield worker


def why_no_helpers(source: ModelSource, isolation: Isolation) -> str | None:
    """Why a potential cannot be loaded in several processes; `None` if it can."""
    if isolation == "never":
        return "--isolation never computes in the process of the command"
    if is_unknown(source.family.module) and not _needs_worker(source, _interpreter(source), isolation):
        return "a plug-in computes in the process of the command"
    return None


def _spec(source: ModelSource, options: LoadOptions, interpreter: Path | None, *, is_strict: bool) -> WorkerSpec:
    folders = _folders_for(source, interpreter)
    python = interpreter or Path(sys.executable)
    # Not resolved: in the cache of the Hub's client, the link has the file's name, but its target does not.
    place = source.model_id if source.path is None else source.path.absolute()
    return WorkerSpec(
        module=source.family.module,
        source=place,
        options=options,
        python=python,
        module_folders=folders,
        confinement=confinement_for(python, (*package_folders(), *folders), place) if is_strict else None,
        contained=_is_contained(source),
    )


def _is_contained(source: ModelSource) -> bool:
    return _runs_code(source) or is_unknown(source.family.module)


def _is_of_strangers(source: ModelSource) -> bool:
    """Whether code that the user did not write comes with the model."""
    return _is_pickle(source) or is_unknown(source.family.module)


def _what_is_open(source: ModelSource, *, is_cut_off: bool) -> str:
    """What a worker is not kept away from, in one line."""
    network = "" if is_cut_off else " and reach the network, which this system cannot cut off"
    return (
        f"the code in {source.model_id} runs with your rights: it can read your files{network}; --isolation strict "
        "keeps it from both"
    )


def _interpreter(source: ModelSource) -> Path | None:
    """The interpreter of the family's environment, or `None` if it runs in that of the harness."""
    family = source.family
    environment = find_environment(family.environment)
    if environment is not None:
        return environment.python
    if family.extra is None and family.environment not in ENVIRONMENTS:
        return None
    if importlib.util.find_spec(family.package) is not None:
        return None
    raise _missing(source)


def _needs_worker(source: ModelSource, interpreter: Path | None, isolation: Isolation) -> bool:
    if isolation == "never":
        if interpreter is not None:
            raise UsageError(
                f"{source.model_id} runs in the environment of the family {source.family.environment}, and so in a "
                "separate process; leave out --isolation never, or install the family beside the harness"
            )
        return False
    return isolation in ("always", "strict") or interpreter is not None or _runs_code(source)


def _runs_code(source: ModelSource) -> bool:
    return source.family.is_open or _is_pickle(source)


def _is_pickle(source: ModelSource) -> bool:
    return source.family.is_pickled and source.path is not None


def _folders_for(source: ModelSource, interpreter: Path | None) -> tuple[Path, ...]:
    """Where a worker may import from, beside the folders of its interpreter."""
    if source.family.is_open:
        return _folders_of_the_user()
    # A plug-in may be installed where this process alone looks; nothing is taken from the working directory for it.
    return _folders_of_packages() if is_unknown(source.family.module) and interpreter is None else ()


def _folders_of_the_user() -> tuple[Path, ...]:
    """Folders that may contain the user's function: the working directory, and those of Python's path."""
    return tuple(dict.fromkeys([Path.cwd(), *_folders_of_packages()]))


def _folders_of_packages() -> tuple[Path, ...]:
    """Folders of Python's path other than those of the interpreter."""
    named = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    own = site.getusersitepackages() if site.ENABLE_USER_SITE else None
    return (*(Path(name).absolute() for name in named if name), *([Path(own)] if own else []))


@contextlib.contextmanager
def _importing_from_working_directory(source: ModelSource) -> Iterator[None]:
    """Lets this process import from the working directory, as a worker can; an installed command otherwise cannot."""
    if not source.family.is_open:
        yield
        return
    folder = str(Path.cwd())
    sys.path.insert(0, folder)
    try:
        yield
    finally:
        with contextlib.suppress(ValueError):
            sys.path.remove(folder)


def _missing(source: ModelSource) -> SetupError:
    family = source.family
    purpose = f"loading {source.model_id} (family {family.name})"
    own = f"python -m harness env create {family.environment}" if family.environment in ENVIRONMENTS else None
    if family.extra is None:
        return SetupError(f"{purpose} needs a separate environment, which is missing. Create it with: {own}")
    error = MissingPackageError(family.package, family.extra, purpose)
    return error if own is None else SetupError(f"{error}, or in a separate environment with: {own}")
