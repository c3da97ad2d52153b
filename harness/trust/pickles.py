"""Finds what a pickled checkpoint would import, without running any of it.

Loading a pickle runs whatever it names, so a checkpoint from somebody else is a program. The lists here
help to decide whether to trust it; they cannot prove that a file is harmless.
"""

import pickletools
import zipfile
import zlib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Final

from dataset_builders.core.errors import ModelError
from dataset_builders.core.hashes import file_sha256
from harness.core.potential import LoadOptions

MAX_NAMED: Final = 8
"""Number of imports that the error message lists."""

UNRESOLVED: Final = "<a name computed while loading>"

_SUSPICIOUS_MODULES: Final = frozenset(
    {"asyncio", "code", "codeop", "commands", "ctypes", "cloudpickle", "dill", "ftplib", "http", "importlib"}
    | {"marshal", "multiprocessing", "nt", "os", "pathlib", "pickle", "pip", "posix", "pty", "requests", "runpy"}
    | {"shutil", "signal", "smtplib", "socket", "subprocess", "sys", "tempfile", "threading", "timeit", "types"}
    | {"urllib", "webbrowser"}
)
_SUSPICIOUS_NAMES: Final = frozenset({"torch.fx.graph_module.reduce_graph_module", "torch.hub.load"})
"""Functions of PyTorch that run source code passed to them; MACE itself uses the first."""
_HARMLESS_BUILTINS: Final = frozenset(
    {"bool", "bytearray", "bytes", "complex", "dict", "float", "frozenset", "int", "list", "object", "range", "set"}
    | {"slice", "str", "tuple", "type"}
)
_ZIP_MAGIC: Final = b"PK\x03\x04"
_PICKLES_PER_FILE: Final = 5
"""Magic number, protocol, system, object and storage keys: what torch.load reads of the older format."""
_STRINGS: Final = frozenset(
    {"STRING", "BINSTRING", "SHORT_BINSTRING", "UNICODE", "SHORT_BINUNICODE", "BINUNICODE", "BINUNICODE8"}
)
_STORES: Final = frozenset({"PUT", "BINPUT", "LONG_BINPUT"})
_LOADS: Final = frozenset({"GET", "BINGET", "LONG_BINGET"})
_IMPORTS_BY_ARGUMENT: Final = frozenset({"GLOBAL", "INST"})
_EXTENSIONS: Final = frozenset({"EXT1", "EXT2", "EXT4"})


def sha256_of(path: Path) -> str:
    """The sha256 of a file, in hexadecimal.

    Raises:
        ModelError: If the file cannot be read.
    """
    try:
        return file_sha256(path)
    except OSError as cause:
        raise ModelError(f"cannot read the checkpoint {path}: {cause}") from cause


def imports_of(path: Path) -> tuple[str, ...]:
    """Functions and classes that a pickled checkpoint would import, as `module.name`, suspicious ones first.

    Args:
        path: A file of `torch.save`, in its zip format or its older format, or any other pickle.

    Raises:
        ModelError: If the file cannot be read or contains no pickle.
    """
    found: set[str] = set()
    n_pickles = 0
    try:
        with path.open("rb") as file:
            # torch.load decides by the first bytes, so a pickle followed by a harmless zip is a pickle.
            if file.read(len(_ZIP_MAGIC)) == _ZIP_MAGIC:
                with zipfile.ZipFile(file) as archive:
                    for member in archive.namelist():
                        if member.endswith(".pkl"):
                            with archive.open(member) as inner:
                                n_pickles += _scan(inner, found)
            else:
                file.seek(0)
                n_pickles = _scan(file, found)
    # zipfile raises RuntimeError for an encrypted member, and NotImplementedError, its child, for other compressions.
    except (OSError, EOFError, UnicodeDecodeError, zipfile.BadZipFile, zlib.error, RuntimeError) as cause:
        raise ModelError(f"cannot read the checkpoint {path}: {cause}") from cause
    if n_pickles == 0 and not found:
        raise ModelError(f"{path} contains no pickle, so torch.save did not write it; is it the right file?")
    return tuple(sorted(found, key=lambda name: (not is_suspicious(name), name)))


