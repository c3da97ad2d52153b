"""Open connections by the address of the client, so that a fault can cut one."""

import asyncio
from typing import cast

from uvicorn.protocols.http.h11_impl import H11Protocol

Address = tuple[str, int]


class Connections:
    """The connections of a server."""

    def __init__(self) -> None:
        self._transports: dict[Address, asyncio.Transport] = {}

    def protocol(self) -> type[H11Protocol]:
        """A protocol for the server that tells about its connections."""
        transports = self._transports

        class TellingProtocol(H11Protocol):
            def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
                self._address = cast(Address, transport.get_extra_info("peername"))
                transports[self._address] = transport
                super().connection_made(transport)

            def connection_lost(self, exc: Exception | None) -> None:
                transports.pop(self._address, None)
                super().connection_lost(exc)

        return TellingProtocol

    async def cut(self, client: Address) -> None:
        """Drops a connection at once, with what is still to be sent."""
        if client in self._transports:
            self._transports[client].abort()
        await self._is_gone(client)

    async def close(self, client: Address) -> None:
        """Sends what is still to be sent, then drops a connection."""
        if client in self._transports:
            self._transports[client].close()
        await self._is_gone(client)

    async def cut_all(self) -> None:
        """Drops every connection."""
        for client in list(self._transports):
            await self.cut(client)

    async def _is_gone(self, client: Address) -> None:
        # The server would answer 500 to a request that ends without an answer on an open connection.
        while client in self._transports:
            await asyncio.sleep(0.001)
