"""Where a daemon's releases come from, as its configuration says."""

from __future__ import annotations

import time
from collections.abc import Callable

from skilld.config import Config
from skilld.mqtt.broker_address import BrokerError
from skilld.updates.depot import MqttSource
from skilld.updates.depot.mqtt_source import SourceLimits
from skilld.updates.depot.token_bucket import TokenBucket
from skilld.updates.trust import BlobSource, open_source

_MQTT = "mqtt:"
_LOOK_UP_S = 0.1


def is_depot(where: str) -> bool:
    """Whether a source is a depot behind the broker."""
    return where.startswith(_MQTT)


def open_update_source(
    config: Config,
    *,
    box: str,
    has_orders: Callable[[], bool],
    should_stop: Callable[[], bool],
) -> BlobSource:
    """Open the source of a configuration that has one.

    Args:
        config: of the daemon.
        box: name of this box in topics.
        has_orders: whether somebody wants something of who reads the source.
        should_stop: the same, or it is time to look after other things. A depot can be left
            waiting at any time; a file that is read is read to its end.

    Raises:
        SkilldError: the configuration or one of its files cannot be right.
    """
    updates = config.updates
    where = updates.source
    assert where is not None
    if not is_depot(where):
        return open_source(where, pace=Pace(updates.max_bytes_per_s, has_orders))
    if config.mqtt.broker is None:
        raise BrokerError(
            f'updates.source: "{where}" is a depot behind the broker, and mqtt.broker names none',
            reason="BAD_CONFIG",
        )
    limits = SourceLimits(max_in_flight=updates.max_in_flight, bytes_per_s=updates.max_bytes_per_s)
    return MqttSource(
        config.mqtt,
        box=box,
        depot=where.removeprefix(_MQTT),
        limits=limits,
        should_stop=should_stop,
    )


class Pace:
    """Keeps a reader to so many bytes per second: call it with what was read.

    Args:
        bytes_per_s: None for as fast as it goes.
        should_stop: ends a wait.
    """

    def __init__(self, bytes_per_s: int | None, should_stop: Callable[[], bool]) -> None:
        self._bucket = TokenBucket(bytes_per_s)
        self._should_stop = should_stop

    def __call__(self, num_bytes: int) -> None:
        """Wait until more may be read."""
        self._bucket.take(num_bytes, time.monotonic())
        while (delay_s := self._bucket.delay_s(time.monotonic())) and not self._should_stop():
            time.sleep(min(delay_s, _LOOK_UP_S))
