"""Pooled connections that carry one reply a request."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import aiohttp
    from aiohttp.client import ClientTimeout
    from aiohttp.client_reqrep import ClientRequest
    from aiohttp.connector import Connection
    from aiohttp.tracing import Trace


@cache
def clean_connector() -> type[aiohttp.TCPConnector]:
    """Return aiohttp's connector, made to give out no connection on which something came while it was idle.

    A server that answers twice, or too late, leaves a reply behind that the next request on the connection would take for
    its own. aiohttp looks for that when a connection is put back, not when it is taken out again.
    """
    import aiohttp

    class CleanConnector(aiohttp.TCPConnector):
        async def connect(
            self,
            req: ClientRequest,
            traces: list[Trace],
            timeout: ClientTimeout,  # noqa: ASYNC109
        ) -> Connection:
            while True:
                connection = await super().connect(req, traces, timeout)
                if connection.protocol is None or not connection.protocol.should_close:
                    return connection
                connection.close()

    return CleanConnector
