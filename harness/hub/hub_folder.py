"""A data set on the Hub at one commit, read remotely in parts, without storing files on the local disk.

The parts of a file are read in order, with read-ahead, so that memory does not grow with the file. The client repeats a
call that fails up to five times, and then reports the error.
"""

import fnmatch
import functools
import hashlib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, BinaryIO, Final, cast
from urllib.parse import unquote

from dataset_builders.core.errors import SetupError, UsageError
from dataset_builders.core.hub.explaining import explained
from dataset_builders.core.hub.names import REPO_ID
from dataset_builders.core.hub.repo import Repo
from dataset_builders.core.hub.retrying import TIMEOUT_SECONDS, retried

if TYPE_CHECKING:
    from huggingface_hub import HfFileSystem

PREFIX: Final = "hf://"

READ_AHEAD: Final = 4 * 2**20
"""Bytes fetched beyond the request: a row group of this data set takes one or two calls."""

_ADDRESS: Final = re.compile(
    rf"hf://datasets/(?P<repo>{REPO_ID})(?:@(?P<revision>refs/\w+/[^/@]+|[^/@]+))?/?", flags=re.ASCII
)
_OTHER_WAYS: Final = "; finished predictions are kept, and the same command resumes from them"


@dataclass(frozen=True, slots=True)
class StoredFile:
    """A file as the Hub describes it: its size in bytes, and its sha256 if it is in large-file storage."""

    size: int
    sha256: str | None


@dataclass(frozen=True, slots=True)
class HubFolder:
    """A folder of a data-set repo.

    Attributes:
        repo: The repo.
        commit: Its commit.
        filesystem: The client, which keeps the token with which it was created.
        stored: Every file of the repo, by path.
        path: Path of the folder; empty for the repo itself.
    """

    repo: Repo
    commit: str
    filesystem: "HfFileSystem" = field(compare=False, repr=False)
    stored: Mapping[str, StoredFile] = field(repr=False)
    path: str = ""

    def __truediv__(self, name: str) -> "HubFolder":
        return replace(self, path=self._inside + name)

    def __str__(self) -> str:
        return f"{PREFIX}datasets/{self.repo.id}@{self.commit}{'/' if self.path else ''}{self.path}"

    def is_dir(self) -> bool:
        """Whether it contains a file at any depth."""
        return any(path.startswith(self._inside) for path in self.stored)

    @property
    def name(self) -> str:
        """Its name; empty for the repo itself."""
        return self.path.rpartition("/")[2]

    def iterdir(self) -> "list[HubFolder]":
        """The folders in it, ascending."""
        names = [path.removeprefix(self._inside) for path in sorted(self.stored) if path.startswith(self._inside)]
        return [self / name for name in dict.fromkeys(name.partition("/")[0] for name in names if "/" in name)]

    def glob(self, pattern: str) -> "list[HubFile]":
        """The files directly in the folder whose name matches; ascending."""
        names = [path.removeprefix(self._inside) for path in sorted(self.stored) if path.startswith(self._inside)]
        return [HubFile(self, name) for name in names if "/" not in name and fnmatch.fnmatchcase(name, pattern)]

    @property
    def _inside(self) -> str:
        return f"{self.path}/" if self.path else ""


@dataclass(frozen=True, slots=True)
class HubFile:
    """A file of a data-set repo.

    Attributes:
        folder: Its folder.
        name: Its name in that folder.
    """

    folder: HubFolder
    name: str

    def __str__(self) -> str:
        return f"{self.folder}/{self.name}"

    def __hash__(self) -> int:
        return hash(str(self))

    def __lt__(self, other: "HubFile") -> bool:
        return str(self) < str(other)

    @property
    def path(self) -> str:
        """Its path in the repo."""
        return f"{self.folder.path}/{self.name}" if self.folder.path else self.name

    def open(self) -> BinaryIO:
        """Opens it for reading at any position.

        Raises:
            SetupError: If the Hub cannot be reached or refuses access, now or during reading.
        """
        folder = self.folder
        with explained(folder.repo, folder.commit, _OTHER_WAYS):
            return _file_class()(folder, self.path)

    def sha256(self) -> str:
        """sha256 of its content, as the Hub states it, or computed for a file outside large-file storage."""
        stated = self.folder.stored[self.path].sha256
        if stated is not None:
            return stated
        with self.open() as stream:
            digest = hashlib.sha256()
            while block := stream.read(READ_AHEAD):
                digest.update(block)
        return digest.hexdigest()


