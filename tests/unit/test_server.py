"""The test server over real sockets: what it sends by each name, what it counts, and what it refuses by order."""

from __future__ import annotations

import hashlib
import http.client
import json
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from tests.behaviours import BEHAVIOURS
from tests.chaos_server import LONG_LINE, LONG_REPLY, WAYS, scheduled
from tests.servers import Server


def body_of(text: str, model: str = "ok") -> bytes:
    return json.dumps({"model": model, "messages": [{"role": "user", "content": text}]}).encode()


def request_of(text: str, model: str = "ok", *, key: str = "") -> bytes:
    body = body_of(text, model)
    head = (
        f"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nAuthorization: {key}\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


@contextmanager
def connected(server: Server) -> Iterator[socket.socket]:
    host, _, port = server.root.removeprefix("http://").partition(":")
    with socket.create_connection((host, int(port)), timeout=10) as connection:
        yield connection


def everything(server: Server, text: str, *, bytes_at_most: int = 2**24) -> bytes:
    """Return all that comes for a request until the server ends the connection, says nothing for a while, or has said enough."""
    with connected(server) as connection:
        connection.settimeout(0.3)
        connection.sendall(request_of(text))
        received = b""
        while len(received) < bytes_at_most:
            try:
                data = connection.recv(2**16)
            except TimeoutError:
                return received + b"<silence>"
            except ConnectionResetError:
                return received + b"<reset>"
            if not data:
                return received + b"<end>"
            received += data
        return received


def ask(server: Server, text: str, model: str = "ok", *, key: str = "", timeout: float = 10) -> tuple[int, Any, bytes]:
    """Return status, headers and body of one well-formed response."""
    connection = http.client.HTTPConnection(server.root.removeprefix("http://"), timeout=timeout)
    try:
        connection.request("POST", "/v1/chat/completions", body_of(text, model), {"Authorization": key})
        response = connection.getresponse()
        return response.status, response.headers, response.read()
    finally:
        connection.close()


# --- what is sent -----------------------------------------------------------------------------------------------------


WHOLE = sorted(BEHAVIOURS.keys() - WAYS.keys() - {"guard", "bomb"})


@pytest.mark.parametrize("name", WHOLE)
def test_each_behaviour_is_a_whole_response_and_is_counted_as_one(server: Server, name: str) -> None:
    ask(server, f"behave: {name}", key="Bearer sk-x")
    (seen,) = server.calls().values()
    assert (seen["received"], seen["finished"] + seen["refused"], seen["broken"]) == (1, 1, 0)


@pytest.mark.parametrize(
    ("name", "starts", "ends"),
    [
        ("drop", b"", b"<end>"),
        ("reset", b"", b"<reset>"),
        ("hang", b"", b"<silence>"),
        ("drop-in-head", b"HTTP/1.1 200", b"<end>"),
        ("hang-in-head", b"HTTP/1.1 200", b"<silence>"),
        ("drop-in-body", b"HTTP/1.1 200", b"<end>"),
        ("reset-in-body", b"HTTP/1.1 200", b"<reset>"),
        ("stall", b"HTTP/1.1 200", b"<silence>"),
        ("too-short", b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 1000000", b"}<end>"),
        ("chunked", b"HTTP/1.1 200", b"\r\n0\r\n\r\n<silence>"),
        ("chunked-cut", b"HTTP/1.1 200", b"<end>"),
        ("chunked-nonsense", b"HTTP/1.1 200", b"zz\r\n<end>"),
        ("no-length", b"HTTP/1.1 200", b"}<end>"),
        ("half-body", b"HTTP/1.1 200", b"<end>"),
        ("not-http", b"SSH-2.0", b"<end>"),
        ("drip", b"HTTP/1.1 200", b"}<silence>"),
        ("padding", b"HTTP/1.1 200", b"0\r\n\r\n<silence>"),
        ("second-reply", b"HTTP/1.1 200", b"}<silence>"),
        ("early-hints", b"HTTP/1.1 103", b"}<silence>"),
    ],
)
def test_each_way_of_sending_goes_wrong_as_it_says(server: Server, name: str, starts: bytes, ends: bytes) -> None:
    received = everything(server, f"behave: {name}")
    assert received.startswith(starts)
    assert received.endswith(ends)


def test_a_drip_for_ever_goes_on_until_the_client_leaves(server: Server) -> None:
    assert everything(server, "behave: drip-for-ever", bytes_at_most=200).endswith(b"   ")
    wait_until(lambda: next(iter(server.calls().values()))["broken"] == 1)


def test_long_replies_are_long(server: Server) -> None:
    line = json.loads(ask(server, "behave: long-line")[2])["choices"][0]["message"]["content"]
    assert len(line) == LONG_LINE
    assert "\n" not in line
    assert len(ask(server, "behave: five-mb")[2]) > LONG_REPLY
    wait_until(lambda: [seen["finished"] for seen in server.calls().values()] == [1, 1])


def test_the_last_of_two_keys_counts(server: Server) -> None:
    reply = json.loads(ask(server, "behave: duplicate-keys")[2])
    assert reply["choices"][0]["message"] == {"role": "assistant", "content": "Answer, twice."}


def test_a_key_is_echoed_where_its_name_says(server: Server) -> None:
    assert ask(server, "behave: key-in-header", key="Bearer sk-x")[1]["X-Echo"] == "Bearer sk-x"
    assert b"Bearer sk-x" in ask(server, "behave: key-in-500", key="Bearer sk-x")[2]


# --- schedules and names ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "gives"),
    [
        ("ok", ["ok", "ok"]),
        ("flaky 429x2", ["429", "429", "ok", "ok"]),
        ("flaky 500 drop 429x2 then filter", ["500", "drop", "429", "429", "filter", "filter"]),
        ("flaky+500+drop", ["500", "drop", "ok"]),
        ("500-once", ["500", "ok"]),
    ],
)
def test_a_schedule_says_what_each_request_gets(name: str, gives: list[str]) -> None:
    assert [scheduled(name, nth) for nth in range(1, len(gives) + 1)] == gives


