"""`measure_loop_time`: how long a question to ourselves and its answer take through the broker.

Two connections, as a caller and a box have them. With one alone a broker that holds back small
packets would not be found out: it does so while an earlier one is not confirmed, which is when the
answer follows the confirmation of the question.
"""

from __future__ import annotations

import asyncio
import contextlib
import statistics
import time
import uuid
from dataclasses import dataclass

from skilld.config import MqttConfig
from skilld.mqtt.broker_address import BrokerError
from skilld.mqtt.connection import Connection, Subscription
from skilld.mqtt.connection_settings import ConnectionSettings, connection_settings
from skilld.mqtt.message import Delivery, Message
from skilld.mqtt.topics import Topics

_ROUNDS = 200
_WAY_ROUNDS = 20
_MAX_S = 3.0
_PATIENCE_S = 5.0
_MOMENT_S = 0.5
_LOOK_S = 0.01
# A broker next door answers within one or two.
SLOW_MS = 20.0
# Delayed acknowledgements cost 40 ms and more; a busy machine has fast moments all the same.
HELD_BACK_MS = 35.0


@dataclass(frozen=True, slots=True)
class LoopTime:
    """What questions and their answers took, one after the other.

    Attributes:
        p10_ms: the fastest tenth took no longer, in milliseconds.
        p50_ms: median.
        p99_ms: 99 of 100 took no longer.
        num_rounds: how many were asked.
        way_ms: to the broker and back, at the fastest: a word alone, and its confirmation.
    """

    p10_ms: float
    p50_ms: float
    p99_ms: float
    num_rounds: int
    way_ms: float

    @property
    def is_slow(self) -> bool:
        """Calls will be slow, whatever the box does."""
        return self.p50_ms > SLOW_MS

    @property
    def is_held_back(self) -> bool:
        """Even the fastest waited for a delayed acknowledgement: the way there is not that long.

        Question and answer go the way to the broker and back once each.
        """
        return self.p10_ms - 2 * self.way_ms > HELD_BACK_MS


class _End:
    """One of the two connections."""

    def __init__(self, settings: ConnectionSettings, *, hears: str) -> None:
        self._hears = hears
        self.came: asyncio.Queue[Delivery] = asyncio.Queue()
        self.is_up = asyncio.Event()
        self.connection = Connection(settings, self)
        self.connection.start()

    async def connected(self) -> None:
        """Wait for the connection, as long as nothing is known to be in its way.

        Raises:
            TimeoutError: something is.
        """
        while not self.is_up.is_set():
            if self.connection.problem:
                raise TimeoutError
            await asyncio.sleep(_LOOK_S)

    async def is_answered(self, topic: str) -> bool:
        """Ask, and wait for a moment."""
        self.connection.publish(Message(topic, b"{}"))
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_MOMENT_S):
                await self.came.get()
                return True
        return False

    def on_up(self) -> None:
        self.connection.subscribe([Subscription(self._hears)])
        self.is_up.set()

    def on_down(self, reason: str) -> None:
        self.is_up.clear()

    def on_message(self, delivery: Delivery) -> None:
        self.connection.acknowledge(delivery)
        self.came.put_nowait(delivery)


class _Answerer(_End):
    """Answers every message at once."""

    def __init__(self, settings: ConnectionSettings, *, hears: str, answers: str) -> None:
        self._answers = answers
        super().__init__(settings, hears=hears)

    def on_message(self, delivery: Delivery) -> None:
        self.connection.publish(Message(self._answers, b"{}"), acknowledges=[delivery])


async def measure_loop_time(config: MqttConfig, topics: Topics) -> LoopTime:
    """Ask ourselves through the broker, one question after the other.

    Args:
        config: of MQTT; a broker must be set.
        topics: of this box.

    Raises:
        SkilldError: wrongly configured; NO_BROKER: it cannot be reached, refuses us, or does not
            deliver what we may read.
    """
    nonce = uuid.uuid4().hex[:16]
    there, back = topics.loop(f"{nonce}-there"), topics.loop(f"{nonce}-back")
    asks, answers = (
        connection_settings(config, client_id=f"skilld-doctor-{nonce}-{end}", will=None)
        for end in ("asks", "answers")
    )
    assert asks is not None
    assert answers is not None
    asker, answerer = _End(asks, hears=back), _Answerer(answers, hears=there, answers=back)
    times_ms: list[float] = []
    try:
        async with asyncio.timeout(_PATIENCE_S):
            await asker.connected()
            await answerer.connected()
            while not await asker.is_answered(there):
                pass  # the answerer's subscription was later than the question
        way_ms = min(
            [await _way_ms(asker, topics.loop(f"{nonce}-way")) for _ in range(_WAY_ROUNDS)]
        )
        end_s = time.monotonic() + _MAX_S
        while len(times_ms) < _ROUNDS and (time.monotonic() < end_s or len(times_ms) < 2):
            started_s = time.perf_counter()
            asker.connection.publish(Message(there, b"{}"))
            async with asyncio.timeout(_PATIENCE_S):
                await asker.came.get()
            times_ms.append((time.perf_counter() - started_s) * 1e3)
    except TimeoutError as error:
        what = (
            f"does not deliver {there} and {back}; does its access list know this box?"
            if asker.is_up.is_set()
            else asker.connection.problem or "does not answer"
        )
        raise BrokerError(f"the broker at {asks.address} {what}", reason="NO_BROKER") from error
    finally:
        await asyncio.gather(asker.connection.stop(0.0), answerer.connection.stop(0.0))
    cuts_ms = statistics.quantiles(times_ms, n=100, method="inclusive")
    return LoopTime(cuts_ms[9], cuts_ms[49], cuts_ms[98], len(times_ms), way_ms)


async def _way_ms(end: _End, topic: str) -> float:
    """What the broker needs to confirm a message that nobody reads, while nothing else is sent."""
    started_s = time.perf_counter()
    async with asyncio.timeout(_PATIENCE_S):
        end.connection.publish(Message(topic, b"{}"))
        await end.connection.confirmed()
    return (time.perf_counter() - started_s) * 1e3
