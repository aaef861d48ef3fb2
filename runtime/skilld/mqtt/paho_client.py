"""`PahoClient`: paho's client, with a thread that survives whatever arrives."""

from __future__ import annotations

import contextlib
import logging
import socket
import ssl
import struct
import threading
from collections.abc import Callable, Iterator
from typing import Any

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode
from paho.mqtt.properties import Properties

_log = logging.getLogger("skilld.mqtt")


class PahoClient(mqtt.Client):
    """See the module docstring. All of it runs on paho's thread but `publish_here` and `ack_here`.

    These write on the calling thread, to spare a call the time in which paho's wakes up. One thread
    besides paho's may use them.

    Attributes:
        problem: why it could not connect the last time.
        on_unreadable: told of a message that paho cannot read, and why. It is dropped, and nothing
            else happens: the connection goes on, so who sends such messages harms nobody else.
            paho would give the connection up. A user property with U+FEFF is one: the standard
            allows it, brokers hand it on, paho refuses it.
    """

    def __init__(self, client_id: str, *, is_unix: bool) -> None:
        super().__init__(
            CallbackAPIVersion.VERSION2,
            client_id=client_id,
            protocol=mqtt.MQTTv5,
            transport="unix" if is_unix else "tcp",
            manual_ack=True,
        )
        self.problem = ""
        self.on_unreadable: Callable[[str], None] = lambda problem: None
        self.suppress_exceptions = True
        self.on_socket_open = _send_at_once
        self._writing = threading.Lock()
        self._bell: _Bell | None = None  # wakes paho's thread

    def loop_start(self) -> MQTTErrorCode:
        """Start paho's thread."""
        code = super().loop_start()
        if self._sockpairW is not None and self._thread is not None and self._bell is None:
            self._bell = _Bell(self._sockpairW, wakes=self._thread)
            self._sockpairW = self._bell  # type: ignore[assignment]  # of it paho uses no more
        return code

    def publish_here(
        self, topic: str, payload: bytes, *, qos: int, retain: bool, properties: Properties
    ) -> mqtt.MQTTMessageInfo:
        """`publish`, written to the socket before it returns, if that takes it."""
        with self._writes_here():
            return self.publish(topic, payload, qos=qos, retain=retain, properties=properties)

    def ack_here(self, packet_id: int, qos: int) -> None:
        """`ack`, written to the socket before it returns, if that takes it."""
        with self._writes_here():
            self.ack(packet_id, qos)

    @contextlib.contextmanager
    def _writes_here(self) -> Iterator[None]:
        bell = self._bell
        # Reading and writing at the same time is safe on sockets, and not on TLS.
        if bell is None or isinstance(self._sock, ssl.SSLSocket):
            yield
            return
        bell.is_muted = True
        try:
            yield
        finally:
            bell.is_muted = False
        if self._packet_write() != MQTTErrorCode.MQTT_ERR_SUCCESS:
            bell.send(b"0")  # the rest, or what is wrong, is for paho's thread

    def _packet_write(self) -> MQTTErrorCode:
        with self._writing:  # a packet that was half written goes on before any other
            return super()._packet_write()

    def reconnect(self) -> MQTTErrorCode:
        """Connect; every failure is an OSError, which paho's loop expects."""
        try:
            return super().reconnect()
        except OSError as error:
            self.problem = str(error)
            raise
        except ValueError as error:  # a host name that no DNS takes
            self.problem = str(error)
            raise OSError(self.problem) from error

    def loop_read(self, max_packets: int = 1) -> MQTTErrorCode:
        """Read packets; one that breaks the protocol ends the connection, not the thread."""
        try:
            return super().loop_read(max_packets)
        except Exception:
            _log.exception("a packet of the broker could not be read; connecting anew")
            return MQTTErrorCode.MQTT_ERR_PROTOCOL

    def _handle_publish(self) -> MQTTErrorCode:
        try:
            return super()._handle_publish()
        except Exception as error:  # whatever paho trips over; the packet as such was whole
            self.on_unreadable(str(error) or type(error).__name__)
        packet = self._in_packet
        if packet["command"] & 0x06 == 0:
            return MQTTErrorCode.MQTT_ERR_SUCCESS
        # Without this it would keep its place in the broker's window for ever.
        (topic_bytes,) = struct.unpack_from(">H", packet["packet"])
        (packet_id,) = struct.unpack_from(">H", packet["packet"], 2 + topic_bytes)
        return self.ack(packet_id, 1)


class _Bell:
    """What paho writes a byte to when its thread shall look what is queued.

    Silent while it is muted, and to that thread itself, which looks before it sleeps.
    """

    def __init__(self, sock: socket.socket, *, wakes: threading.Thread) -> None:
        self._socket = sock
        self._wakes = wakes
        self.is_muted = False

    def send(self, data: bytes) -> int:
        """Ring it."""
        if self.is_muted or threading.get_ident() == self._wakes.ident:
            return len(data)
        return self._socket.send(data)

    def close(self) -> None:
        """It rings no more."""
        self._socket.close()


def _send_at_once(_client: object, _data: object, sock: Any) -> None:  # Any: TCP, TLS or unix
    if sock.family != getattr(socket, "AF_UNIX", None):
        # Without it a reply waits some 40 ms for the broker's acknowledgement of the last one.
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