def id_to_download(address: str) -> str:
    """The id `org/name[@revision]` that downloads the same data set."""
    return address.removeprefix(f"{PREFIX}datasets/")


def parse_hub_address(address: str) -> tuple[str, str | None]:
    """Id and revision of the data set in `hf://datasets/org/name[@revision]`.

    Raises:
        UsageError: If the address does not have that form.
    """
    found = _ADDRESS.fullmatch(address)
    if found is None:
        raise UsageError(f"data set {address!r}; expected hf://datasets/org/name[@revision]")
    return found["repo"], unquote(found["revision"]) if found["revision"] else None


def open_hub_folder(address: str) -> HubFolder:
    """Lists the files of a data set on the Hub at one commit.

    Args:
        address: `hf://datasets/org/name[@revision]`.

    Raises:
        UsageError: If the address does not have that form.
        DataError: If there is no such repo or revision.
        SetupError: If the Hub cannot be reached or refuses access.
    """
    from huggingface_hub import HfApi, HfFileSystem, get_token, is_offline_mode

    repo_id, revision = parse_hub_address(address)
    repo = Repo(repo_id, "dataset")
    other_ways = f"; --dataset {repo.id} downloads the data set once and then needs no network"
    if is_offline_mode():
        raise SetupError(f"{address} is read from the Hub, and HF_HUB_OFFLINE is set; unset it{other_ways}")
    with explained(repo, revision, other_ways):
        info = retried(
            lambda: HfApi().dataset_info(repo.id, revision=revision, files_metadata=True, timeout=TIMEOUT_SECONDS)
        )
    if info.sha is None:
        raise SetupError(f"the Hub returned no commit for {repo}; pin one: {PREFIX}datasets/{repo.id}@COMMIT")
    stored = {
        file.rfilename: StoredFile(file.size or 0, file.lfs.sha256 if file.lfs else None)
        for file in info.siblings or ()
    }
    # A separate client with the token: the environment contains none while a model computes.
    # Under its current id: a renamed repo is also found by its earlier ids.
    return HubFolder(
        Repo(info.id, "dataset"), info.sha, HfFileSystem(token=get_token(), skip_instance_cache=True), stored
    )


@functools.cache
def _file_class() -> Callable[[HubFolder, str], BinaryIO]:
    """The client's file class, with errors that name a remedy; defined late, since the client imports slowly."""
    from huggingface_hub import HfFileSystemFile

    class ExplainedFile(HfFileSystemFile):
        def __init__(self, folder: HubFolder, path: str) -> None:
            self._folder = folder
            super().__init__(
                folder.filesystem,
                f"datasets/{folder.repo.id}/{path}",
                revision=folder.commit,
                block_size=READ_AHEAD,
                cache_type="readahead",
                size=folder.stored[path].size,
            )

        def _fetch_range(self, start: int, end: int) -> bytes:
            with explained(self._folder.repo, self._folder.commit, _OTHER_WAYS):
                content = super()._fetch_range(start, end)
            if len(content) != end - start:
                raise SetupError(
                    f"{self.path} returned {len(content)} bytes, but {end - start} were requested; "
                    f"try again{_OTHER_WAYS}"
                )
            return bytes(content)

    # fsspec is not typed.
    return cast(Callable[[HubFolder, str], BinaryIO], ExplainedFile)