def test_a_schedule_counts_by_body(server: Server) -> None:
    texts = ["behave: flaky 429x2 # one", "behave: flaky 429x2 # two"]
    assert [ask(server, text)[0] for text in texts * 3] == [429, 429, 429, 429, 200, 200]
    assert [ask(server, "x", "flaky+500")[0] for _ in range(2)] == [500, 200]
    assert [(seen["received"], seen["refused"], seen["finished"]) for seen in server.calls().values()] == [
        (3, 2, 1), (3, 2, 1), (2, 1, 1)
    ]  # fmt: skip


def test_a_model_can_do_the_same_whatever_a_message_says(server: Server) -> None:
    assert ask(server, "behave: ok", "always+500")[0] == 500


def test_what_is_not_known_is_said(server: Server) -> None:
    assert ask(server, "behave: nothing-of-the-kind")[0] == 404


# --- counting ---------------------------------------------------------------------------------------------------------


def test_requests_are_counted_by_body_with_what_became_of_them(server: Server) -> None:
    ask(server, "one")
    ask(server, "one")
    ask(server, "behave: 500")
    everything(server, "behave: drop-in-body")
    found = {seen["last"]: seen for seen in server.calls().values()}
    assert {last: [seen[name] for name in ("received", "finished", "refused")] for last, seen in found.items()} == {
        "one": [2, 2, 0], "behave: 500": [1, 0, 1], "behave: drop-in-body": [1, 0, 0]
    }  # fmt: skip
    arrivals = server.arrivals()
    assert [digest for _, _, digest in arrivals][:2] == [hashlib.sha256(body_of("one")).hexdigest()] * 2
    assert [at for at, _, _ in arrivals] == sorted(at for at, _, _ in arrivals)
    server.reset()
    assert (server.calls(), server.arrivals()) == ({}, [])


