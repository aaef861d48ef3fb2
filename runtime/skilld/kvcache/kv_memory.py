"""`KvMemory`: the caches of all engines under one ledger, and who gives way to whom."""

from __future__ import annotations

import math

from skilld.kvcache.engine_cache import EngineCache
from skilld.kvcache.holding import CacheGeometry
from skilld.kvcache.ledger import KvLedger

# Of the budget; beyond it a skill's system prompt is cached like any other beginning.
MAX_PINNED_SHARE = 0.2


class KvMemory:
    """See the module docstring. Owned by the engine thread.

    Args:
        ledger: of the box.
    """

    def __init__(self, ledger: KvLedger) -> None:
        self.ledger = ledger
        self.caches: dict[str, EngineCache] = {}
        self._clock = 0.0

    def open(self, engine: str, geometry: CacheGeometry) -> EngineCache:
        """The cache of an engine whose ledger account is open."""
        cache = EngineCache(engine, geometry, self.ledger, self.reclaim)
        cache.clock = self._clock
        self.caches[engine] = cache
        return cache

    def close(self, engine: str) -> None:
        """Forget an engine whose sequences have ended; its pins and cached blocks go."""
        cache = self.caches[engine]
        cache.unpin_all()
        while cache.lowest_priority() is not None:
            cache.evict()
        del self.caches[engine]

    def may_pin(self, num_bytes: int) -> bool:
        """Whether pinned beginnings may grow by this much."""
        return self.ledger.pinned_bytes + num_bytes <= MAX_PINNED_SHARE * self.ledger.budget_bytes

    def reclaim(self, engine: str, num_bytes: int) -> None:
        """Evict cached blocks until `engine` may take `num_bytes`, or none are left.

        First its own, as far as its cap asks for it; then of engines above their minimum; then
        of any, its own last. Among those the block worth least per byte goes first.
        """
        own, overall = self.ledger.reclaim_bytes(engine, num_bytes)
        while own > 0:
            freed = self._evict(self.caches[engine])
            own -= freed
            overall -= freed
        while overall > 0:
            cache = self._cheapest(engine)
            if cache is None:
                return  # only under a lowered limit: what is held stays held
            overall -= self._evict(cache)

    def shrink_to_limit(self) -> None:
        """Evict cached blocks until everything is within the ledger's limit, or none are left."""
        for engine in self.caches:
            self.reclaim(engine, 0)

    def check(self) -> None:
        """Prove every account."""
        self.ledger.check()
        assert self.caches.keys() == self.ledger.accounts.keys(), "an account without a cache"
        for cache in self.caches.values():
            cache.check()

    def _cheapest(self, engine: str) -> EngineCache | None:
        best: tuple[bool, bool, float] = (True, True, math.inf)
        chosen = None
        for name, cache in self.caches.items():
            priority = cache.lowest_priority()
            if priority is None:
                continue
            is_within_min = self.ledger.accounts[name].above_min_bytes == 0
            rank = (is_within_min, is_within_min and name == engine, priority)
            if chosen is None or rank < best:
                best, chosen = rank, cache
        return chosen

    def _evict(self, cache: EngineCache) -> int:
        priority = cache.lowest_priority()
        assert priority is not None, f"{cache.engine} has nothing to evict"
        self._clock = max(self._clock, priority)
        for other in self.caches.values():
            other.clock = self._clock
        return cache.evict()
