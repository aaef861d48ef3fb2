"""`KvLedger`: the one account of cache bytes on the box.

A request reserves everything it may ever need before it starts, so it can never run out midway.
The rule that makes this safe for several engines is

    sum over engines of max(min, reserved) <= budget,    reserved <= max per engine

which keeps every engine's guaranteed minimum available to it at any moment.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class Account:
    """One engine's part of the ledger, in bytes.

    Attributes:
        min_bytes: guaranteed; never lent to another engine.
        max_bytes: cap.
        reserved_bytes: promised to admitted requests.
        used_bytes: the part of `reserved_bytes` for which blocks were taken.
    """

    min_bytes: int
    max_bytes: int
    reserved_bytes: int = 0
    used_bytes: int = 0


class KvLedger:
    """Bytes in, yes or no out. Pure; owned by the engine thread.

    Args:
        budget_bytes: of cache memory for all engines together. Absolute, never a share of
            what happens to be free.
    """

    def __init__(self, budget_bytes: int) -> None:
        self.budget_bytes = budget_bytes
        self.accounts: dict[str, Account] = {}

    def open_account(self, engine: str, *, min_bytes: int, max_bytes: int) -> None:
        """Give an engine its guarantee and its cap.

        Raises:
            ValueError: the account exists, `min_bytes > max_bytes`, or the guarantees of all
                engines no longer fit the budget.
        """
        if engine in self.accounts:
            raise ValueError(f"engine {engine!r} already has an account")
        if not 0 <= min_bytes <= max_bytes:
            raise ValueError(f"engine {engine!r}: min {min_bytes} B above max {max_bytes} B")
        if self._committed_bytes() + min_bytes > self.budget_bytes:
            raise ValueError(
                f"engine {engine!r} needs {min_bytes} B of cache guaranteed, "
                f"{self.budget_bytes - self._committed_bytes()} B of {self.budget_bytes} B are left"
            )
        self.accounts[engine] = Account(min_bytes=min_bytes, max_bytes=max_bytes)

    def close_account(self, engine: str) -> None:
        """Forget an engine that holds nothing any more."""
        account = self.accounts.pop(engine)
        assert account.reserved_bytes == 0, f"{engine} closed with {account.reserved_bytes} B held"

    def could_ever_reserve(self, engine: str, num_bytes: int) -> bool:
        """Whether the reservation would be granted on an otherwise idle box."""
        account = self.accounts[engine]
        others = sum(a.min_bytes for name, a in self.accounts.items() if name != engine)
        return num_bytes <= min(account.max_bytes, self.budget_bytes - others)

    def reserve(self, engine: str, num_bytes: int) -> bool:
        """Promise bytes to a request; False when it has to wait."""
        account = self.accounts[engine]
        after = account.reserved_bytes + num_bytes
        growth = max(account.min_bytes, after) - max(account.min_bytes, account.reserved_bytes)
        if after > account.max_bytes or self._committed_bytes() + growth > self.budget_bytes:
            return False
        account.reserved_bytes = after
        return True

    def take(self, engine: str, num_bytes: int) -> None:
        """Turn promised bytes into used ones; cannot fail inside a reservation."""
        account = self.accounts[engine]
        account.used_bytes += num_bytes
        assert account.used_bytes <= account.reserved_bytes, f"{engine} took more than reserved"

    def release(self, engine: str, *, reserved_bytes: int, used_bytes: int) -> None:
        """Return a request's whole reservation, and the used part of it."""
        account = self.accounts[engine]
        account.reserved_bytes -= reserved_bytes
        account.used_bytes -= used_bytes

    @property
    def reserved_bytes(self) -> int:
        """Promised to requests of all engines."""
        return sum(account.reserved_bytes for account in self.accounts.values())

    @property
    def used_bytes(self) -> int:
        """Held in blocks by requests of all engines."""
        return sum(account.used_bytes for account in self.accounts.values())

    def check(self) -> None:
        """Prove the account; AssertionError names what is broken."""
        for engine, account in self.accounts.items():
            assert 0 <= account.used_bytes <= account.reserved_bytes, f"{engine}: {account}"
            assert account.reserved_bytes <= account.max_bytes, f"{engine}: {account}"
        assert self._committed_bytes() <= self.budget_bytes, "guarantees exceed the budget"

    def _committed_bytes(self) -> int:
        return sum(max(a.min_bytes, a.reserved_bytes) for a in self.accounts.values())
