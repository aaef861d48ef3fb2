"""`LocalRunner`: an engine folder answering its own skills in this process, without a daemon.

For golden cases and evaluation: a fixed batch runs to its end before the next one starts.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from skilld.core.batch import Batch, Row
from skilld.core.errors import InvalidRequestError
from skilld.core.manifest import read_manifest
from skilld.engine import Mode, open_engine
from skilld.skills import Catalog, Decoding, PreparedCall, RegisteredSkill
from skilld.skills.drafting import MAX_DRAFT


@dataclass(slots=True)
class Generation:
    """One generated answer.

    Attributes:
        call: the input as it was prepared.
        decoding: finish reason, confidence and counts.
        token_ids: generated tokens, forced ones included.
        num_steps: engine steps from prompt to end.
        elapsed_ms: of the whole batch it ran in.
    """

    call: PreparedCall
    decoding: Decoding
    token_ids: list[int] = field(default_factory=list)
    num_steps: int = 0
    elapsed_ms: float = 0.0


class LocalRunner:
    """See the module docstring.

    Args:
        engine_dir: an engine folder.
        mode: fast or parity.
        num_threads: CPU threads of a step.
        max_batch: sequences computed together.

    Raises:
        ArtefactError: the folder is damaged or a skill in it is wrong.
    """

    def __init__(
        self, engine_dir: Path, *, mode: Mode = Mode.FAST, num_threads: int, max_batch: int = 8
    ) -> None:
        self.manifest = read_manifest(engine_dir)
        self.catalog = Catalog()
        self._max_batch = max_batch
        self._engine = open_engine(engine_dir, self.manifest, num_threads=num_threads, mode=mode)
        self.catalog.register_engine(engine_dir, self.manifest)
        self._blocks_per_sequence = -(-self.manifest.context_limit // self._engine.block_tokens)
        num_blocks = {"kv": max_batch * self._blocks_per_sequence, "state": max_batch}
        # np.zeros leaves its pages uncommitted until they are written.
        self._engine.bind(
            {
                spec.name: np.zeros((num_blocks[spec.kind], *spec.block_shape), spec.dtype)
                for spec in self._engine.cache_specs
            }
        )
        self._has_state = any(spec.kind == "state" for spec in self._engine.cache_specs)

    def close(self) -> None:
        """Release the engine."""
        self._engine.close()

    def __enter__(self) -> LocalRunner:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def generate(
        self,
        entry: RegisteredSkill,
        inputs: Sequence[Mapping[str, Any]],
        *,
        jump_forward: bool = True,
        max_draft: int = MAX_DRAFT,
        constrained: bool = True,
        exact_confidence: bool = False,
        seed: int = 0,
    ) -> Iterator[Generation]:
        """Answer valid inputs of a skill, in order, a batch at a time.

        Args:
            entry: a skill of this engine's catalog.
            inputs: each valid under its input schema.
            jump_forward: take forced tokens several at a time.
            max_draft: longest draft, 0 for none.
            constrained: False decodes without the schema, to see what it adds.
            exact_confidence: measure `min_probability` exactly, to choose a threshold by it.
            seed: of sampling.

        Raises:
            InvalidRequestError: an input and its answer do not fit the context.
        """
        for start in range(0, len(inputs), self._max_batch):
            calls = [entry.prepare(values) for values in inputs[start : start + self._max_batch]]
            decode = functools.partial(
                entry.decoding,
                jump_forward=jump_forward,
                max_draft=max_draft,
                constrained=constrained,
                exact_confidence=exact_confidence,
                seed=seed,
            )
            yield from self._run_batch(entry, calls, decode)

    def _run_batch(
        self, entry: RegisteredSkill, calls: list[PreparedCall], decode: Callable[..., Decoding]
    ) -> list[Generation]:
        started_s = time.perf_counter()
        generations = []
        for call in calls:
            if len(call.prompt) + entry.skill.decoding.max_tokens > self.manifest.context_limit:
                raise InvalidRequestError(
                    f"{len(call.prompt)} prompt tokens leave no room for the answer",
                    reason="PROMPT_TOO_LONG",
                )
            decoding = decode(call)
            generations.append(Generation(call, decoding, token_ids=decoding.start()))
        past_lens = [0] * len(calls)
        while running := [
            index for index, g in enumerate(generations) if g.decoding.finish_reason is None
        ]:
            drafts = [generations[index].decoding.draft for index in running]
            rows = [
                self._row(
                    index,
                    [*calls[index].prompt, *generations[index].token_ids][past_lens[index] :],
                    draft,
                    past_len=past_lens[index],
                )
                for index, draft in zip(running, drafts, strict=True)
            ]
            output = self._engine.step(Batch(self.manifest.name, rows))
            line = 0
            for index, row, draft in zip(running, rows, drafts, strict=True):
                generation = generations[index]
                generation.num_steps += 1
                num_accepted = generation.decoding.num_accepted_tokens
                generation.token_ids += generation.decoding.advance(output, line, draft)
                line += row.num_logits
                # What was computed for wrong guesses is overwritten by the next step.
                num_wrong = len(draft) - (generation.decoding.num_accepted_tokens - num_accepted)
                past_lens[index] += len(row.token_ids) - num_wrong
        for generation in generations:
            generation.elapsed_ms = (time.perf_counter() - started_s) * 1000.0
        return generations

    def _row(self, index: int, tokens: list[int], draft: Sequence[int], *, past_len: int) -> Row:
        first = index * self._blocks_per_sequence
        return Row(
            request_id=str(index),
            token_ids=[*tokens, *draft],
            past_len=past_len,
            block_ids=range(first, first + self._blocks_per_sequence),
            state_block_ids=(index,) if self._has_state else (),
            num_logits=1 + len(draft),
        )