def is_suspicious(name: str) -> bool:
    """Whether an import gives access to the system: processes, files, the network, the interpreter itself."""
    module, _, attribute = name.rpartition(".")
    if module in ("builtins", "__builtin__"):
        return attribute not in _HARMLESS_BUILTINS
    if name == UNRESOLVED or name in _SUSPICIOUS_NAMES:
        return True
    return name.split(".", maxsplit=1)[0] in _SUSPICIOUS_MODULES


def require_trust(path: Path, options: LoadOptions) -> None:
    """Accepts a pickled checkpoint only if the user has declared it trusted.

    Raises:
        ModelError: If it is not trusted; the message names the file, its sha256 and what it would
            import.
    """
    sha256 = sha256_of(path)
    if options.trusts(sha256):
        return
    names = imports_of(path)
    raise ModelError(
        f"{path} (sha256 {sha256}) is a pickle, and loading a pickle runs what it names. "
        f"It would import {_summary(names)}. If you trust its source, add --trust-checkpoint, or add its sha256 "
        "to your list of trusted checkpoints (mlip-ood/trusted in your configuration folder, or the file that "
        "MLIP_OOD_TRUSTED names); otherwise ask for the model in a format without pickle, such as safetensors"
    )


def _summary(names: tuple[str, ...]) -> str:
    if not names:
        return "nothing"
    spelt = [name for name in names if is_suspicious(name)] or list(names)
    shown = spelt[:MAX_NAMED]
    others = Counter(name.split(".")[0] for name in names if name not in shown)
    counts = ", ".join(f"{count} of {package}" for package, count in others.most_common())
    return ", ".join(shown) + (f" and others ({counts})" if counts else "")


def _scan(file: IO[bytes], found: set[str]) -> int:
    """Adds the imports of every pickle in the file; returns the number of complete pickles.

    The older format of torch.save is several pickles, one after another, and then raw numbers.
    """
    for n_pickles in range(_PICKLES_PER_FILE):
        try:
            for name in _imports_of_one(file):
                found.add(name)
        # An unknown or truncated opcode, or a length beyond any memory: from here on the file is not a pickle.
        except (ValueError, MemoryError, OverflowError):
            return n_pickles
    return _PICKLES_PER_FILE


def _imports_of_one(file: IO[bytes]) -> Iterator[str]:
    """Tracks the strings of one pickle as far as `STACK_GLOBAL` needs: it takes its two names from the stack."""
    pushed: list[str | None] = []
    memo: dict[int, str | None] = {}
    for opcode, argument, _ in pickletools.genops(file):
        match opcode.name:
            case name if name in _IMPORTS_BY_ARGUMENT:
                yield ".".join(str(argument).split(" "))
                pushed.append(None)
            case "STACK_GLOBAL":
                module, attribute = (None, None, *pushed)[-2:]
                yield f"{module}.{attribute}" if module and attribute else UNRESOLVED
                pushed.append(None)
            case name if name in _EXTENSIONS:
                yield UNRESOLVED
                pushed.append(None)
            case name if name in _STRINGS:
                pushed.append(str(argument))
            case name if name in _STORES:
                memo[int(argument or 0)] = pushed[-1] if pushed else None
            case "MEMOIZE":
                memo[len(memo)] = pushed[-1] if pushed else None
            case name if name in _LOADS:
                pushed.append(memo.get(int(argument or 0)))
            case "DUP":
                pushed.append(pushed[-1] if pushed else None)
            case "POP":
                del pushed[-1:]
            case "PROTO" | "FRAME" | "MARK":
                pass
            case _:
                pushed.append(None)
