"""`Neighbours`: the most similar of many texts, by character n-grams; and the baseline on it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from skilld.training.evaluation import Answerer
from skilld.training.example import Example, canonical_json
from skilld.training.ngrams import TEXT_SHIFT, gram_keys

_LENGTHS: Final = (2, 3, 5)
_HASH_MASK = np.uint64((1 << TEXT_SHIFT) - 1)


class Neighbours:
    """An index of texts: cosine of TF-IDF vectors of character 2-, 3- and 5-grams.

    Counts are damped, `1 + log(count)`, and weighted by `1 + log(n / texts that have it)`.

    Args:
        texts: not empty.
    """

    def __init__(self, texts: Sequence[str]) -> None:
        hashes, owners, counts = _grams(texts)
        self._num_texts = len(texts)
        self._known, ids, found_in = np.unique(hashes, return_inverse=True, return_counts=True)
        self._rarity = 1.0 + np.log(len(texts) / found_in)
        weights = counts * self._rarity[ids]
        norms = np.sqrt(np.bincount(owners, weights**2, minlength=len(texts)))
        weights /= np.maximum(norms, 1e-12)[owners]
        order = np.argsort(ids, kind="stable")
        self._owners = owners[order].astype(np.int32)
        self._weights = weights[order].astype(np.float32)
        self._starts = np.concatenate(([0], np.cumsum(found_in)))

    def nearest(self, text: str) -> tuple[int, float]:
        """Number of the most similar text, the first of several, and its similarity, 0 to 1."""
        hashes, _, counts = _grams([text])
        places = np.searchsorted(self._known, hashes)
        is_known = places < len(self._known)
        is_known[is_known] = self._known[places[is_known]] == hashes[is_known]
        rarity = np.full(len(hashes), 1.0 + np.log(self._num_texts))
        rarity[is_known] = self._rarity[places[is_known]]
        weights = counts * rarity
        norm = float(np.sqrt((weights**2).sum()))
        if not is_known.any():
            return 0, 0.0
        scores = np.zeros(self._num_texts, dtype=np.float32)
        for place, weight in zip(places[is_known], weights[is_known] / norm, strict=True):
            listed = slice(self._starts[place], self._starts[place + 1])
            # A text is listed once per n-gram, so plain indexing adds up right.
            scores[self._owners[listed]] += np.float32(weight) * self._weights[listed]
        best = int(scores.argmax())
        return best, float(min(scores[best], 1.0))


def nearest_neighbour_answerer(
    examples: Sequence[Example],
    *,
    copy_slot: Callable[[Any, Mapping[str, Any], Any], Any],
    on_similarity: Callable[[float], None] = lambda similarity: None,
) -> Answerer:
    """The answer of the most similar training example, with copied slots filled anew.

    Inputs are compared by their texts; what else is in them (the tools that may be called) would
    drown what is asked.

    Args:
        examples: to choose from.
        copy_slot: given (input of the neighbour, its answer, the new input), returns the answer
            for the new input; this is where a specialist carries identifiers over.
        on_similarity: called for each input with how similar the neighbour is.
    """
    neighbours = Neighbours([_asked(example.input) for example in examples])

    def answer(inputs: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any] | None]:
        answers: list[Mapping[str, Any] | None] = []
        for values in inputs:
            found, similarity = neighbours.nearest(_asked(values))
            on_similarity(similarity)
            neighbour = examples[found]
            answers.append(copy_slot(neighbour.input, neighbour.answer, values))
        return answers

    return answer


def _asked(values: Mapping[str, Any]) -> str:
    """The strings of an input, and its lists of strings; all of it when there are none."""
    texts: list[str] = []
    for value in values.values():
        if isinstance(value, str):
            texts.append(value)
        elif isinstance(value, list) and all(isinstance(item, str) for item in value):
            texts += value
    return "\n".join(texts) or canonical_json(values)


def _grams(
    texts: Sequence[str],
) -> tuple[NDArray[np.uint64], NDArray[np.int64], NDArray[np.float64]]:
    """Distinct n-grams of every text: hash, number of the text, damped count."""
    # N-grams of several lengths have hashes of their own: each length mixes once more.
    keys = np.concatenate([gram_keys(texts, length=length) for length in _LENGTHS])
    distinct, counts = np.unique(keys, return_counts=True)
    return (
        distinct & _HASH_MASK,
        (distinct >> np.uint64(TEXT_SHIFT)).astype(np.int64),
        1.0 + np.log(counts),
    )
