"""`Topics`: every topic name of ours, and what an incoming one means. Pure.

    {p}/box/{box}/status                       retained, with a will: how the box is
    {p}/box/{box}/skill/{skill}/meta           retained: what a skill of it is
    {p}/box/{box}/skill/{skill}/req/{client}   a call to this box
    {p}/box/{box}/cancel/{client}              end a call on this box
    {p}/box/{box}/loop/{nonce}                 `skilld doctor` times the broker here
    {p}/pool/{skill}/req/{client}              a call to any box with this skill ($share/{skill})
    {p}/pool/{skill}/cancel/{client}           end such a call, wherever it went
    {p}/client/{client}/resp/#                 the only place replies go
    {p}/depot/{depot}/get/{box}                a box asks a depot for a part of a release
    {p}/box/{box}/ota/data/{depot}             where the depot answers it
    {p}/box/{box}/ota/job/{release}            retained, signed: which release the box shall run
    {p}/box/{box}/ota/order/{release}          retained, signed: cancel or commit a job
    {p}/box/{box}/ota/status/{release}         retained: how that goes

The last level of `req` and `cancel` says who calls. A broker with our access list (`skilld
broker-config`) lets a client publish under its own name only, so there it is proven. It may be left
out: then the caller is whoever its reply topic names, which is as good as the broker's rules are.

A name is one topic level and none of `/`, `+`, `#`, so nobody reaches another's topic with a name.
"""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass
from typing import Literal

from skilld.core.errors import InvalidRequestError

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:@-]{0,63}")
_MAX_TOPIC_BYTES = 512
_MAX_KNOWN_TOPICS = 1024

NAME_RULE = "letters, digits and . _ : @ -, at most 64, beginning with a letter or digit"


class TopicError(InvalidRequestError):
    """A name, prefix or topic is not one of ours."""

    default_reason = "BAD_TOPIC"


@dataclass(frozen=True, slots=True)
class Destination:
    """What an incoming topic asks for.

    Attributes:
        kind: a request, a cancellation, or retained state that this box publishes itself.
        skill: it is about; "" when it is about the box.
        client: who asks, as the topic says; None when it does not say.
    """

    kind: Literal["request", "cancel", "meta", "status"]
    skill: str = ""
    client: str | None = None


@dataclass(frozen=True, slots=True)
class Topics:
    """The topics of one box.

    Args:
        prefix: one or more levels.
        box: name of the box.

    Raises:
        TopicError: either is not what it must be.
    """

    prefix: str
    box: str

    def __post_init__(self) -> None:
        for level in self.prefix.split("/"):
            if not is_name(level):
                raise TopicError(f"mqtt.prefix: {level!r} is no topic level; {NAME_RULE}")
        if not is_name(self.box):
            raise TopicError(f"mqtt.box: {self.box!r} is no name; {NAME_RULE}")

    @property
    def status(self) -> str:
        """Retained state of the box."""
        return f"{self.prefix}/box/{self.box}/status"

    def meta(self, skill: str) -> str:
        """Retained description of a skill."""
        return f"{self.prefix}/box/{self.box}/skill/{_checked(skill)}/meta"

    def loop(self, nonce: str) -> str:
        """Where `skilld doctor` times the broker."""
        return f"{self.prefix}/box/{self.box}/loop/{_checked(nonce)}"

    @property
    def every_meta(self) -> str:
        """Filter of all retained descriptions of this box."""
        return f"{self.prefix}/box/{self.box}/skill/+/meta"

    @property
    def own_requests(self) -> str:
        """Filter of all calls and nothing else to this box."""
        return f"{self.prefix}/box/{self.box}/skill/+/req/#"

    @property
    def own_cancels(self) -> str:
        """Filter of cancellations to this box."""
        return f"{self.prefix}/box/{self.box}/cancel/#"

    def pool_requests(self, skill: str) -> str:
        """Filter of this box's share of the calls to any box with a skill."""
        return f"$share/{_checked(skill)}/{self.prefix}/pool/{skill}/req/#"

    def pool_cancels(self, skill: str) -> str:
        """Filter of cancellations of such calls; every box gets them."""
        return f"{self.prefix}/pool/{_checked(skill)}/cancel/#"

    def reply_to(self, client: str) -> str:
        """Where a caller's replies go when it does not say."""
        return f"{self.prefix}/client/{_checked(client)}/resp"

    def client_of_reply(self, topic: str) -> str:
        """Whose reply topic it is.

        Raises:
            TopicError: it is not below `{p}/client/{client}/resp`.
        """
        client = None
        if len(topic) <= _MAX_TOPIC_BYTES:
            client = _read_reply(self.prefix, topic)
        if client is None:
            raise TopicError(
                f"replies go to {self.prefix}/client/<your name>/resp or below, not to "
                f"{topic[:_MAX_TOPIC_BYTES]!r}",
                reason="BAD_REPLY_TOPIC",
            )
        return client

    def read(self, topic: str) -> Destination | None:
        """What an incoming topic means; None when it is none of ours."""
        return _read(self.prefix, self.box, topic) if len(topic) <= _MAX_TOPIC_BYTES else None


