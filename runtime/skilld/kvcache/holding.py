"""`Holding`: what one sequence holds of its engine's cache, and what it would cost to have it."""

from __future__ import annotations

from dataclasses import dataclass, field

from skilld.kvcache.prefix_tree import Match, Node


@dataclass(frozen=True, slots=True)
class CacheGeometry:
    """Blocks of one engine.

    Attributes:
        block_tokens: tokens per KV block.
        block_bytes: bytes of one KV block over all cache tensors.
        num_blocks: KV blocks of address space.
        state_block_bytes: bytes of one recurrent-state block; 0 for pure attention models.
        state_blocks_per_sequence: state blocks each sequence holds from start to end.
        num_state_blocks: state blocks of address space.
    """

    block_tokens: int
    block_bytes: int
    num_blocks: int
    state_block_bytes: int = 0
    state_blocks_per_sequence: int = 0
    num_state_blocks: int = 0

    def blocks_for(self, num_tokens: int) -> int:
        """KV blocks that hold this many tokens."""
        return -(-num_tokens // self.block_tokens)

    def sequence_bytes(self, num_tokens: int) -> int:
        """Bytes one sequence of this many tokens holds, nothing shared."""
        return (
            self.blocks_for(num_tokens) * self.block_bytes
            + self.state_blocks_per_sequence * self.state_block_bytes
        )


@dataclass(frozen=True, slots=True)
class Quote:
    """What a sequence would cost now.

    Attributes:
        match: the known beginning it would share.
        num_fresh: blocks it would take beyond those shared.
        num_bytes: to add to the engine's reservations.
        firm_bytes: to add to its firm ones.
    """

    match: Match
    num_fresh: int
    num_bytes: int
    firm_bytes: int


@dataclass(slots=True, eq=False)
class Holding:
    """What one sequence holds.

    Attributes:
        firm: never revoked.
        block_ids: KV blocks in sequence order, shared ones first.
        state_block_ids: recurrent-state blocks.
        num_credits: blocks promised and not yet taken.
        num_known: leading blocks whose tokens were made known, or found so.
        node: the node of the last known block; the root before the first.
    """

    firm: bool
    block_ids: list[int] = field(default_factory=list)
    state_block_ids: list[int] = field(default_factory=list)
    num_credits: int = 0
    num_known: int = 0
    node: Node | None = None
