"""`Connection`: paho in its own thread, and the event loop on this side of it.

Everything here is called on the event loop; paho calls back on its thread, where next to nothing is
decided and nothing can raise: a callback hands what it was told to the event loop and returns. Only
what is done with once the broker has its answer is acknowledged right there: that happens for every
call, and needs nobody to wake up. Connecting (names, TCP, TLS) happens on paho's thread too, so a
broker that is away costs nobody anything.

A connection begins clean: what the broker would keep for an absent box belongs to calls that
nobody waits for any more, and of a pool's calls it would go on keeping the box its share. Replies
that were on their way are sent again on the next connection.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, cast

from paho.mqtt.enums import MQTTErrorCode
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.subscribeoptions import SubscribeOptions

from skilld.mqtt.backoff import Backoff
from skilld.mqtt.connection_settings import ConnectionSettings
from skilld.mqtt.message import Delivery, Message
from skilld.mqtt.paho_client import PahoClient
from skilld.mqtt.paho_messages import (
    MAX_PACKET_BYTES,
    PublishProperties,
    packet_limit_of,
)

_log = logging.getLogger("skilld.mqtt")

_FIRST_DELAY_S = 0.2
_MAX_DELAY_S = 10.0
# A connection that lasted this long was a good one: the next delay begins small again.
_GOOD_AFTER_S = 1.0
_CONNECT_TIMEOUT_S = 5.0


class Listener(Protocol):
    """Who is told; on the event loop."""

    def on_up(self) -> None:
        """A connection is there: subscribe, announce."""

    def on_down(self, reason: str) -> None:
        """It is gone; another one is being tried for."""

    def on_message(self, delivery: Delivery) -> None:
        """A message arrived."""


@dataclass(frozen=True, slots=True)
class Subscription:
    """A topic filter, and what to be spared.

    Attributes:
        topics: the filter.
        skips_retained: not what was published before.
    """

    topics: str
    skips_retained: bool = True


class Connection:
    """See the module docstring.

    Args:
        settings: how to reach the broker.
        listener: who is told.
    """

    def __init__(self, settings: ConnectionSettings, listener: Listener) -> None:
        self._settings = settings
        self._listener = listener
        self._loop: asyncio.AbstractEventLoop | None = None
        self._backoff = Backoff(first_s=_FIRST_DELAY_S, max_s=_MAX_DELAY_S, dice=random.Random())
        # What is to be acknowledged once the broker has a message at QoS 1, by packet id. Put in on
        # the event loop, taken out on both threads.
        self._unsent: dict[int, Sequence[Delivery]] = {}
        self._number = 0  # of the current connection; counted on paho's thread
        self._up_since_s = 0.0
        self._num_waiting_for_quiet = 0
        self._is_quiet = asyncio.Event()
        self._unwritten: set[int] = set()  # packet ids of QoS 0 that the socket has not taken yet
        self._is_written = asyncio.Event()
        self._refusals: set[str] = set()  # reasons that were said on this connection
        self._said_unreadable = False
        self.is_up = False
        self.problem = ""  # why there is no connection, as far as that is known
        self.num_unreadable = 0  # messages that arrived and could not be read
        self.max_packet_bytes = MAX_PACKET_BYTES
        self._client = self._make_client()

    def start(self) -> None:
        """Begin to connect; call on the running event loop. Returns at once."""
        self._loop = asyncio.get_running_loop()
        settings = self._settings
        properties = Properties(PacketTypes.CONNECT)
        properties.ReceiveMaximum = settings.max_unanswered
        properties.MaximumPacketSize = settings.max_packet_bytes
        self._wait_before_next()
        self._client.connect_async(
            settings.address.host,
            settings.address.port,
            keepalive=settings.keepalive_s,
            clean_start=True,
            properties=properties,
        )
        self._client.loop_start()

    async def stop(self, timeout_s: float) -> None:
        """Send what is queued, say goodbye, end the thread."""
        if self.is_up:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(timeout_s):
                    await self.confirmed()
        self._loop = None  # callbacks from here on go nowhere
        self._client.disconnect()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_CONNECT_TIMEOUT_S + 1.0):
                await asyncio.to_thread(self._client.loop_stop)
        self.is_up = False

    def publish(self, message: Message, *, acknowledges: Sequence[Delivery] = ()) -> bool:
        """Send a message, as soon as there is a connection; False when it was dropped.

        Args:
            message: larger ones than the broker takes must not be given.
            acknowledges: what arrived and is done with once the broker has this one.
        """
        publish = self._client.publish_here if self.is_up else self._client.publish
        info = publish(
            message.topic,
            message.payload,
            qos=message.qos,
            retain=message.retain,
            properties=cast(Properties, PublishProperties(message)),
        )
        is_taken = info.rc in {MQTTErrorCode.MQTT_ERR_SUCCESS, MQTTErrorCode.MQTT_ERR_NO_CONN}
        if not is_taken or message.qos == 0:
            for delivery in acknowledges:
                self.acknowledge(delivery)
        if info.rc == MQTTErrorCode.MQTT_ERR_SUCCESS and not message.qos:
            self._unwritten.add(info.mid)
        elif is_taken and message.qos:
            self._unsent[info.mid] = acknowledges
        return is_taken

    @property
    def num_unwritten(self) -> int:
        """Messages at QoS 0 that are not yet with the operating system."""
        return len(self._unwritten)

    async def written(self, max_messages: int) -> None:
        """Wait until at most so many messages at QoS 0 are not yet with the operating system.

        Nothing else bounds them: neither paho nor the protocol confirms them.
        """
        while len(self._unwritten) > max_messages:
            self._is_written.clear()
            await self._is_written.wait()

    async def confirmed(self) -> None:
        """Wait until the broker has confirmed everything published at QoS 1."""
        self._num_waiting_for_quiet += 1
        try:
            while self._unsent:
                self._is_quiet.clear()
                await self._is_quiet.wait()
        finally:
            self._num_waiting_for_quiet -= 1

    def acknowledge(self, delivery: Delivery) -> None:
        """Tell the broker that a message is done with."""
        if delivery.packet_id and self.is_up and delivery.connection == self._number:
            self._client.ack_here(delivery.packet_id, delivery.message.qos)

    def subscribe(self, subscriptions: Sequence[Subscription]) -> None:
        """Ask for messages; forgotten when the connection is lost."""
        if subscriptions:
            self._client.subscribe(
                [
                    (
                        one.topics,
                        SubscribeOptions(
                            qos=1,
                            retainAsPublished=True,
                            retainHandling=2 if one.skips_retained else 0,
                        ),
                    )
                    for one in subscriptions
                ]
            )

    def unsubscribe(self, topics: Sequence[str]) -> None:
        """Take no more messages of these filters."""
        if topics:
            self._client.unsubscribe(list(topics))

    # --- on paho's thread ----------------------------------------------------------------------

    def _make_client(self) -> PahoClient:
        settings = self._settings
        client = PahoClient(settings.client_id, is_unix=settings.address.is_unix)
        client.connect_timeout = _CONNECT_TIMEOUT_S
        client.max_queued_messages_set(settings.max_queued)
        if settings.username is not None:
            client.username_pw_set(settings.username, settings.password)
        if settings.tls is not None:
            client.tls_set_context(settings.tls)
        if settings.will is not None:
            client.will_set(
                settings.will.topic,
                settings.will.payload,
                qos=settings.will.qos,
                retain=settings.will.retain,
            )
        client.on_unreadable = lambda problem: self._tell(self._on_unreadable, problem)
        client.on_connect = lambda _client, _data, _flags, reason, properties: self._on_connack(
            reason, packet_limit_of(properties)
        )
        client.on_connect_fail = lambda _client, _data: self._on_connect_fail()
        client.on_disconnect = lambda _client, _data, _flags, reason, _properties: (
            self._on_disconnect(str(reason))
        )
        client.on_arrival = self._on_arrival
        client.on_publish = lambda _client, _data, packet_id, reason, _properties: self._on_taken(
            packet_id, reason
        )
        client.on_subscribe = lambda _client, _data, _id, reasons, _properties: self._tell(
            self._on_subscribed, reasons
        )
        return client

    def _tell(self, function: Callable[..., None], *arguments: Any) -> None:
        """Have the event loop do it, if there still is one."""
        loop = self._loop
        if loop is not None:
            with contextlib.suppress(RuntimeError):  # it was closed this moment
                loop.call_soon_threadsafe(function, *arguments)

    def _on_connack(self, reason: Any, max_packet_bytes: int) -> None:  # Any: paho's ReasonCode
        is_smaller = max_packet_bytes < self.max_packet_bytes
        if not reason.is_failure:
            self._number += 1
            self._up_since_s = time.monotonic()
            if is_smaller:
                # One that is too large now would cost every connection from here on.
                self._client.drop_out_messages()
        self._tell(self._on_connect, reason, max_packet_bytes, is_smaller)

    def _on_connect_fail(self) -> None:
        self._wait_before_next()
        self._tell(self._on_away, f"cannot be reached: {self._client.problem}")

    def _on_disconnect(self, reason: str) -> None:
        self._wait_before_next()
        self._tell(self._on_lost, reason)

    def _wait_before_next(self) -> None:
        if self._up_since_s and time.monotonic() - self._up_since_s > _GOOD_AFTER_S:
            self._backoff.reset()
        self._up_since_s = 0.0
        delay_s = self._backoff.delay_s()
        self._client.reconnect_delay_set(delay_s, delay_s)  # type: ignore[arg-type]

    def _on_arrival(self, message: Message, packet_id: int) -> None:
        delivery = Delivery(message, packet_id, self._number, time.monotonic())
        self._tell(self._on_arrived, delivery)

    def _on_taken(self, packet_id: int, reason: Any) -> None:
        """The broker has a message at QoS 1, or the operating system one at QoS 0.

        The latter may be told on the event loop, too, before `publish` returns; and `publish` may
        not have noted yet what a message at QoS 1 acknowledges. Both wait for their turn there.
        """
        deliveries = self._unsent.pop(packet_id, None)
        if deliveries is None or reason.is_failure:
            self._tell(self._on_published, packet_id, reason)
        for delivery in deliveries or ():
            if delivery.packet_id and delivery.connection == self._number:
                self._client.ack(delivery.packet_id, delivery.message.qos)
        if self._num_waiting_for_quiet:
            self._tell(self._is_quiet.set)

    # --- on the event loop ---------------------------------------------------------------------

    def _on_connect(self, reason: Any, max_packet_bytes: int, forgets: bool) -> None:
        if reason.is_failure:
            self._on_away(f"refuses this box: {reason}")
            return
        self._forget_unwritten()
        if forgets:
            self._unsent.clear()
        self.is_up = True
        self.problem = ""
        self._refusals.clear()
        self._said_unreadable = False
        self.max_packet_bytes = max_packet_bytes
        _log.info("connected to the broker at %s", self._settings.address)
        self._listener.on_up()

    def _on_away(self, problem: str) -> None:
        if problem != self.problem:
            self.problem = problem
            _log.warning("the broker at %s %s; trying on", self._settings.address, problem)

    def _on_lost(self, reason: str) -> None:
        self._forget_unwritten()  # paho does
        if self.is_up:
            self.is_up = False
            _log.warning("the connection to the broker is lost: %s", reason)
            self._listener.on_down(reason)

    def _on_arrived(self, delivery: Delivery) -> None:
        if self.is_up:
            self._listener.on_message(delivery)

    def _on_unreadable(self, problem: str) -> None:
        self.num_unreadable += 1
        if not self._said_unreadable:
            self._said_unreadable = True
            _log.warning("a message could not be read and was dropped: %s (said once)", problem)

    def _on_published(self, packet_id: int, reason: Any) -> None:
        if reason.is_failure and str(reason) not in self._refusals:
            self._refusals.add(str(reason))
            _log.warning(
                "the broker refuses messages of this box: %s; does its access list know it? "
                "(said once)",
                reason,
            )
        if packet_id in self._unwritten:
            self._unwritten.remove(packet_id)
            self._is_written.set()
        for delivery in self._unsent.pop(packet_id, ()):
            self.acknowledge(delivery)
        self._is_quiet.set()

    def _forget_unwritten(self) -> None:
        self._unwritten.clear()
        self._is_written.set()

    def _on_subscribed(self, reasons: Sequence[Any]) -> None:
        for reason in reasons:
            if reason.is_failure:
                _log.error("the broker refused a subscription: %s", reason)