# A robot uses two topics for all its calls.
@functools.lru_cache(maxsize=_MAX_KNOWN_TOPICS)
def _read(prefix: str, own: str, topic: str) -> Destination | None:
    match _below(prefix, topic):
        case ["box", box, "skill", skill, "req", *client] if box == own and _is_caller(client):
            destination = Destination("request", skill, _first(client))
        case ["pool", skill, "req", *client] if _is_caller(client):
            destination = Destination("request", skill, _first(client))
        case ["box", box, "cancel", *client] if box == own and _is_caller(client):
            return Destination("cancel", client=_first(client))
        case ["pool", skill, "cancel", *client] if _is_caller(client):
            destination = Destination("cancel", skill, _first(client))
        case ["box", box, "skill", skill, "meta"] if box == own:
            destination = Destination("meta", skill)
        case ["box", box, "status"] if box == own:
            return Destination("status")
        case _:
            return None
    return destination if is_name(skill) else None


@functools.lru_cache(maxsize=_MAX_KNOWN_TOPICS)
def _read_reply(prefix: str, topic: str) -> str | None:
    match _below(prefix, topic):
        case ["client", client, "resp", *rest] if is_name(client) and _is_plain(rest):
            return client
    return None


def _below(prefix: str, topic: str) -> list[str]:
    begin = f"{prefix}/"
    is_ours = topic.startswith(begin) and len(topic.encode()) <= _MAX_TOPIC_BYTES
    return topic[len(begin) :].split("/") if is_ours else []


@dataclass(frozen=True, slots=True)
class DepotTopics:
    """The topics of one depot. Who asks, and who answers, is their last level.

    Args:
        prefix: one or more levels.
        depot: its name.

    Raises:
        TopicError: either is not what it must be.
    """

    prefix: str
    depot: str

    def __post_init__(self) -> None:
        for level in (*self.prefix.split("/"), self.depot):
            _checked(level)

    @property
    def requests(self) -> str:
        """Filter of all requests."""
        return f"{self.prefix}/depot/{self.depot}/get/+"

    def request(self, box: str) -> str:
        """Where a box asks."""
        return f"{self.prefix}/depot/{self.depot}/get/{_checked(box)}"

    def data(self, box: str) -> str:
        """Where it is answered."""
        return f"{self.prefix}/box/{_checked(box)}/ota/data/{self.depot}"

    def box_of(self, topic: str) -> str | None:
        """Who asks with a request; None if it is none."""
        begin = self.requests.removesuffix("+")
        box = topic.removeprefix(begin)
        return box if topic.startswith(begin) and is_name(box) else None


@dataclass(frozen=True, slots=True)
class UpdateTopics:
    """The topics of updates.

    Args:
        prefix: one or more levels.

    Raises:
        TopicError: it is not what it must be.
    """

    prefix: str

    def __post_init__(self) -> None:
        for level in self.prefix.split("/"):
            _checked(level)

    def job(self, box: str, release: str) -> str:
        """Which release a box shall run."""
        return self._topic(box, "job", release)

    def order(self, box: str, release: str) -> str:
        """What is to become of a job."""
        return self._topic(box, "order", release)

    def status(self, box: str, release: str) -> str:
        """How updates of a release stand."""
        return self._topic(box, "status", release)

    def every(self, box: str, kind: Literal["job", "order", "status"]) -> str:
        """Filter of one kind of topic, for all releases."""
        return f"{self.prefix}/box/{_checked(box)}/ota/{kind}/+"

    def everywhere(
        self, kind: Literal["job", "order", "status"], release: str | None = None
    ) -> str:
        """Filter of one kind of topic on all boxes, for one release or for all."""
        return f"{self.prefix}/box/+/ota/{kind}/{'+' if release is None else _checked(release)}"

    @property
    def every_box(self) -> str:
        """Filter of how boxes are, whatever their updates do; see `Topics.status`."""
        return f"{self.prefix}/box/+/status"

    def box_of_status(self, topic: str) -> str | None:
        """Whose state a topic of that filter holds; None if it is none."""
        begin, end = f"{self.prefix}/box/", "/status"
        box = topic.removeprefix(begin).removesuffix(end)
        return box if topic == f"{begin}{box}{end}" and is_name(box) else None

    def read(self, topic: str) -> tuple[str, str, str] | None:
        """Box, kind ("job", "order", "status") and release of a topic; None if it is none."""
        begin = f"{self.prefix}/box/"
        if not topic.startswith(begin):
            return None
        match topic.removeprefix(begin).split("/"):
            case [box, "ota", ("job" | "order" | "status") as kind, release]:
                return (box, kind, release) if is_name(box) and is_name(release) else None
        return None

    def _topic(self, box: str, kind: str, release: str) -> str:
        return f"{self.prefix}/box/{_checked(box)}/ota/{kind}/{_checked(release)}"


def is_name(text: str) -> bool:
    """Whether this is one topic level that nothing can be smuggled through."""
    return _NAME.fullmatch(text) is not None


def _checked(name: str) -> str:
    if not is_name(name):
        raise TopicError(f"{name!r} cannot be part of a topic; {NAME_RULE}")
    return name


def _is_plain(levels: list[str]) -> bool:
    return all(level and not set(level) & set("+#\0") and level.isprintable() for level in levels)


def _is_caller(levels: list[str]) -> bool:
    return len(levels) <= 1 and all(map(is_name, levels))


def _first(levels: list[str]) -> str | None:
    return levels[0] if levels else None
