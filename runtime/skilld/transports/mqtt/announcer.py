"""`Announcer`: keeps what the broker retains of this box true.

Descriptions follow the skills as they come and go; what an earlier daemon left behind, or another
client put there, is put right.
"""

from __future__ import annotations

import json
import logging

import skilld
from skilld.mqtt.connection import Connection, Subscription
from skilld.mqtt.message import Message
from skilld.mqtt.topics import Topics
from skilld.service import SkillService
from skilld.skills import RegisteredSkill
from skilld.transports.mqtt.announcement import (
    State,
    engines_of,
    paused_skill_payload,
    refused_skill_payload,
    skill_payload,
    status_payload,
)

_log = logging.getLogger("skilld.mqtt")


class Announcer:
    """See the module docstring. Owned by the event loop.

    Args:
        service: whose skills are announced.
        topics: of this box.
        boot_id: of this start of the daemon.
        max_payload_bytes: told to callers.
    """

    def __init__(
        self, service: SkillService, topics: Topics, *, boot_id: str, max_payload_bytes: int
    ) -> None:
        self._service = service
        self._topics = topics
        self._boot_id = boot_id
        self._max_payload_bytes = max_payload_bytes
        self._state: State = "online"
        self._told: dict[str, bytes] = {}
        # What a description was made from, and the description: made anew only when that changes.
        self._described: dict[str, tuple[tuple[RegisteredSkill, State, int], bytes]] = {}
        self._pooled: set[str] = set()

    def will(self) -> Message:
        """What the broker says of this box when it is gone without a word."""
        return Message(self._topics.status, self._status("offline"), retain=True)

    def begin(self, connection: Connection) -> None:
        """Tell a broker that knows nothing yet."""
        self._told.clear()
        self._pooled.clear()
        if self._state == "online":
            connection.subscribe(
                [Subscription(self._topics.own_requests), Subscription(self._topics.own_cancels)]
            )
        self.refresh(connection)
        # After our own announcements, which take the place of what was there: else every start
        # would put right what it is about to say anyway.
        connection.subscribe(
            [
                Subscription(topics, skips_retained=False)
                for topics in (self._topics.every_meta, self._topics.status)
            ]
        )

    def refresh(self, connection: Connection) -> None:
        """Tell what changed, and take part in the pools of the skills served."""
        if not connection.is_up:
            return
        self._pool(connection)  # first: who reads that we are here may call at once
        wanted = self._wanted(connection.max_packet_bytes)
        for topic in self._told.keys() - wanted.keys():
            if self._tell(connection, topic, b""):
                del self._told[topic]
        for topic, payload in wanted.items():
            if self._told.get(topic) != payload and self._tell(connection, topic, payload):
                self._told[topic] = payload

    def end(self, connection: Connection, state: State) -> None:
        """Take no more calls, and say so; `state` is "draining" or "offline"."""
        if self._state == "online" and connection.is_up:
            connection.unsubscribe([self._topics.own_requests, self._topics.own_cancels])
        self._state = state
        self.refresh(connection)

    def heard(self, connection: Connection, message: Message) -> None:
        """What the broker retains or another client says of this box."""
        if not message.retain:
            return
        if message.topic == self._topics.status and self._is_rival(message.payload):
            _log.error(
                "another daemon says it is box %r; give each its own mqtt.box", self._topics.box
            )
            return
        ours = self._told.get(message.topic, b"")
        if message.payload != ours:
            self._tell(connection, message.topic, ours)

    def _is_rival(self, payload: bytes) -> bool:
        try:
            said = json.loads(payload)
            return bool(said["boot_id"] != self._boot_id and said["state"] != "offline")
        except (ValueError, TypeError, KeyError):
            return False

    def _wanted(self, max_packet_bytes: int) -> dict[str, bytes]:
        wanted = {self._topics.status: self._status(self._state)}
        for engine in self._service.offering.refused:
            for skill_id in engine.skills:
                wanted[self._topics.meta(skill_id)] = refused_skill_payload(skill_id, engine)
        for skill_id in self._service.offering.paused:
            wanted[self._topics.meta(skill_id)] = paused_skill_payload(skill_id)
        for entry in self._service.offering.skills():
            topic = self._topics.meta(entry.skill.id)
            known = self._described.get(topic)
            circumstances = (entry, self._state, max_packet_bytes)
            if known is None or known[0] != circumstances:
                known = (circumstances, self._describe(topic, entry, max_packet_bytes))
                self._described[topic] = known
            wanted[topic] = known[1]
        return wanted

    def _describe(self, topic: str, entry: RegisteredSkill, max_packet_bytes: int) -> bytes:
        for with_schemas in (True, False):
            payload = skill_payload(
                entry,
                is_draining=self._state != "online",
                max_payload_bytes=self._max_payload_bytes,
                with_schemas=with_schemas,
            )
            if Message(topic, payload).packet_bytes <= max_packet_bytes:
                break
        return payload

    def _status(self, state: State) -> bytes:
        return status_payload(
            state,
            box=self._topics.box,
            boot_id=self._boot_id,
            version=skilld.__version__,
            engines=engines_of(self._service.offering.skills()),
        )

    def _pool(self, connection: Connection) -> None:
        served = set()
        if self._state == "online":
            served = {entry.skill.id for entry in self._service.offering.skills()}
        for skill_id in sorted(served - self._pooled):
            connection.subscribe(
                [
                    Subscription(self._topics.pool_requests(skill_id)),
                    Subscription(self._topics.pool_cancels(skill_id)),
                ]
            )
        for skill_id in sorted(self._pooled - served):
            connection.unsubscribe(
                [self._topics.pool_requests(skill_id), self._topics.pool_cancels(skill_id)]
            )
        self._pooled = served

    def _tell(self, connection: Connection, topic: str, payload: bytes) -> bool:
        message = Message(topic, payload, retain=True)
        is_small = message.packet_bytes <= connection.max_packet_bytes
        return is_small and connection.publish(message)
