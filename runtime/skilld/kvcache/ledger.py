"""`KvLedger`: the one account of cache bytes on the box.

A request reserves everything it may ever need before it starts, so it can never run out midway.
Reservations are firm (deadline and interactive work, pinned prefixes: never revoked) or revocable
(batch work: may be preempted and computed again). Three rules hold at any moment:

    sum over engines of max(min, firm) <= budget        minima can always be had
    sum over engines of firm + revocable <= budget      nobody holds a promise that cannot be kept
    sum over engines of used + cached <= budget         memory is there; cached blocks give way

so that a firm reservation inside an engine's minimum is always granted, at the cost of cached
blocks and of revocable work at most, while idle minima serve others meanwhile.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class Account:
    """One engine's part of the ledger, in bytes.

    Attributes:
        min_bytes: guaranteed.
        max_bytes: cap.
        firm_bytes: reserved for work that is never revoked; pinned prefixes are part of it.
        revocable_bytes: reserved for work that may be preempted.
        pinned_bytes: the part of `firm_bytes` that pinned prefixes hold.
        used_bytes: the part of the reservations for which blocks were taken.
        cached_bytes: blocks nobody refers to, kept for reuse.
    """

    min_bytes: int
    max_bytes: int
    firm_bytes: int = 0
    revocable_bytes: int = 0
    pinned_bytes: int = 0
    used_bytes: int = 0
    cached_bytes: int = 0

    @property
    def reserved_bytes(self) -> int:
        """Everything promised."""
        return self.firm_bytes + self.revocable_bytes

    @property
    def above_min_bytes(self) -> int:
        """Memory held beyond the guarantee."""
        return max(0, self.used_bytes + self.cached_bytes - self.min_bytes)


@dataclass(frozen=True, slots=True)
class Shortfall:
    """Revocable bytes that must be given up before a reservation can be granted.

    Attributes:
        own_bytes: by requests of the same engine, because of its cap.
        any_bytes: by requests of any engine, because of the budget.
    """

    own_bytes: int
    any_bytes: int

    @property
    def is_zero(self) -> bool:
        """The reservation can be granted now."""
        return self.own_bytes <= 0 and self.any_bytes <= 0


class KvLedger:
    """Bytes in, yes or no out. Pure; owned by the engine thread.

    Args:
        budget_bytes: of cache memory for all engines together. Absolute, never a share of
            what happens to be free.

    Attributes:
        limit_bytes: at most the budget; lowered while the host is short of memory. New grants
            and cached blocks stay below it, what is held stays held.
    """

    def __init__(self, budget_bytes: int) -> None:
        self.budget_bytes = budget_bytes
        self.limit_bytes = budget_bytes
        self.accounts: dict[str, Account] = {}

    def open_account(self, engine: str, *, min_bytes: int, max_bytes: int) -> None:
        """Give an engine its guarantee and its cap.

        Raises:
            ValueError: the account exists, or as `resize`.
        """
        if engine in self.accounts:
            raise ValueError(f"engine {engine!r} already has an account")
        self.accounts[engine] = Account(0, 0)
        try:
            self.resize(engine, min_bytes=min_bytes, max_bytes=max_bytes)
        except ValueError:
            del self.accounts[engine]
            raise

    def resize(self, engine: str, *, min_bytes: int, max_bytes: int) -> None:
        """Change a guarantee and a cap.

        A cap below what the engine holds revokes nothing; it takes effect as work ends.

        Raises:
            ValueError: `min_bytes > max_bytes`, or the guarantee cannot be kept beside those of
                the other engines and what they hold firmly.
        """
        if not 0 <= min_bytes <= max_bytes:
            raise ValueError(f"engine {engine!r}: min {min_bytes} B above max {max_bytes} B")
        account = self.accounts[engine]
        left = self.budget_bytes - self._committed_bytes(besides=engine)
        if max(min_bytes, account.firm_bytes) > left:
            raise ValueError(
                f"engine {engine!r} needs {min_bytes} B of cache guaranteed, "
                f"{left} B of {self.budget_bytes} B are left"
            )
        account.min_bytes, account.max_bytes = min_bytes, max_bytes

    def raise_guarantee(self, engine: str, min_bytes: int) -> bool:
        """Guarantee an engine up to `min_bytes`: as much of it as can be kept now.

        Returns:
            Whether it has all of it.
        """
        account = self.accounts[engine]
        left = self.budget_bytes - self._committed_bytes(besides=engine)
        wanted = min(min_bytes, account.max_bytes)
        account.min_bytes = max(account.min_bytes, min(wanted, left))
        return account.min_bytes >= wanted

    def close_account(self, engine: str) -> None:
        """Forget an engine that holds nothing any more."""
        account = self.accounts.pop(engine)
        held = account.reserved_bytes + account.used_bytes + account.cached_bytes
        assert held == 0, f"{engine} closed with {held} B held"

    def could_ever_reserve(
        self, engine: str, num_bytes: int, *, limit_bytes: int | None = None
    ) -> bool:
        """Whether a reservation of this size is granted once everything else has ended.

        Args:
            engine: whose.
            num_bytes: to reserve.
            limit_bytes: for all engines together; the budget unless given.
        """
        account = self.accounts[engine]
        others = sum(
            max(other.min_bytes, other.pinned_bytes)
            for name, other in self.accounts.items()
            if name != engine
        )
        wanted = account.pinned_bytes + num_bytes
        limit_bytes = self.budget_bytes if limit_bytes is None else limit_bytes
        return wanted <= min(account.max_bytes, limit_bytes - others)

    def shortfall(self, engine: str, num_bytes: int, *, firm_bytes: int) -> Shortfall | None:
        """What stands between an engine and `num_bytes` more reserved.

        Args:
            engine: whose.
            num_bytes: to add to its reservations.
            firm_bytes: to add to its firm ones: 0 for revocable work. May exceed `num_bytes` when
                firm work comes to share blocks that revocable work holds already.

        Returns:
            What to preempt first; None when no preemption helps and the request must wait.
        """
        account = self.accounts[engine]
        own = account.reserved_bytes + num_bytes - account.max_bytes
        overall = self.reserved_bytes + num_bytes - self.limit_bytes
        if firm_bytes == 0:
            return None if own > 0 or overall > 0 else Shortfall(0, 0)
        firm = account.firm_bytes + firm_bytes
        others = self._committed_bytes(besides=engine)
        if firm > account.max_bytes or others + max(account.min_bytes, firm) > self.budget_bytes:
            return None
        if sum(a.firm_bytes for a in self.accounts.values()) + firm_bytes > self.limit_bytes:
            return None
        return Shortfall(own, overall)

    def reserve(self, engine: str, num_bytes: int, *, firm: bool) -> None:
        """Book a reservation that `shortfall` found possible."""
        account = self.accounts[engine]
        if firm:
            account.firm_bytes += num_bytes
        else:
            account.revocable_bytes += num_bytes

    def release(self, engine: str, num_bytes: int, *, firm: bool) -> None:
        """Take a reservation back."""
        self.reserve(engine, -num_bytes, firm=firm)

    def reclaim_bytes(self, engine: str, extra_bytes: int) -> tuple[int, int]:
        """Cached bytes that must go before an engine takes `extra_bytes`: its own, anybody's."""
        account = self.accounts[engine]
        own = account.used_bytes + account.cached_bytes + extra_bytes - account.max_bytes
        held = sum(a.used_bytes + a.cached_bytes for a in self.accounts.values())
        overall = held + extra_bytes - self.limit_bytes
        return min(max(own, 0), account.cached_bytes), max(overall, 0)

    @property
    def reserved_bytes(self) -> int:
        """Of all engines."""
        return sum(account.reserved_bytes for account in self.accounts.values())

    @property
    def used_bytes(self) -> int:
        """Of all engines."""
        return sum(account.used_bytes for account in self.accounts.values())

    @property
    def cached_bytes(self) -> int:
        """Of all engines."""
        return sum(account.cached_bytes for account in self.accounts.values())

    @property
    def pinned_bytes(self) -> int:
        """Of all engines."""
        return sum(account.pinned_bytes for account in self.accounts.values())

    def check(self) -> None:
        """Prove the rules of the module docstring.

        A cap or a limit lowered below what is held is the one lawful excess, so caps and
        `limit_bytes` are not part of it.
        """
        for engine, account in self.accounts.items():
            assert 0 <= account.pinned_bytes <= account.firm_bytes, f"{engine}: pinned"
            assert account.revocable_bytes >= 0, f"{engine}: revocable"
            assert 0 <= account.used_bytes <= account.reserved_bytes, f"{engine}: used"
            assert account.cached_bytes >= 0, f"{engine}: cached"
        assert self._committed_bytes() <= self.budget_bytes, "guarantees exceed the budget"
        assert self.reserved_bytes <= self.budget_bytes, "reservations exceed the budget"
        held = self.used_bytes + self.cached_bytes
        assert held <= self.budget_bytes, "blocks held exceed the budget"

    def _committed_bytes(self, *, besides: str = "") -> int:
        return sum(
            max(account.min_bytes, account.firm_bytes)
            for name, account in self.accounts.items()
            if name != besides
        )
