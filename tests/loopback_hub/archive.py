"""Repos on disk, for a Hub that is to be the same after a new start."""

from pathlib import Path

from pydantic import TypeAdapter
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from tests.loopback_hub.contents import Contents
from tests.loopback_hub.repos import PLURALS, HubRepo
from tests.loopback_hub.state import HubState

_REPO = TypeAdapter(HubRepo)


def contents_in(folder: Path) -> Contents:
    """The bytes of all files, in `contents/`."""
    return Contents(folder / "contents")


def load(folder: Path, hub: HubState) -> None:
    """Fills a Hub with the repos in `repos/`, a JSON file each."""
    for path in sorted((folder / "repos").glob("*/*/*.json")):
        repo = _REPO.validate_json(path.read_bytes())
        hub.repos[repo.kind, repo.id] = repo


class Archiving:
    """Writes what a request changed, before the client hears that it is done.

    Args:
        app: The application of the Hub.
        hub: The Hub.
        folder: Where to.
    """

    def __init__(self, app: ASGIApp, hub: HubState, folder: Path) -> None:
        self._app = app
        self._hub = hub
        self._folder = folder / "repos"
        self._written = {path: path.read_bytes() for path in self._folder.glob("*/*/*.json")}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handles one request."""

        async def saving_send(message: Message) -> None:
            if message["type"] == "http.response.start" and scope["method"] not in ("GET", "HEAD"):
                self._save()
            await send(message)

        await self._app(scope, receive, saving_send)

    def _save(self) -> None:
        texts = {
            self._folder / PLURALS[repo.kind] / f"{repo.id}.json": _REPO.dump_json(repo, indent=1)
            for repo in self._hub.repos.values()
        }
        for path, text in texts.items():
            if self._written.get(path) != text:
                path.parent.mkdir(parents=True, exist_ok=True)
                partial = path.with_suffix(".partial")
                partial.write_bytes(text)
                partial.replace(path)
        for path in self._written.keys() - texts.keys():
            path.unlink()
        self._written = texts
