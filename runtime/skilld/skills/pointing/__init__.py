"""Spans: answers that point at the input instead of spelling it again.

A small model copies long identifiers badly and may invent a digit. So a skill can say which pieces
of its input may be values of an answer (codes, numbers, words). Behind each piece the prompt
gets a *mark*, one private-use character that is one token, and the model answers with marks:

    14:05⟦c1⟧ TT-101⟦w1⟧ 85.5⟦n1⟧ °C   ->   {"sensor":"⟦w1⟧","value":⟦n1⟧ ...}

What the caller gets is the text, or its value, behind the mark. Equal pieces share a mark, so
there is nothing to choose between two places that say the same. Marks are counted in the order of
the text, or with the rank of their values, which the model then compares instead of digits.
Phrases are two marks, from and through; with `x-phrase = "all"` they are the marks of all their
pieces, for names that differ in the middle. In running text (a translation) marks stand among words
of the model's own, which hold no digit; every marked piece of the input comes again, as often as it
is there.

Text is compared and given back in Unicode form NFKC, the form tokenizers read it in.
"""

from skilld.skills.pointing.marked_input import MarkedInput
from skilld.skills.pointing.marks import SpanError
from skilld.skills.pointing.pieces import Piece
from skilld.skills.pointing.rules import SpanRules

__all__ = ["MarkedInput", "Piece", "SpanError", "SpanRules"]
