"""`PrefixTree`: which blocks of one engine hold which tokens, so that equal beginnings share them.

A node is one block; its key is its parent and its tokens, so a path from the root spells a
sequence from its start, compared token by token and never by digest alone. Blocks in the tree are
never written again. Ids only; no memory, no bytes.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

# Beyond these many siblings the copy of a partial tail is not looked for: it saves part of a block.
_MAX_SIBLINGS_SEEN = 8


@dataclass(slots=True, eq=False)
class Node:
    """One block of a known sequence.

    Attributes:
        tokens: in the block; fewer than a block holds only in a leaf that was pinned.
        block_id: where they are.
        parent: the node before; None for the root.
        children: by their tokens.
        num_uses: how many requests came to share it.
        priority: of keeping it while nobody refers to it; meaningful when cached.
        entry: number of its last entry in the eviction queue; 0 while somebody refers to it.
    """

    tokens: tuple[int, ...]
    block_id: int
    parent: Node | None
    children: dict[tuple[int, ...], Node] = field(default_factory=dict)
    num_uses: int = 0
    priority: float = 0.0
    entry: int = 0


@dataclass(frozen=True, slots=True)
class Match:
    """The longest known beginning of a sequence.

    Attributes:
        path: nodes of whole blocks, first to last.
        tail: a block whose first `tail_tokens` tokens come next, worth copying; None without one.
        tail_tokens: how many.
    """

    path: Sequence[Node]
    tail: Node | None = None
    tail_tokens: int = 0


class PrefixTree:
    """See the module docstring. Owned by the engine thread.

    Args:
        block_tokens: tokens per block.
    """

    def __init__(self, block_tokens: int) -> None:
        self._block_tokens = block_tokens
        self.root = Node((), -1, None)
        self._by_block: dict[int, Node] = {}
        # Entries stay behind when a node is used again; the number in the node tells the valid one.
        self._queue: list[tuple[float, int, Node]] = []
        self._num_entries = 0

    def __len__(self) -> int:
        return len(self._by_block)

    def __iter__(self) -> Iterator[Node]:
        return iter(self._by_block.values())

    def match(self, tokens: Sequence[int]) -> Match:
        """Find the longest known beginning, at least one token short of the whole."""
        path: list[Node] = []
        node = self.root
        size = self._block_tokens
        start = 0
        while start + size < len(tokens):
            child = node.children.get(tuple(tokens[start : start + size]))
            if child is None:
                break
            path.append(child)
            node = child
            start += size
        rest = tokens[start : min(start + size, len(tokens) - 1)]
        best, best_count = None, 0
        for seen, sibling in enumerate(node.children.values()):
            if seen == _MAX_SIBLINGS_SEEN:
                break
            count = _common(sibling.tokens, rest)
            if count > best_count:
                best, best_count = sibling, count
        return Match(path, best, best_count)

    def add(self, parent: Node, tokens: tuple[int, ...], block_id: int) -> Node | None:
        """Make a written block known; None when those tokens are known there already."""
        if tokens in parent.children:
            return None
        node = Node(tokens, block_id, parent)
        parent.children[tokens] = node
        self._by_block[block_id] = node
        return node

    def find(self, block_id: int) -> Node | None:
        """The node of a block, if it is in the tree."""
        return self._by_block.get(block_id)

    def offer(self, node: Node, priority: float) -> None:
        """Nobody refers to this node any more: it may be evicted, lowest priority first."""
        node.priority = priority
        self._push(node)

    def keep(self, node: Node) -> None:
        """Somebody refers to this node again."""
        node.entry = 0

    def lowest(self) -> Node | None:
        """The node to evict next, a leaf; None when none may go."""
        queue = self._queue
        while queue:
            _, entry, node = queue[0]
            if node.entry != entry:
                heapq.heappop(queue)
            elif node.children:
                heapq.heappop(queue)  # `remove` puts it back with the last of its children
            else:
                return node
        return None

    def remove(self, node: Node) -> None:
        """Forget a leaf."""
        assert not node.children, "only a leaf can be removed"
        assert node.parent is not None, "the root stays"
        node.entry = 0
        parent = node.parent
        del parent.children[node.tokens]
        del self._by_block[node.block_id]
        if parent.entry and not parent.children:
            self._push(parent)

    def check(self) -> None:
        """Prove that every known block hangs where its tokens say."""
        for block_id, node in self._by_block.items():
            assert node.block_id == block_id, "a node is filed under another block"
            assert node.parent is not None, "a block is the root"
            assert node.parent.children.get(node.tokens) is node, "a node its parent does not know"
            assert len(node.tokens) == self._block_tokens or not node.children, "a short inner node"
            is_inner = node.parent is not self.root
            assert not is_inner or node.parent.block_id in self._by_block, "an orphan"

    def _push(self, node: Node) -> None:
        self._num_entries += 1
        node.entry = self._num_entries
        heapq.heappush(self._queue, (node.priority, node.entry, node))


def _common(left: Sequence[int], right: Sequence[int]) -> int:
    """Length of the common beginning."""
    count = 0
    for one, other in zip(left, right, strict=False):
        if one != other:
            break
        count += 1
    return count
