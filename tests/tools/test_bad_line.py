"""A bad line delays and cuts, and never changes a byte."""

from __future__ import annotations

import random
import socket
import struct
import threading
from collections.abc import Iterator
from itertools import pairwise

import pytest
from chaos_updates.link import SEGMENT_BYTES, Link, LinkRule
from chaos_updates.proxy import BadLine

CLEAN = LinkRule(delay_s=0.05, loss=0.0, window_segments=4)
PATIENCE_S = 20.0


class Loaded(random.Random):
    """Dice that lose the segments they are told to; numbers count throws."""

    def __init__(self, *lost: int) -> None:
        super().__init__(0)
        self._lost = lost
        self._count = -1

    def random(self) -> float:
        self._count += 1
        return 0.0 if self._count in self._lost else 1.0


def test_a_clean_line_delays_everything_alike() -> None:
    ((when_s, size),) = Link(CLEAN, random.Random(1)).send(10.0, 3000)
    assert (round(when_s, 6), size) == (10.05, 3000)


def test_what_follows_a_lost_segment_waits_for_it() -> None:
    link = Link(LinkRule(loss=0.5), Loaded(1))
    first, rest = link.send(0.0, 4 * SEGMENT_BYTES)
    assert [first[0], rest[0]] == pytest.approx([0.05, 0.25])
    assert (first[1], rest[1]) == (SEGMENT_BYTES, 3 * SEGMENT_BYTES)
    assert link.num_lost == 1


def test_a_segment_that_is_lost_again_waits_twice_as_long() -> None:
    link = Link(LinkRule(loss=0.5), Loaded(0, 1, 2))
    ((when_s, _),) = link.send(0.0, 10)
    assert when_s == pytest.approx(0.05 + 0.2 + 0.4 + 0.8)


def test_no_more_is_under_way_than_the_window() -> None:
    arrivals = Link(CLEAN, random.Random(1)).send(0.0, 10 * SEGMENT_BYTES)
    assert [size // SEGMENT_BYTES for _, size in arrivals] == [4, 4, 2]
    assert [when_s for when_s, _ in arrivals] == pytest.approx([0.05, 0.15, 0.25])


@pytest.mark.parametrize("seed", range(5))
def test_everything_arrives_once_and_in_order(seed: int) -> None:
    dice = random.Random(seed)
    link, now_s, sent, arrivals = Link(LinkRule(), dice), 0.0, 0, []
    for _ in range(100):
        now_s += dice.random() * 0.1
        size = dice.randrange(1, 5000)
        sent += size
        arrivals += link.send(now_s, size)
        assert arrivals[-1][0] >= now_s + 0.05
    assert sum(size for _, size in arrivals) == sent
    assert all(a[0] <= b[0] for a, b in pairwise(arrivals))


class Echo:
    """A server that sends everything back."""

    def __init__(self) -> None:
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._server.getsockname()[1])
        self.ended = threading.Event()
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._server.accept()
            except OSError:
                return
            threading.Thread(target=self._answer, args=(connection,), daemon=True).start()

    def _answer(self, connection: socket.socket) -> None:
        with connection:
            try:
                while data := connection.recv(1 << 16):
                    connection.sendall(data)
            except OSError:
                pass
            self.ended.set()

    def close(self) -> None:
        self._server.shutdown(socket.SHUT_RDWR)
        self._server.close()


@pytest.fixture
def echo() -> Iterator[Echo]:
    server = Echo()
    yield server
    server.close()


def test_real_bytes_come_through_unchanged(echo: Echo) -> None:
    data = random.Random(3).randbytes(200_000)
    rule = LinkRule(delay_s=0.001, loss=0.02)
    with (
        BadLine(echo.port, rule, seed=1) as line,
        socket.create_connection(("127.0.0.1", line.port), PATIENCE_S) as connection,
    ):
        sender = threading.Thread(target=connection.sendall, args=(data,))
        sender.start()
        back = b""
        while len(back) < len(data):
            back += connection.recv(1 << 16)
        sender.join()
        assert back == data
        assert line.num_lost > 0


def test_a_cut_resets_the_connection_and_lets_another_in(echo: Echo) -> None:
    with BadLine(echo.port, LinkRule(delay_s=0.0, loss=0.0), seed=1) as line:
        for _ in range(2):
            with socket.create_connection(("127.0.0.1", line.port), PATIENCE_S) as connection:
                connection.sendall(b"hello")
                assert connection.recv(5) == b"hello"
                line.cut()
                with pytest.raises(ConnectionResetError):
                    connection.recv(1)
        assert (line.num_connections, line.num_cuts) == (2, 2)


def test_the_server_hears_at_once_that_a_client_has_died(echo: Echo) -> None:
    with BadLine(echo.port, LinkRule(delay_s=0.0, loss=0.0), seed=1) as line:
        connection = socket.create_connection(("127.0.0.1", line.port), PATIENCE_S)
        connection.sendall(b"hello")
        assert connection.recv(5) == b"hello"
        # With a reset, as the kernel closes for a process that was killed with unread bytes.
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        connection.close()
        assert echo.ended.wait(PATIENCE_S)


def test_connections_are_cut_now_and_then_by_themselves(echo: Echo) -> None:
    rule = LinkRule(delay_s=0.0, loss=0.0, cut_every_s=0.01)
    with (
        BadLine(echo.port, rule, seed=1) as line,
        socket.create_connection(("127.0.0.1", line.port), PATIENCE_S) as connection,
    ):
        with pytest.raises(ConnectionResetError):
            connection.recv(1)
        assert line.num_cuts == 1
