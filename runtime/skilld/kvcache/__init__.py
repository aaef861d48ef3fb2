"""Cache memory: who may use how much (ledger), which blocks (pool), where they lie (arena)."""

from skilld.kvcache.arena import Arena, CacheTensor
from skilld.kvcache.block_pool import BlockPool
from skilld.kvcache.ledger import Account, KvLedger

__all__ = ["Account", "Arena", "BlockPool", "CacheTensor", "KvLedger"]
