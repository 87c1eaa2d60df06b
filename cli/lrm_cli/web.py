"""Serves the terminal UI to a browser on this machine."""

from __future__ import annotations

import shlex
import socket
from collections.abc import Awaitable, Callable
from urllib.parse import urlsplit

import click
from aiohttp import web
from textual_serve.server import Server

from lrm_cli.output import say

LOOPBACK = "127.0.0.1"
_POLICY = (
    "default-src 'self'; script-src 'self' 'unsafe-inline'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
    "connect-src 'self' ws://{host}; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
)
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class LocalServer(Server):
    """textual-serve's server, for pages of its own only.

    Any page in the user's browser could open a WebSocket to this machine and press keys; so what comes from another origin, or
    under another name than this machine's, is refused, and the page loads nothing from elsewhere.
    """

    async def _make_app(self) -> web.Application:
        app = await super()._make_app()
        known = {f"{name}:{self.port}" for name in (LOOPBACK, "localhost")}

        @web.middleware
        async def local(request: web.Request, handler: Handler) -> web.StreamResponse:
            origin = request.headers.get("Origin")
            if request.host not in known or (origin is not None and urlsplit(origin).netloc not in known):
                return web.Response(status=403, text="only this machine's own page may use this")
            return await handler(request)

        async def guarded(request: web.Request, response: web.StreamResponse) -> None:
            response.headers["Content-Security-Policy"] = _POLICY.format(host=request.host)
            response.headers["X-Content-Type-Options"] = "nosniff"
            response.headers["Referrer-Policy"] = "no-referrer"

        app.middlewares.append(local)
        app.on_response_prepare.append(guarded)
        return app


def serve(start: list[str], port: int) -> None:
    """Serve a program until Ctrl-C; each tab of a browser has a process of its own. Raises UsageError for a port in use."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError as error:
            raise click.UsageError(
                f"port {port} cannot be used: {error.strerror}; name another with --port, or 0 for any"
            ) from None
        port = probe.getsockname()[1]
    say(f"http://{LOOPBACK}:{port}  (Ctrl-C ends it; only this machine can reach it)")
    LocalServer(shlex.join(start), host=LOOPBACK, port=port, title="lrm").serve()
