"""Faults on order, and the log of requests: what stands in front of the application."""

import asyncio
import re
from collections.abc import Callable
from dataclasses import dataclass

import anyio.to_thread
from starlette.responses import HTMLResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from tests.loopback_hub.connections import Connections
from tests.loopback_hub.errors import HubError, answer_to


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """Something that goes wrong with a request.

    Attributes:
        method: Of the requests that it strikes; any if empty.
        path: Regular expression, searched for in the path as it was sent (`%2F` stays `%2F`), without the query.
        status: Answer with this HTTP status, whoever asks.
        retry_after: Seconds of the `Retry-After` header of that answer.
        error_code: Its `X-Error-Code`.
        message: Its message.
        cut: Drop the connection without an answer.
        truncate: Announce the full answer, and drop the connection after so many bytes of its body.
        stall: Announce the full answer, and send so many bytes of its body and then nothing more.
        flip: Change the last bit of this byte of the body.
        body: Answer with this page and status 200, as a proxy does in front of the Hub.
        delay: Seconds to wait before the request is handled.
        before: Called just before the request is handled.
        times: How many requests it strikes.
        after: How many requests that it fits it lets pass first; those that an earlier fault struck do not count.
    """

    method: str = ""
    path: str = ""
    status: int | None = None
    retry_after: int | None = None
    error_code: str = ""
    message: str = ""
    cut: bool = False
    truncate: int | None = None
    stall: int | None = None
    flip: int | None = None
    body: str | None = None
    delay: float = 0.0
    before: Callable[[], object] | None = None
    times: int = 1
    after: int = 0


@dataclass(frozen=True, slots=True)
class LoggedRequest:
    """A request that was answered.

    Attributes:
        method: Such as `GET`.
        path: As it was sent, without the query.
        status: HTTP status of the answer; `None` where the connection was cut instead.
        user: Name of the user; empty for nobody, `?` for a token that is nobody's.
    """

    method: str
    path: str
    status: int | None
    user: str


class FaultQueue:
    """Faults that were ordered, in order; a request is struck by the first that fits."""

    def __init__(self) -> None:
        self._faults: list[tuple[Fault, list[int]]] = []

    def order(self, fault: Fault) -> None:
        """Adds a fault."""
        self._faults.append((fault, [0]))

    def forget(self) -> None:
        """Lets all requests pass again."""
        self._faults.clear()

    @property
    def n_struck(self) -> int:
        """Number of requests that were struck by the faults that stand."""
        return sum(max(0, seen[0] - fault.after) for fault, seen in self._faults)

    def take(self, method: str, path: str) -> Fault | None:
        """The fault that strikes a request, and counts it."""
        for fault, seen in self._faults:
            if fault.method not in ("", method) or not re.search(fault.path, path):
                continue
            if seen[0] >= fault.after + fault.times:
                continue
            seen[0] += 1
            if seen[0] > fault.after:
                return fault
        return None


class FrontDoor:
    """Applies faults and keeps the log, before anything else looks at a request.

    Args:
        app: The application behind it.
        faults: What goes wrong.
        log: Where requests are noted.
        name_of: Gives the name of the user behind an `Authorization` header.
        connections: The open connections, to cut them.
    """

    def __init__(
        self,
        app: ASGIApp,
        faults: FaultQueue,
        log: list[LoggedRequest],
        name_of: Callable[[str], str],
        connections: Connections,
    ) -> None:
        self._app = app
        self._faults = faults
        self._log = log
        self._name_of = name_of
        self._connections = connections

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handles one request."""
        path = scope["raw_path"].decode("ascii")
        # Routes must see `refs%2Fpr%2F1` as the one segment that it is; they decode each segment themselves.
        scope = {**scope, "path": path}
        authorization = next((value for key, value in scope["headers"] if key == b"authorization"), b"")
        user = self._name_of(authorization.decode("latin-1"))
        fault = self._faults.take(scope["method"], path)

        def note(status: int | None) -> None:
            self._log.append(LoggedRequest(scope["method"], path, status, user))

        if fault is None:
            await self._app(scope, receive, _noting(send, note))
            return
        if fault.delay:
            await asyncio.sleep(fault.delay)
        if fault.before is not None:
            # It may itself ask the Hub, which answers in this thread.
            await anyio.to_thread.run_sync(fault.before)
        if fault.cut:
            note(None)
            await self._connections.cut(scope["client"])
        elif fault.status is not None:
            await answer_to(_error(fault))(scope, receive, _noting(send, note))
        elif fault.body is not None:
            await HTMLResponse(fault.body)(scope, receive, _noting(send, note))
        elif fault.truncate is not None:
            await self._truncated(fault.truncate, scope, receive, _noting(send, note))
        elif fault.stall is not None:
            await self._app(scope, receive, _stalling(_noting(send, note), fault.stall))
        elif fault.flip is not None:
            await self._app(scope, receive, _flipping(_noting(send, note), fault.flip))
        else:
            await self._app(scope, receive, _noting(send, note))

    async def _truncated(self, limit: int, scope: Scope, receive: Receive, send: Send) -> None:
        left = limit

        async def cutting_send(message: Message) -> None:
            nonlocal left
            if message["type"] != "http.response.body":
                await send(message)
                return
            if left < 0:
                return
            body = message.get("body", b"")
            if len(body) <= left and message.get("more_body", False):
                left -= len(body)
                await send(message)
                return
            await send({**message, "body": body[:left], "more_body": True})
            left = -1
            await self._connections.close(scope["client"])

        await self._app(scope, receive, cutting_send)


def _noting(send: Send, note: Callable[[int], None]) -> Send:
    async def noting_send(message: Message) -> None:
        if message["type"] == "http.response.start":
            note(message["status"])
        await send(message)

    return noting_send


def _stalling(send: Send, n_bytes: int) -> Send:
    """Sends the first bytes of a body, and keeps the connection open without the rest."""
    left = n_bytes

    async def stalling_send(message: Message) -> None:
        nonlocal left
        if message["type"] != "http.response.body":
            await send(message)
            return
        body = message.get("body", b"")
        if len(body) <= left and message.get("more_body", False):
            left -= len(body)
            await send(message)
            return
        await send({**message, "body": body[:left], "more_body": True})
        await asyncio.Event().wait()

    return stalling_send


def _flipping(send: Send, place: int) -> Send:
    """Changes one bit of a body."""
    start = 0

    async def flipping_send(message: Message) -> None:
        nonlocal start
        if message["type"] == "http.response.body":
            body = bytearray(message.get("body", b""))
            if start <= place < start + len(body):
                body[place - start] ^= 1
            start += len(body)
            message = {**message, "body": bytes(body)}
        await send(message)

    return flipping_send


def _error(fault: Fault) -> HubError:
    headers = {} if fault.retry_after is None else {"Retry-After": str(fault.retry_after)}
    return HubError(
        fault.status or 500, fault.message or f"a fault was ordered: {fault.status}", fault.error_code, headers
    )
