"""`EngineCache`: what the sequences of one engine hold: blocks, shared beginnings, bytes.

The life of a holding: `quote` says what it would cost, `admit` books it whole and shares what is
known of its beginning, `extend` takes blocks as they are needed and cannot fail, `commit` makes
full blocks known to others, `release` ends it and leaves its known blocks cached, `pin` keeps it
for good.
"""

from __future__ import annotations

import collections
from collections.abc import Callable, Sequence

from skilld.kvcache.block_pool import BlockPool
from skilld.kvcache.holding import CacheGeometry, Holding, Quote
from skilld.kvcache.ledger import KvLedger
from skilld.kvcache.prefix_tree import Match, Node, PrefixTree

# Below this many tokens a copy of a partial block costs more than it saves.
_MIN_TAIL_TOKENS = 4
_MIB = 1 << 20


class EngineCache:
    """See the module docstring. Owned by the engine thread.

    Args:
        engine: name of the engine; its account in the ledger is open.
        geometry: of its blocks.
        ledger: of the box.
        reclaim: called as `reclaim(engine, num_bytes)` before bytes are taken, so that cached
            blocks of anybody make room.

    Attributes:
        blocks: of KV.
        states: of recurrent state.
        recompute_ms: device time to compute one block again; what a cached block is worth.
        clock: rises with the priority of what was evicted last, so that blocks age.
        copies: (source, target) blocks to copy, in order, before the next step.
    """

    def __init__(
        self,
        engine: str,
        geometry: CacheGeometry,
        ledger: KvLedger,
        reclaim: Callable[[str, int], None],
    ) -> None:
        self.engine = engine
        self.geometry = geometry
        self.blocks = BlockPool(geometry.num_blocks)
        self.states = BlockPool(geometry.num_state_blocks)
        self.recompute_ms = 1.0
        self.clock = 0.0
        self.copies: list[tuple[int, int]] = []
        self._ledger = ledger
        self._account = ledger.accounts[engine]
        self._reclaim = reclaim
        self._tree = PrefixTree(geometry.block_tokens)
        self._holdings: set[Holding] = set()
        self._pins: list[Holding] = []
        self._pinned: set[int] = set()  # their blocks
        # Recurrent state cannot be shared block by block: such a sequence starts from its start.
        self._shares = geometry.state_blocks_per_sequence == 0

    def quote(self, tokens: Sequence[int], max_tokens: int, *, firm: bool) -> Quote:
        """What a sequence would cost.

        Args:
            tokens: known so far.
            max_tokens: most it can ever hold.
            firm: whether it may never be revoked.
        """
        match = self._tree.match(tokens) if self._shares else Match(())
        num_fresh = self.geometry.blocks_for(max_tokens) - len(match.path)
        refs, firm_refs = self.blocks.refs, self.blocks.firm_refs
        num_cached = num_upgraded = 0
        for node in match.path:
            if refs[node.block_id] == 0:
                num_cached += 1
            elif firm_refs[node.block_id] == 0:
                num_upgraded += 1
        block_bytes = self.geometry.block_bytes
        num_bytes = (num_fresh + num_cached) * block_bytes + self._state_bytes
        return Quote(
            match, num_fresh, num_bytes, num_bytes + num_upgraded * block_bytes if firm else 0
        )

    def least_bytes(self, tokens: Sequence[int], max_tokens: int) -> int:
        """What the sequence costs when only pinned beginnings are left to share."""
        num_blocks = self.geometry.blocks_for(max_tokens)
        if self._pinned and self._shares:
            path = self._tree.match(tokens).path
            num_blocks -= sum(node.block_id in self._pinned for node in path)
        return num_blocks * self.geometry.block_bytes + self._state_bytes

    def admit(self, quote: Quote, *, firm: bool) -> tuple[Holding, int]:
        """Book what was quoted; the ledger found it possible and nothing happened since.

        Returns:
            The holding, and how many leading tokens are computed already.
        """
        geometry = self.geometry
        holding = Holding(firm, num_credits=quote.num_fresh)
        for node in quote.match.path:
            self._share(node, firm=firm)
            holding.block_ids.append(node.block_id)
        holding.num_known = len(quote.match.path)
        holding.node = quote.match.path[-1] if quote.match.path else self._tree.root
        self._holdings.add(holding)
        self._ledger.reserve(
            self.engine, quote.num_fresh * geometry.block_bytes + self._state_bytes, firm=firm
        )
        if self._state_bytes:
            self._reclaim(self.engine, self._state_bytes)
            holding.state_block_ids = self.states.take(
                geometry.state_blocks_per_sequence, firm=firm
            )
            self._account.used_bytes += self._state_bytes
        num_computed = holding.num_known * geometry.block_tokens
        tail = quote.match.tail
        if tail is not None and quote.match.tail_tokens >= _MIN_TAIL_TOKENS:
            source = tail.block_id
            self.extend(holding, num_computed + 1)
            # Making room may have evicted the source; its content is gone only if the very block
            # just taken is the source.
            if holding.block_ids[-1] != source:
                self.copies.append((source, holding.block_ids[-1]))
                num_computed += quote.match.tail_tokens
                tail.num_uses += 1
        return holding, num_computed

    def extend(self, holding: Holding, num_tokens: int) -> None:
        """Take the blocks that `num_tokens` tokens need; inside a reservation this cannot fail."""
        missing = self.geometry.blocks_for(num_tokens) - len(holding.block_ids)
        if missing <= 0:
            return
        assert missing <= holding.num_credits, f"{self.engine} takes more than it reserved"
        num_bytes = missing * self.geometry.block_bytes
        self._reclaim(self.engine, num_bytes)
        holding.block_ids += self.blocks.take(missing, firm=holding.firm)
        holding.num_credits -= missing
        self._account.used_bytes += num_bytes

    def commit(self, holding: Holding, tokens: Sequence[int], num_computed: int) -> None:
        """Make full blocks known, so that others may share them.

        Args:
            holding: of the sequence.
            tokens: of the sequence from its start.
            num_computed: how many of them are in the cache for good.
        """
        size = self.geometry.block_tokens
        while (end := (holding.num_known + 1) * size) <= num_computed:
            node = holding.node
            if node is None or not self._shares:
                return
            key = tuple(tokens[end - size : end])
            added = self._tree.add(node, key, holding.block_ids[holding.num_known])
            holding.node = added or self._adopt(holding, node.children[key])
            holding.num_known += 1

    def release(self, holding: Holding) -> None:
        """End a holding. Known blocks stay cached, the others are free at once."""
        self._holdings.remove(holding)
        firm = holding.firm
        block_bytes = self.geometry.block_bytes
        self._ledger.release(self.engine, holding.num_credits * block_bytes, firm=firm)
        holding.num_credits = 0
        for block_id in reversed(holding.block_ids):  # so that of equals the last goes first
            self._drop(block_id, firm=firm)
        for state_id in holding.state_block_ids:
            self.states.drop(state_id, firm=firm)
            self.states.free(state_id)
        self._ledger.release(self.engine, self._held_state_bytes(holding), firm=firm)
        self._account.used_bytes -= self._held_state_bytes(holding)

    def pin(self, holding: Holding, tokens: Sequence[int]) -> None:
        """Keep a finished firm holding for good: everybody may share its blocks.

        Args:
            holding: with all of `tokens` computed.
            tokens: of the sequence; a partial last block is known too, to be copied.
        """
        assert holding.firm, "a pinned beginning is firm"
        size = self.geometry.block_tokens
        self.commit(holding, tokens, len(tokens))
        self._ledger.release(
            self.engine, holding.num_credits * self.geometry.block_bytes, firm=True
        )
        holding.num_credits = 0
        tail = tuple(tokens[len(tokens) // size * size :])
        if tail and holding.node is not None:
            self._tree.add(holding.node, tail, holding.block_ids[-1])
        self._pins.append(holding)
        self._pinned.update(holding.block_ids)
        self._account.pinned_bytes = len(self._pinned) * self.geometry.block_bytes

    def unpin_all(self) -> None:
        """Let pinned beginnings go; they stay cached until room is needed."""
        pins, self._pins = self._pins, []
        self._pinned.clear()
        self._account.pinned_bytes = 0
        for holding in pins:
            self.release(holding)

    def lowest_priority(self) -> float | None:
        """Of the cached block to evict next; None when there is none."""
        node = self._tree.lowest()
        return None if node is None else node.priority

    def evict(self) -> int:
        """Give up the cached block of the lowest priority; returns its bytes."""
        node = self._tree.lowest()
        assert node is not None, "there is nothing to evict"
        self._tree.remove(node)
        self.blocks.free(node.block_id)
        self._account.cached_bytes -= self.geometry.block_bytes
        return self.geometry.block_bytes

    def check(self) -> None:
        """Prove that references, blocks and bytes tell the same story."""
        self.blocks.check()
        self.states.check()
        self._tree.check()
        block_bytes, name = self.geometry.block_bytes, self.engine
        refs: collections.Counter[int] = collections.Counter()
        firm_refs: collections.Counter[int] = collections.Counter()
        firm_bytes = revocable_bytes = state_bytes = 0
        for holding in self._holdings:
            assert len(set(holding.block_ids)) == len(holding.block_ids), f"{name}: a block twice"
            refs.update(holding.block_ids)
            held = holding.num_credits * block_bytes + self._held_state_bytes(holding)
            state_bytes += self._held_state_bytes(holding)
            if holding.firm:
                firm_refs.update(holding.block_ids)
                firm_bytes += held
            else:
                revocable_bytes += held
        for block_id, (total, firm) in enumerate(
            zip(self.blocks.refs, self.blocks.firm_refs, strict=True)
        ):
            assert total == refs[block_id], f"{name}: block {block_id}: {total} references"
            assert firm == firm_refs[block_id], f"{name}: block {block_id}: {firm} firm ones"
            # A block that can still be written belongs to one sequence and is not known.
            assert total < 2 or self._tree.find(block_id), f"{name}: block {block_id} is shared"
        firm_bytes += len(firm_refs) * block_bytes
        revocable_bytes += (len(refs) - len(firm_refs)) * block_bytes
        account = self._account
        assert account.firm_bytes == firm_bytes, f"{name}: firm bytes"
        assert account.revocable_bytes == revocable_bytes, f"{name}: revocable bytes"
        assert account.used_bytes == len(refs) * block_bytes + state_bytes, f"{name}: used bytes"
        assert account.cached_bytes == self.blocks.num_cached * block_bytes, f"{name}: cached bytes"
        assert account.pinned_bytes == len(self._pinned) * block_bytes, f"{name}: pinned bytes"
        for node in self._tree:
            cached = self.blocks.refs[node.block_id] == 0
            assert cached == (node.entry > 0), f"{name}: block {node.block_id} in the queue"
            # Else a cached block could not be evicted: one that is referred to hangs from it.
            assert cached or node.parent is None or node.parent.entry == 0, (
                f"{name}: block {node.block_id} is referred to, the one before it is not"
            )

    @property
    def is_dirty(self) -> bool:
        """Whether blocks were taken or freed that memory does not know of yet."""
        return self.blocks.is_dirty or self.states.is_dirty

    @property
    def _state_bytes(self) -> int:
        return self.geometry.state_blocks_per_sequence * self.geometry.state_block_bytes

    def _held_state_bytes(self, holding: Holding) -> int:
        return len(holding.state_block_ids) * self.geometry.state_block_bytes

    def _share(self, node: Node, *, firm: bool) -> None:
        block_id, block_bytes = node.block_id, self.geometry.block_bytes
        if self.blocks.refs[block_id] == 0:
            self._tree.keep(node)
            self._account.cached_bytes -= block_bytes
            self._account.used_bytes += block_bytes
            self._ledger.reserve(self.engine, block_bytes, firm=firm)
        elif firm and self.blocks.firm_refs[block_id] == 0:
            self._ledger.release(self.engine, block_bytes, firm=False)
            self._ledger.reserve(self.engine, block_bytes, firm=True)
        self.blocks.refer(block_id, firm=firm)
        node.num_uses += 1

    def _adopt(self, holding: Holding, node: Node) -> Node:
        """Share a block that somebody else made known first, in place of an equal one.

        So everybody who holds a block holds all that come before it, and a cached block has
        only cached ones behind it: it can always be evicted, those first.
        """
        own = holding.block_ids[holding.num_known]
        # First out, then in: in between there is one block less, never one too many.
        self._drop(own, firm=holding.firm)
        self._share(node, firm=holding.firm)
        holding.block_ids[holding.num_known] = node.block_id
        return node

    def _drop(self, block_id: int, *, firm: bool) -> None:
        was_firm = self.blocks.firm_refs[block_id] > 0
        self.blocks.drop(block_id, firm=firm)
        block_bytes = self.geometry.block_bytes
        if self.blocks.refs[block_id] > 0:
            if was_firm and self.blocks.firm_refs[block_id] == 0:
                self._ledger.release(self.engine, block_bytes, firm=True)
                self._ledger.reserve(self.engine, block_bytes, firm=False)
            return
        self._ledger.release(self.engine, block_bytes, firm=was_firm)
        self._account.used_bytes -= block_bytes
        node = self._tree.find(block_id)
        if node is None:
            self.blocks.free(block_id)
            return
        self.blocks.cache(block_id)
        self._account.cached_bytes += block_bytes
        # Greedy-Dual-Size-Frequency (Cherkasova 1998): what it costs to have again, times how
        # often it was wanted, per byte it occupies, on a clock that rises with every eviction.
        worth = (1 + node.num_uses) * self.recompute_ms * _MIB / block_bytes
        self._tree.offer(node, self.clock + worth)
