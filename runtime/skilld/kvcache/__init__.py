"""Cache memory: how much (ledger), which blocks (pool, tree), for whom (cache), where (arena)."""

from skilld.kvcache.arena import Arena, CacheTensor
from skilld.kvcache.engine_cache import EngineCache
from skilld.kvcache.holding import CacheGeometry, Holding, Quote
from skilld.kvcache.kv_memory import KvMemory
from skilld.kvcache.ledger import Account, KvLedger, Shortfall

__all__ = [
    "Account",
    "Arena",
    "CacheGeometry",
    "CacheTensor",
    "EngineCache",
    "Holding",
    "KvLedger",
    "KvMemory",
    "Quote",
    "Shortfall",
]
