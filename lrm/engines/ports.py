"""Ports of this machine."""

from __future__ import annotations

import socket

from lrm.errors import BusyError

LOOPBACK = "127.0.0.1"


def free_port(host: str = LOOPBACK) -> int:
    """Return a port on which nobody listens now."""
    with _socket(host) as probe:
        probe.bind((host, 0))
        return int(probe.getsockname()[1])


def check_port(host: str, port: int) -> None:
    """Raise BusyError for a port, or an address, on which a server cannot listen."""
    with _socket(host) as probe:
        try:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((host, port))
        except OSError as error:
            raise BusyError(
                f"port {port} of {host} cannot be used: {error.strerror or error}",
                hint="name another port with --port, or 0 for any that is free",
            ) from error


def url(host: str, port: int, path: str = "") -> str:
    """Return the URL at which a server that listens there is reached from this machine."""
    reached = {"0.0.0.0": LOOPBACK, "::": "::1", "": LOOPBACK}.get(host, host)  # noqa: S104 - read, not listened at
    return f"http://{f'[{reached}]' if ':' in reached else reached}:{port}{path}"


def _socket(host: str) -> socket.socket:
    return socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM)
