"""`Workload`: what every contender of the engine bench does, and what its figures are called."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass

# From the name of a figure to its value: "decode_8" in tokens per second of all sequences
# together, "prefill_512" in tokens per second, "start" in seconds from starting the process to the
# end of a first step of `WARM_UP_TOKENS`, "resident" in bytes.
Figures = dict[str, float]

WARM_UP_TOKENS = 16


@dataclass(frozen=True, slots=True)
class Workload:
    """See the module docstring.

    Attributes:
        batches: sequences decoded together.
        context: tokens of each sequence before decoding starts.
        generated: tokens decoded per sequence.
        prefills: lengths of single prompts.
        num_threads: CPU threads; the peer may choose fewer.
    """

    batches: tuple[int, ...]
    context: int
    generated: int
    prefills: tuple[int, ...]
    num_threads: int

    @property
    def max_sequences(self) -> int:
        """Sequences in memory at once."""
        return max(self.batches)

    @property
    def max_sequence_tokens(self) -> int:
        """Tokens of the longest sequence."""
        return max(self.context + self.generated, *self.prefills)

    @property
    def max_prefill_tokens(self) -> int:
        """Most prompt tokens of one step: all prompts of the largest batch."""
        return max(self.max_sequences * self.context, *self.prefills)

    def to_json(self) -> str:
        """For the command line of a contender."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Workload:
        """What `to_json` wrote."""
        values = json.loads(text)
        for name in ("batches", "prefills"):
            values[name] = tuple(values[name])
        return cls(**values)
