"""`AnswerMemory`: answers kept for a while, for requests that come a second time. Pure."""

from __future__ import annotations

import collections
from dataclasses import dataclass

from skilld.core.errors import InvalidRequestError
from skilld.transports.mqtt.reply import Body

# Of an entry besides its answer: keys, digest, the record itself.
_ENTRY_BYTES = 400


@dataclass(frozen=True, slots=True)
class _Kept:
    digest: bytes
    body: Body
    since_s: float

    @property
    def num_bytes(self) -> int:
        return self.body.num_bytes + _ENTRY_BYTES


class AnswerMemory:
    """Answers by client and request id, bounded in number, bytes and age.

    Room is taken from whoever holds most of it, oldest first, so that a busy client cannot
    make the box forget what it answered to others.

    Args:
        max_answers: kept at most.
        max_bytes: memory of all of them.
        max_age_s: after which an answer is forgotten.
    """

    def __init__(self, *, max_answers: int, max_bytes: int, max_age_s: float) -> None:
        self._max_answers = max_answers
        self._max_bytes = max_bytes
        self._max_age_s = max_age_s
        self._clients: dict[str, collections.OrderedDict[str, _Kept]] = {}
        self._bytes: collections.Counter[str] = collections.Counter()
        self.num_answers = 0
        self.num_bytes = 0

    def find(self, client: str, request_id: str, *, digest: bytes, now_s: float) -> Body | None:
        """The answer that this request already had; None when it is not known.

        Raises:
            InvalidRequestError: reason REQUEST_ID_REUSED; the id belongs to another request.
        """
        answers = self._clients.get(client)
        kept = None if answers is None else answers.get(request_id)
        if kept is None:
            return None
        if now_s - kept.since_s > self._max_age_s:
            self._forget(client, request_id)
            return None
        check_same(kept.digest, digest, request_id)
        return kept.body

    def keep(
        self, client: str, request_id: str, *, digest: bytes, body: Body, now_s: float
    ) -> None:
        """Remember an answer, as far as there is room."""
        if request_id in self._clients.get(client, {}):
            self._forget(client, request_id)
        kept = _Kept(digest, body, now_s)
        if kept.num_bytes > self._max_bytes or self._max_answers == 0:
            return
        self._clients.setdefault(client, collections.OrderedDict())[request_id] = kept
        self._bytes[client] += kept.num_bytes
        self.num_answers += 1
        self.num_bytes += kept.num_bytes
        self._forget_old(client, now_s)
        while self.num_answers > self._max_answers or self.num_bytes > self._max_bytes:
            largest = max(self._bytes, key=self._bytes.__getitem__)
            self._forget(largest, next(iter(self._clients[largest])))

    def forget_old(self, now_s: float) -> None:
        """Let go of what is too old, of every client; call now and then."""
        for client in list(self._clients):
            self._forget_old(client, now_s)

    def check(self) -> None:
        """Prove the accounts."""
        every = [kept for answers in self._clients.values() for kept in answers.values()]
        assert self.num_answers == len(every) <= self._max_answers
        assert self.num_bytes == sum(kept.num_bytes for kept in every) <= self._max_bytes
        assert all(self._clients.values())
        assert dict(self._bytes) == {
            client: sum(kept.num_bytes for kept in answers.values())
            for client, answers in self._clients.items()
        }

    def _forget_old(self, client: str, now_s: float) -> None:
        answers = self._clients.get(client)
        while answers:
            request_id, kept = next(iter(answers.items()))
            if now_s - kept.since_s <= self._max_age_s:
                return
            self._forget(client, request_id)

    def _forget(self, client: str, request_id: str) -> None:
        answers = self._clients[client]
        kept = answers.pop(request_id)
        self.num_answers -= 1
        self.num_bytes -= kept.num_bytes
        self._bytes[client] -= kept.num_bytes
        if not answers:
            del self._clients[client], self._bytes[client]


def check_same(known: bytes, digest: bytes, request_id: str) -> None:
    """Refuse an id that stands for another request already.

    Raises:
        InvalidRequestError: reason REQUEST_ID_REUSED.
    """
    if known != digest:
        raise InvalidRequestError(
            f"request_id {request_id!r} was used for another request; ids must not repeat, not "
            "even after the device restarts",
            reason="REQUEST_ID_REUSED",
        )
