"""Runs a Hub in a thread, on a port of 127.0.0.1, for as long as a test lasts."""

import asyncio
import functools
import threading
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import uvicorn
from starlette.types import ASGIApp

from tests.loopback_hub.app import application
from tests.loopback_hub.connections import Connections
from tests.loopback_hub.state import HubState

HOST = "127.0.0.1"

_T = TypeVar("_T")


class ServerThread:
    """An event loop in a thread; Hubs come and go in it without the wait of a new thread."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="loopback-hub", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Ends the thread."""
        self._call(_end_tasks())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _call(self, work: Coroutine[Any, Any, _T]) -> _T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()

    @contextmanager
    def serving(self, hub: HubState, port: int) -> Iterator[None]:
        """Serves a Hub; nothing listens on the port before and after, and no connection stays open."""
        connections = Connections()
        server = self._call(listen(application(hub, connections), connections, port))
        try:
            yield
        finally:
            self._call(_shut(server, connections))


async def listen(app: ASGIApp, connections: Connections, port: int) -> asyncio.Server:
    """Starts to serve an application, on this machine only.

    Raises:
        OSError: If the port is taken.
    """
    config = uvicorn.Config(app, ws="none", lifespan="off", log_config=None, access_log=False, server_header=False)
    config.load()
    protocol = functools.partial(
        connections.protocol(), config=config, server_state=uvicorn.Server(config).server_state, app_state={}
    )
    return await asyncio.get_running_loop().create_server(protocol, HOST, port)


async def _end_tasks() -> None:
    """Ends what still waits, such as an answer that was ordered late and that nobody waits for any more."""
    waiting = asyncio.all_tasks() - {asyncio.current_task()}
    for task in waiting:
        task.cancel()
    await asyncio.gather(*waiting, return_exceptions=True)


async def _shut(server: asyncio.Server, connections: Connections) -> None:
    server.close()
    await connections.cut_all()
