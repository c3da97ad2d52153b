"""Starts a Hub on this machine: `python -m tests.loopback_hub [--port 8000] [--data DIR]`.

It is a stand-in for tests and trials, such as on a cluster without the internet, not a product: it checks no
passwords, its token is no secret, and everybody on this machine can reach it.
"""

import argparse
import asyncio
import contextlib
import sys
from collections.abc import Sequence
from pathlib import Path

from tests.loopback_hub.app import application
from tests.loopback_hub.archive import Archiving, contents_in, load
from tests.loopback_hub.connections import Connections
from tests.loopback_hub.contents import Contents
from tests.loopback_hub.server import HOST, listen
from tests.loopback_hub.state import HubState
from tests.loopback_hub.users import User, token_of

USER = User("tester", {"compgen": "write"})


def main(arguments: Sequence[str] | None = None) -> int:
    """Serves until Ctrl-C; gives the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.loopback_hub", description=__doc__.splitlines()[0])
    parser.add_argument("--port", type=int, default=8000, help="port of 127.0.0.1 (default: 8000; 0: any free one)")
    parser.add_argument(
        "--data", type=Path, metavar="DIR", help="keep everything as files in DIR; without it, all is gone at the end"
    )
    parser.add_argument(
        "--allow-list",
        action="append",
        default=[],
        metavar="ORG/NAME",
        help="let this data set have a leaderboard, as the Hub's staff does on request; may be given several times",
    )
    given = parser.parse_args(arguments)
    with contextlib.suppress(KeyboardInterrupt):
        return asyncio.run(_serve(given.port, given.data, given.allow_list))
    return 0


async def _serve(port: int, folder: Path | None, benchmarks: Sequence[str]) -> int:
    hub = HubState(
        "",
        contents=Contents() if folder is None else contents_in(folder),
        users={USER.name: USER},
        benchmarks=set(benchmarks),
    )
    connections = Connections()
    app = application(hub, connections)
    if folder is not None:
        load(folder, hub)
        app = Archiving(app, hub, folder)
    try:
        server = await listen(app, connections, port)
    except OSError as cause:
        print(f"cannot listen on port {port} of {HOST}: {cause}; choose another with --port", file=sys.stderr)
        return 1
    hub.endpoint = f"http://{HOST}:{server.sockets[0].getsockname()[1]}"
    print(f"export HF_ENDPOINT={hub.endpoint} HF_HUB_DISABLE_XET=1 HF_TOKEN={token_of(USER.name)}", flush=True)
    with contextlib.suppress(asyncio.CancelledError):
        await server.serve_forever()
    return 0


if __name__ == "__main__":
    sys.exit(main())