def test_a_client_that_leaves_gives_its_place_back(server: Server) -> None:
    everything(server, "behave: hang")
    wait_until(lambda: next(iter(server.calls().values()))["broken"] == 1)
    ask(server, "behave: slow")
    assert server.count()["in_flight_max"] == 1


def test_what_was_in_flight_at_a_reset_disturbs_no_count(server: Server) -> None:
    with connected(server) as connection:
        connection.sendall(request_of("behave: slow"))
        wait_until(lambda: server.total() == 1)
        server.reset()
        assert connection.recv(2**16).startswith(b"HTTP/1.1 200")
        count = server.count()
    assert (count["total"], count["in_flight_max"]) == (0, 0)


# --- orders -----------------------------------------------------------------------------------------------------------


def at_once(server: Server, requests: int, *, key: str = "", model: str = "ok") -> list[int]:
    """Return the statuses of requests that are made at the same time, sorted."""
    statuses: list[int] = []
    threads = [
        threading.Thread(target=lambda n=n: statuses.append(ask(server, f"text {n}", model, key=key)[0]))
        for n in range(requests)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sorted(statuses)


def test_no_more_than_so_many_at_a_time_are_served(server: Server) -> None:
    server.order(latency_s=0.5, in_flight=3)
    assert at_once(server, 5) == [200, 200, 200, 429, 429]
    assert server.count()["in_flight_max"] == 3
    assert at_once(server, 3) == [200, 200, 200]


def test_no_more_than_so_many_are_served_in_a_window_of_a_key(server: Server) -> None:
    server.order(window=2, window_s=60)
    assert [ask(server, "x", key="a")[0] for _ in range(3)] == [200, 200, 429]
    assert ask(server, "x", key="b")[0] == 200


@pytest.mark.parametrize(
    ("says", "name", "reads"),
    [
        ("nothing", "Retry-After", lambda value: value is None),
        ("retry-after", "Retry-After", lambda value: 50 < float(value) <= 60),
        ("openai", "x-ratelimit-reset-requests", lambda value: 50_000 < float(value.removesuffix("ms")) <= 60_000),
        ("openai", "x-ratelimit-remaining-requests", lambda value: value == "0"),
        ("claude", "anthropic-ratelimit-requests-remaining", lambda value: value == "0"),
        ("claude", "anthropic-ratelimit-requests-reset", lambda value: value.endswith("Z")),
    ],
)
def test_a_window_is_told_of(server: Server, says: str, name: str, reads: Any) -> None:
    server.order(window=1, window_s=60, says=says)
    ask(server, "x")
    status, headers, _ = ask(server, "x")
    assert status == 429
    assert reads(headers[name])


def test_a_window_begins_anew(server: Server) -> None:
    server.order(window=1, window_s=0.2)
    assert [ask(server, "x")[0] for _ in range(2)] == [200, 429]
    wait_until(lambda: ask(server, "x")[0] == 200)


def test_a_key_is_let_in_so_often(server: Server) -> None:
    server.order(good=2)
    assert [ask(server, "x", key="a")[0] for _ in range(4)] == [200, 200, 401, 401]
    assert ask(server, "x", key="b")[0] == 200


def test_orders_can_be_for_one_key_and_end_with_a_reset(server: Server) -> None:
    server.order(good=0, only="sk-a")
    assert [ask(server, "x", key=f"Bearer sk-{name}")[0] for name in "ab"] == [401, 200]
    server.reset()
    assert ask(server, "x", key="Bearer sk-a")[0] == 200


def test_a_server_that_is_down_refuses_connections_until_it_is_up(server: Server) -> None:
    with connected(server) as waiting:
        waiting.sendall(request_of("behave: hang"))
        wait_until(lambda: server.total() == 1)
        up = server.down()
        assert waiting.recv(1) == b""
        with pytest.raises(ConnectionRefusedError):
            ask(server, "x")
        up()
    assert ask(server, "x")[0] == 200
    assert server.total() == 2


def wait_until(there: Any) -> None:
    """Wait, for a while, until what is looked for is there."""
    for _ in range(500):
        if there():
            return
        time.sleep(0.01)
    raise AssertionError("it did not come")
