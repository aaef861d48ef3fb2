"""Where a daemon's releases come from, and how fast."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest

from skilld.app import update_source
from skilld.app.update_source import Pace, open_update_source
from skilld.config import Config, MqttConfig, UpdatesConfig, read_config
from skilld.core.errors import ArtefactError, SkilldError
from skilld.core.hours import Hours
from skilld.updates.depot import MqttSource
from skilld.updates.trust import BlobRange, BlobSource, FolderSource, HttpSource

DATA = bytes(range(256)) * 1024
SHA256 = hashlib.sha256(DATA).hexdigest()


def opened(where: str, *, mqtt: MqttConfig | None = None, rate: int | None = None) -> BlobSource:
    config = Config(
        mqtt=mqtt or MqttConfig(), updates=UpdatesConfig(source=where, max_bytes_per_s=rate)
    )
    return open_update_source(
        config, box="box1", has_orders=lambda: False, should_stop=lambda: True
    )


def test_a_source_is_a_folder_an_address_or_a_depot(tmp_path: Path) -> None:
    assert isinstance(opened(str(tmp_path)), FolderSource)
    assert isinstance(opened("https://depot.plant.example/skilld"), HttpSource)
    depot = opened("mqtt:depot", mqtt=MqttConfig(broker="127.0.0.1:1"))
    assert isinstance(depot, MqttSource)
    depot.close()


def test_a_depot_needs_a_broker_and_a_name() -> None:
    with pytest.raises(SkilldError, match=r"mqtt\.broker") as error:
        opened("mqtt:depot")
    assert error.value.reason == "BAD_CONFIG"
    with pytest.raises(SkilldError, match="part of a topic"):
        opened("mqtt:a/b", mqtt=MqttConfig(broker="127.0.0.1:1"))


def test_hours_and_rates_are_read_from_the_configuration(tmp_path: Path) -> None:
    path = tmp_path / "skilld.toml"
    path.write_text('[updates]\ndownload_hours = "22:00-05:30"\nmax_bytes_per_s = "1MiB"\n')
    updates = read_config(path).updates
    assert updates.download_hours == Hours(22 * 60, 5 * 60 + 30)
    assert updates.max_bytes_per_s == 1 << 20
    path.write_text('[updates]\ndownload_hours = "at night"\n')
    with pytest.raises(ArtefactError, match="no part of a day"):
        read_config(path)


class Clock:
    """Passes only while somebody sleeps."""

    def __init__(self) -> None:
        self.now_s = 100.0

    def monotonic(self) -> float:
        return self.now_s

    def sleep(self, duration_s: float) -> None:
        assert duration_s > 0
        self.now_s += duration_s


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(update_source, "time", clock)
    return clock


@pytest.fixture
def served(tmp_path: Path) -> Iterator[tuple[Path, str]]:
    """A folder with one blob, and the address of a web server with the same."""
    (tmp_path / "blobs").mkdir()
    (tmp_path / "blobs" / SHA256).write_bytes(DATA)

    class Handler(SimpleHTTPRequestHandler):
        def __init__(self, *args: object) -> None:
            super().__init__(*args, directory=str(tmp_path))  # type: ignore[arg-type]

        def log_message(self, format: str, *args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        yield tmp_path, f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.mark.parametrize("is_web", [False, True])
def test_folders_and_web_servers_are_read_no_faster_than_allowed(
    served: tuple[Path, str], clock: Clock, *, is_web: bool
) -> None:
    source = opened(served[1] if is_web else str(served[0]), rate=32 << 10)
    # This server knows no ranges: it sends what comes before a part as well.
    num_bytes = len(DATA) // (1 if is_web else 4)
    parts = [BlobRange(SHA256, at, num_bytes) for at in range(0, len(DATA), num_bytes)]
    began_s = clock.now_s
    assert b"".join(data for _, data in source.blocks(parts)) == DATA
    took_s = clock.now_s - began_s
    assert took_s == pytest.approx(len(DATA) / (32 << 10), abs=0.5)


def test_a_pause_ends_when_there_is_something_better_to_do(clock: Clock) -> None:
    Pace(1024, lambda: clock.now_s > 101.0)(1 << 20)
    assert clock.now_s < 102.0
    Pace(None, lambda: False)(1 << 30)
    assert clock.now_s < 102.0
