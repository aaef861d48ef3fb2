"""`Campaign`: carries a rollout out over a broker."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

from securesystemslib.signer import CryptoSigner

from skilld.updates.fleet.held_jobs import dated_after, earlier_job, held_job
from skilld.updates.fleet.link import FleetLink
from skilld.updates.fleet.rollout import Ending, Rollout
from skilld.updates.trust.job import Job, sign_job
from skilld.updates.trust.order import Command, Order, sign_order

_TICK_S = 0.5
_TAKEN_S = 30.0  # in which a broker that is there takes a job


class Campaign:
    """See the module docstring. Lives on the event loop of its link.

    Args:
        link: for the release of the rollout.
        rollout: decides.
        job: for all its boxes, not yet signed. One of the same id that these keys signed before,
            and that the broker still keeps, is gone on with as it was signed.
        signers: of the job, and of orders to cancel it.
        on_change: told whenever something may have changed.
        on_problem: told lines for a person.
    """

    def __init__(
        self,
        link: FleetLink,
        rollout: Rollout,
        job: Job,
        signers: list[CryptoSigner],
        *,
        on_change: Callable[[Rollout], None],
        on_problem: Callable[[str], None],
    ) -> None:
        self._link = link
        self._rollout = rollout
        self._job = job
        self._signers = signers
        self._on_change = on_change
        self._on_problem = on_problem
        self._data: bytes | None = None
        self._heard_s = 0.0  # time in which boxes could be heard
        self._looked_s: float | None = None

    async def run(self, interrupted: asyncio.Event) -> Ending | None:
        """Go on to the end; None when interrupted.

        Raises:
            UnavailableError: reason NOT_TAKEN: the broker is there, and does not take jobs.
            InvalidRequestError: reason ID_IN_USE.
        """
        while not interrupted.is_set():
            ending = self._step()
            if ending is not None:
                await self._link.settled(_TAKEN_S)
                return ending
            await self._link.news(_TICK_S)
        return None

    async def send(self, timeout_s: float) -> None:
        """Ask the first wave, and see to it that the broker has that.

        Raises:
            UnavailableError: reason BROKER_UNAVAILABLE or NOT_TAKEN.
            InvalidRequestError: reason ID_IN_USE.
        """
        await self._link.ready(timeout_s)
        self._step()
        await self._link.settled(timeout_s)

    def _step(self) -> Ending | None:
        for line in self._link.take_problems():
            self._on_problem(line)
        self._count_time()
        self._link.tend()
        if not self._link.is_ready:
            return None
        if self._data is None:
            self._data = self._begin()
        for report in self._link.take_reports():
            self._rollout.hear(report, self._heard_s)
            self._on_change(self._rollout)
        orders = self._rollout.advance(self._heard_s)
        for box in orders.asks:
            self._link.send(self._link.topics.job(box, self._job.skill), self._data)
            if box in self._link.offline:
                self._on_problem(f"{box} is offline; the broker keeps the job for it")
        if orders.cancels:
            self._cancel(orders.cancels)
        self._on_change(self._rollout)
        return orders.ending

    def _begin(self) -> bytes:
        """The signed job, once it is known what the broker keeps."""
        job = self._job
        jobs = {
            box: data
            for box in self._rollout.plan.boxes
            if (data := self._link.jobs.get((box, job.skill)))
        }
        data = earlier_job(jobs.values(), job, self._signers)
        if data is None:
            job = dated_after(job, jobs.values())
            data = sign_job(job, self._signers)
        else:
            job = held_job(data) or job
        for box, kept in jobs.items():
            found = held_job(kept)
            if kept == data:
                self._rollout.was_asked(box, self._heard_s)
            elif found is not None and found.id != job.id and found.issued_s >= job.issued_s:
                self._rollout.give_up(
                    box,
                    "NEWER_JOB",
                    f"the broker keeps job {found.id} for it, which says it is newer; is the "
                    "clock of this machine right?",
                )
        return data

    def _cancel(self, boxes: tuple[str, ...]) -> None:
        order = Order(job=self._job.id, command=Command.CANCEL, boxes=boxes)
        send_order(self._link, self._job.skill, order, self._signers)

    def _count_time(self) -> None:
        now_s = time.monotonic()
        if self._link.is_ready and self._looked_s is not None:
            self._heard_s += now_s - self._looked_s
        self._looked_s = now_s if self._link.is_ready else None


def send_order(link: FleetLink, release: str, order: Order, signers: list[CryptoSigner]) -> None:
    """Sign an order about a job, and send it to the boxes it names.

    A cancelled job is also taken from the broker: a box that was away would find both, and an order
    that comes before its job says nothing to it.
    """
    data = sign_order(order, signers)
    for box in order.boxes:
        link.send(link.topics.order(box, release), data)
        kept = held_job(link.job_at(box, release))
        if order.command is Command.CANCEL and kept is not None and kept.id == order.job:
            link.send(link.topics.job(box, release), b"")
