"""`NearCopies`: which texts are nearly one of some others, exactly and fast.

Two texts are near copies when their sets of character 5-grams have a Jaccard similarity (shared
over all) of at least 0.8. No approximation is needed to find them. A near copy lacks at most a
fifth of either set, so among its rarest half it must share nearly a third of the set (prefix
filtering: Bayardo, Ma and Srikant, "Scaling up all pairs similarity search", 2007; with more than
one shared member: Wang, Li and Feng, "Can we beat the prefix filtering?", 2012). Most texts are
cleared sooner: more than a fifth of their n-grams is in none of the others.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from skilld.training.ngrams import TEXT_SHIFT, distinct_gram_keys

THRESHOLD = 0.8
GRAM_LENGTH = 5
_SHARED = 0.3  # of a set, within the part of it that is looked up
_CHUNK_TEXTS = 4096
_HASH_MASK = np.uint64((1 << TEXT_SHIFT) - 1)


class NearCopies:
    """An index of the texts that others must keep away from.

    Args:
        texts: normalised; those shorter than an n-gram are near to nothing.
    """

    def __init__(self, texts: Sequence[str]) -> None:
        keys = distinct_gram_keys(texts, length=GRAM_LENGTH)
        hashes, owners = keys & _HASH_MASK, (keys >> np.uint64(TEXT_SHIFT)).astype(np.int64)
        known, ids, counts = np.unique(hashes, return_inverse=True, return_counts=True)
        # Rank: the rarest n-gram is 0, so a sorted set begins with its rarest members.
        rank = np.empty(len(known), dtype=np.int64)
        rank[np.argsort(counts, kind="stable")] = np.arange(len(known))
        self._known, self._rank = known, rank
        ranks = rank[ids]
        order = np.lexsort((ranks, owners))
        self._ranks = ranks[order]
        self._sizes = np.bincount(owners, minlength=len(texts))
        self._starts = np.concatenate(([0], np.cumsum(self._sizes)))
        place = np.arange(len(order)) - self._starts[owners[order]]
        is_prefix = place < _looked_up(self._sizes)[owners[order]]
        by_rank = np.argsort(self._ranks[is_prefix], kind="stable")
        self._posted = owners[order][is_prefix][by_rank]
        listed = np.bincount(self._ranks[is_prefix], minlength=len(known))
        self._postings = np.concatenate(([0], np.cumsum(listed)))
        self._shared = np.zeros(len(known), dtype=bool)

    def find(self, texts: Sequence[str]) -> list[int | None]:
        """For each text, one of the indexed texts it is a near copy of (its number), or None."""
        found: list[int | None] = []
        for start in range(0, len(texts), _CHUNK_TEXTS):
            found += self._find(texts[start : start + _CHUNK_TEXTS])
        return found

    def _find(self, texts: Sequence[str]) -> list[int | None]:
        found: list[int | None] = [None] * len(texts)
        keys = distinct_gram_keys(texts, length=GRAM_LENGTH)
        if not len(keys) or not len(self._known):
            return found
        hashes, owners = keys & _HASH_MASK, (keys >> np.uint64(TEXT_SHIFT)).astype(np.int64)
        places = np.minimum(np.searchsorted(self._known, hashes), len(self._known) - 1)
        is_known = self._known[places] == hashes
        sizes = np.bincount(owners, minlength=len(texts))
        # What no indexed text has is rarest of all and comes first in the prefix.
        num_known = np.bincount(owners[is_known], minlength=len(texts))
        num_unknown = sizes - num_known
        num_left = _looked_up(sizes) - num_unknown
        may_be_near = num_known >= _least_shared(sizes)
        starts = np.concatenate(([0], np.cumsum(num_known)))
        ranks, known_owners = self._rank[places[is_known]], owners[is_known]
        ranks = ranks[np.lexsort((ranks, known_owners))]
        for i in np.flatnonzero(may_be_near & (num_known > 0)):
            members = ranks[starts[i] : starts[i + 1]]
            found[i] = self._nearest(members, members[: num_left[i]], size=int(sizes[i]))
        return found

    def _nearest(
        self, members: NDArray[np.int64], prefix: NDArray[np.int64], *, size: int
    ) -> int | None:
        lists = [self._posted[self._postings[r] : self._postings[r + 1]] for r in prefix]
        candidates, counts = np.unique(np.concatenate(lists), return_counts=True)
        # The other set may be smaller by a fifth, and then so is what it must share here.
        candidates = candidates[counts >= math.floor(THRESHOLD * _SHARED * size)]
        other = self._sizes[candidates]
        fits = (other >= THRESHOLD * size) & (size >= THRESHOLD * other)
        candidates = candidates[fits]
        if not len(candidates):
            return None
        self._shared[members] = True
        for j in candidates:
            mine = self._ranks[self._starts[j] : self._starts[j + 1]]
            shared = int(self._shared[mine].sum())
            if shared >= THRESHOLD * (size + len(mine) - shared):
                break
        else:
            j = None
        self._shared[members] = False
        return None if j is None else int(j)


def similarity(one: str, other: str) -> float:
    """Jaccard similarity of the sets of 5-grams; 0 when either has none."""
    sets = [
        {text[i : i + GRAM_LENGTH] for i in range(len(text) - GRAM_LENGTH + 1)}
        for text in (one, other)
    ]
    if not all(sets):
        return 0.0
    return len(sets[0] & sets[1]) / len(sets[0] | sets[1])


def _least_shared(sizes: NDArray[np.int64]) -> NDArray[np.int64]:
    """How many members a near copy shares at least."""
    least: NDArray[np.int64] = np.ceil(THRESHOLD * sizes - 1e-9).astype(np.int64)
    return least


def _looked_up(sizes: NDArray[np.int64]) -> NDArray[np.int64]:
    """How many of its rarest members a set is looked up by."""
    extra = np.maximum(np.ceil(_SHARED * sizes).astype(np.int64), 1)
    count: NDArray[np.int64] = np.minimum(sizes - _least_shared(sizes) + extra, sizes)
    return count
