"""`PahoClient`: paho's client, with a thread that survives whatever arrives."""

from __future__ import annotations

import logging
import socket
import ssl
import threading
from collections.abc import Callable
from typing import Any, Literal

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from skilld.mqtt.message import Message
from skilld.mqtt.paho_messages import read_publish

_log = logging.getLogger("skilld.mqtt")

_SUCCESS = MQTTErrorCode.MQTT_ERR_SUCCESS
# Of the first byte of a PUBLISH packet: its quality of service.
_ONCE, _MORE_THAN_ONCE = 0b010, 0b100
# Most acknowledgements are a packet id and nothing else, which means that all is well. paho makes
# objects for what is not there, in more time than the rest of an acknowledgement takes.
_PLAIN_ACK_BYTES = 2
_TAKEN = ReasonCode(PacketTypes.PUBACK)
_NO_PROPERTIES = Properties(PacketTypes.PUBACK)


class PahoClient(mqtt.Client):
    """See the module docstring. All of it runs on paho's thread but `publish_here` and `ack_here`.

    These write on the calling thread, to spare a call the time in which paho's wakes up. One thread
    besides paho's may use them.

    Attributes:
        problem: why it could not connect the last time.
        on_arrival: told of a message and the packet id to acknowledge it by, 0 at QoS 0. Must not
            raise. It stands in for paho's `on_message`, which is not called.
        on_unreadable: told of a message that cannot be read, and why. It is dropped, and nothing
            else happens: the connection goes on, so who sends such messages harms nobody else.
            paho would give the connection up.
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
        self.on_arrival: Callable[[Message, int], None] = lambda message, packet_id: None
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
        is_here = self._begin_writing()
        try:
            return self.publish(topic, payload, qos=qos, retain=retain, properties=properties)
        finally:
            if is_here:
                self._end_writing()

    def ack_here(self, packet_id: int, qos: int) -> None:
        """`ack`, written to the socket before it returns, if that takes it."""
        is_here = self._begin_writing()
        try:
            self.ack(packet_id, qos)
        finally:
            if is_here:
                self._end_writing()

    def _begin_writing(self) -> bool:
        # Reading and writing at the same time is safe on sockets, and not on TLS.
        if self._bell is None or isinstance(self._sock, ssl.SSLSocket):
            return False
        self._bell.is_muted = True
        return True

    def _end_writing(self) -> None:
        assert self._bell is not None
        self._bell.is_muted = False
        if self._packet_write() != _SUCCESS:
            self._bell.send(b"0")  # the rest, or what is wrong, is for paho's thread

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
        packet = self._in_packet
        flags, content = packet["command"], bytes(packet["packet"])
        if flags & _MORE_THAN_ONCE:
            _log.error("a message came at a quality of service that was not asked for")
            return MQTTErrorCode.MQTT_ERR_PROTOCOL
        try:
            message, packet_id = read_publish(flags, content)
        except ValueError as error:
            self.on_unreadable(str(error))
            # Without this it would keep its place in the broker's window for ever.
            return self._acknowledge_unread(content) if flags & _ONCE else _SUCCESS
        self.on_arrival(message, packet_id)
        return _SUCCESS

    def _acknowledge_unread(self, content: bytes) -> MQTTErrorCode:
        """Acknowledge a message of which the topic can be skipped, at least."""
        id_at = 2 + int.from_bytes(content[:2], "big")
        if id_at + 2 > len(content):
            return MQTTErrorCode.MQTT_ERR_PROTOCOL
        return self.ack(int.from_bytes(content[id_at : id_at + 2], "big"), 1)

    def _handle_pubackcomp(self, cmd: Literal["PUBACK", "PUBCOMP"]) -> MQTTErrorCode:
        content = self._in_packet["packet"]
        if len(content) != _PLAIN_ACK_BYTES:
            return super()._handle_pubackcomp(cmd)
        packet_id = int.from_bytes(content, "big")
        with self._out_message_mutex:
            if packet_id in self._out_messages:
                return self._do_on_publish(packet_id, _TAKEN, _NO_PROPERTIES)
        return _SUCCESS


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
