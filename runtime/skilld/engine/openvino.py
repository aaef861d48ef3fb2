"""`OpenVINOEngine`: a decoder on the CPU, with block tables and cache tensors as plain inputs.

Life of a load:
1. Check the files against the manifest, read the graph as the builder exported it.
2. The paged-attention transformation replaces its hidden state by cache inputs.
3. A `Gather` before the vocabulary projection, so that a prefill of 512 tokens computes one row
   of logits and not 512.
4. Compile with every property that decides an answer set by us, not by the machine.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from skilld.core.batch import Batch, Row
from skilld.core.errors import ArtefactError, EngineError
from skilld.core.manifest import EngineManifest, read_manifest, verify_files
from skilld.engine.base import CacheSpec, Mode, StepOutput
from skilld.engine.no_egress import openvino as ov
from skilld.engine.openvino_graph import (
    GATHER_INPUT,
    STATE_INPUTS,
    STEP_INPUTS,
    block_tokens,
    cache_specs,
    read_paged_graph,
)
from skilld.engine.step_sizes import StepSizes

MODEL_FILE: Final = "model.xml"

# f32 also where the CPU has bf16 units, which the runtime would use by default: decoding is as
# fast or faster (small batches multiply int8 weights by dynamically quantized activations either
# way), prefill is slower on CPUs with AMX, and every box computes in one precision.
# Keys by token, not by channel: a cached key then does not depend on how its block was filled.
_PROPERTIES: Final[Mapping[Mode, Mapping[str, Any]]] = {
    Mode.FAST: {
        "INFERENCE_PRECISION_HINT": "f32",
        "KV_CACHE_PRECISION": "u8",
        "KEY_CACHE_QUANT_MODE": "BY_TOKEN",
    },
    Mode.PARITY: {
        "INFERENCE_PRECISION_HINT": "f32",
        "KV_CACHE_PRECISION": "f32",
    },
}
# The kernels keep a state every so many tokens, and the one after the last token of a step. We
# want only the last. 0 should say so, but the Mamba kernel of 2026.4 then keeps none at all.
_STATE_INTERVAL: Final = 1 << 30
_MAX_KEPT_SIZES: Final = 64
_PADDING_ID: Final = 0
_MAX_LENGTHENED_CONTEXT: Final = 512


class OpenVINOEngine:
    """See the module docstring; the interface is `skilld.engine.base.Engine`.

    Attributes:
        manifest: of the loaded engine folder.
    """

    def __init__(
        self,
        engine_dir: Path,
        *,
        num_threads: int,
        mode: Mode = Mode.FAST,
    ) -> None:
        """Load and compile an engine folder.

        Args:
            engine_dir: as written by `skilld build`.
            num_threads: CPU threads one step uses.
            mode: fast (serving) or parity (exact).

        Raises:
            ArtefactError: the manifest is broken, a file does not match its digest, or the
                graph is not one this runtime can page.
        """
        self.manifest: EngineManifest = read_manifest(engine_dir)
        verify_files(engine_dir, self.manifest)
        path = engine_dir / MODEL_FILE
        try:
            core = ov.Core()
            compiled = core.compile_model(
                read_paged_graph(core, path),
                "CPU",
                {
                    **_PROPERTIES[mode],
                    "DYNAMIC_QUANTIZATION_GROUP_SIZE": _activation_group(self.manifest, mode),
                    "PERFORMANCE_HINT": "LATENCY",
                    "INFERENCE_NUM_THREADS": num_threads,
                },
            )
        except RuntimeError as error:
            raise ArtefactError(
                f"cannot be compiled: {_first_line(error)}",
                path=path,
                hint="build the engine again with this version of openvino",
                reason="BAD_ENGINE",
            ) from error
        self._specs = cache_specs(compiled, path)
        self._block_tokens = block_tokens(compiled, path)
        self._sizes = StepSizes(self.manifest.geometry)
        self._vocab_size = self.manifest.vocabulary.size
        self._has_state = any(spec.kind == "state" for spec in self._specs)
        self._states: list[npt.NDArray[np.generic]] = []
        self._num_blocks = {"kv": 0, "state": 0}
        self._bound: list[tuple[npt.NDArray[np.generic], Any]] = []
        self._request: Any = compiled.create_infer_request()
        self._inputs = {
            name: _StepInput(self._request, compiled.input(name))
            for name in STEP_INPUTS + (STATE_INPUTS if self._has_state else ())
        }

    @property
    def block_tokens(self) -> int:
        """Tokens per KV block."""
        return self._block_tokens

    @property
    def cache_specs(self) -> tuple[CacheSpec, ...]:
        """The cache tensors to bind, as the compiled model wants them."""
        return self._specs

    def bind(self, arrays: Mapping[str, npt.NDArray[np.generic]]) -> None:
        """Use these arrays as cache memory; see `Engine.bind`.

        Raises:
            EngineError: an array is missing or has the wrong type, shape or layout.
        """
        bound = []
        num_blocks: dict[str, set[int]] = {"kv": set(), "state": set()}
        for spec in self._specs:
            array = arrays.get(spec.name)
            if array is None:
                raise EngineError(f"no array given for cache tensor {spec.name!r}")
            if (
                array.dtype != spec.dtype
                or array.shape[1:] != spec.block_shape
                or not array.flags.c_contiguous
            ):
                raise EngineError(
                    f"cache tensor {spec.name!r} wants a contiguous {spec.dtype} array of shape "
                    f"[N, {', '.join(map(str, spec.block_shape))}], got {array.dtype} "
                    f"{list(array.shape)}"
                )
            num_blocks[spec.kind].add(array.shape[0])
            bound.append((array, ov.Tensor(array, shared_memory=True)))
        for kind, counts in num_blocks.items():
            if len(counts) > 1:
                raise EngineError(f"{kind} cache tensors differ in their number of blocks")
            self._num_blocks[kind] = counts.pop() if counts else 0
        for spec, (_, tensor) in zip(self._specs, bound, strict=True):
            self._request.set_tensor(spec.name, tensor)
        # The runtime keeps no reference to the memory behind a shared tensor, so we must.
        self._bound = bound
        self._states = [arrays[spec.name] for spec in self._specs if spec.kind == "state"]

    def step(self, batch: Batch) -> StepOutput:
        """Compute one ragged batch; see `Engine.step`.

        Raises:
            EngineError: a row does not fit its blocks, or the runtime failed.
        """
        started_ns = time.perf_counter_ns()
        num_logits = self._fill(batch)
        try:
            # Cheaper than `infer`, which makes an array of every output.
            self._request.start_async()
            self._request.wait()
        except RuntimeError as error:
            raise EngineError(
                f"engine {self.manifest.name!r}: a step failed: {_first_line(error)}"
            ) from error
        logits = self._request.get_output_tensor(0).data
        logits = logits.reshape(-1, logits.shape[-1])[:num_logits]
        return StepOutput(
            logits=logits,
            # Not by a TopK in the graph, which takes 20 times as long whatever the vocabulary.
            greedy_ids=logits.argmax(axis=-1).tolist(),
            step_ms=(time.perf_counter_ns() - started_ns) / 1e6,
        )

    def close(self) -> None:
        """Release the model and every reference to bound arrays."""
        self._inputs = {}
        self._request = None
        self._bound = []
        self._states = []

    def _fill(self, batch: Batch) -> int:
        """Write the step inputs of a batch; returns how many rows of logits it wants."""
        block_tokens = self._block_tokens
        token_ids: list[int] = []
        positions: list[int] = []
        past_lens: list[int] = []
        begins = [0]
        block_ids: list[int] = []
        block_begins = [0]
        wanted: list[int] = []
        max_context_len = 0
        end = 0
        padded_row, num_padding = (None, 0) if self._has_state else self._pad(batch)
        for row in batch.rows:
            past_len, num_new = row.past_len, len(row.token_ids)
            context_len = past_len + num_new
            num_blocks = -(-context_len // block_tokens)
            if num_blocks > len(row.block_ids) or not 0 <= row.num_logits <= num_new:
                raise EngineError(
                    f"request {row.request_id!r}: {context_len} tokens and {row.num_logits} "
                    f"logits do not fit {len(row.block_ids)} blocks and {num_new} new tokens"
                )
            token_ids += row.token_ids
            positions += range(past_len, context_len)
            past_lens.append(past_len)
            end += num_new
            begins.append(end)
            block_ids += row.block_ids[:num_blocks]
            block_begins.append(len(block_ids))
            wanted += range(end - row.num_logits, end)
            if row is padded_row:
                token_ids += [_PADDING_ID] * num_padding
                positions += [context_len - 1] * num_padding
                context_len += num_padding
                end += num_padding
                begins[-1] = end
            if context_len > max_context_len:
                max_context_len = context_len
        # An index outside the bound memory would be read and written without a word.
        self._check_range(block_ids, self._num_blocks["kv"], what="KV block")
        self._check_range(token_ids, self._vocab_size, what="token")
        fill = self._inputs
        fill["input_ids"].set(token_ids)
        fill["position_ids"].set(positions)
        fill["past_lens"].set(past_lens)
        fill["subsequence_begins"].set(begins)
        fill["block_indices"].set(block_ids)
        fill["block_indices_begins"].set(block_begins)
        fill["max_context_len"].set([max_context_len])
        # The projection cannot take zero rows: compute one that nobody reads.
        fill[GATHER_INPUT].set(wanted or [0])
        if self._has_state:
            self._fill_state(batch, past_lens)
        return len(wanted)

    def _pad(self, batch: Batch) -> tuple[Row | None, int]:
        """Choose a row to lengthen by tokens that nobody reads, and by how many.

        They are written behind its last token in its last block, where its next tokens overwrite
        them, as they do wrong guesses.
        """
        block_tokens = self._block_tokens
        num_tokens = most_room = 0
        roomy: Row | None = None
        for row in batch.rows:
            num_new = len(row.token_ids)
            num_tokens += num_new
            context_len = row.past_len + num_new
            room = -context_len % block_tokens
            # A row of one token takes a path of its own, which for a long context is far cheaper.
            if room > most_room and (num_new > 1 or context_len <= _MAX_LENGTHENED_CONTEXT):
                most_room, roomy = room, row
        return roomy, self._sizes.padding(num_tokens, most_room)

    def _fill_state(self, batch: Batch, past_lens: list[int]) -> None:
        """Point every row at its state block: read it, write it back."""
        state_ids = [id_ for row in batch.rows for id_ in row.state_block_ids]
        if len(state_ids) != len(batch.rows):
            raise EngineError(f"engine {self.manifest.name!r} needs one state block per row")
        self._check_range(state_ids, self._num_blocks["state"], what="state block")
        for row, state_id in zip(batch.rows, state_ids, strict=True):
            if row.past_len == 0:
                # The graph always reads the block first: a new sequence must find zeros.
                for state in self._states:
                    state[state_id] = 0
        num_rows = len(state_ids)
        self._inputs["la.block_indices"].set([id_ for id_ in state_ids for _ in range(2)])
        self._inputs["la.block_indices_begins"].set(list(range(0, 2 * num_rows + 1, 2)))
        self._inputs["la.past_lens"].set(past_lens)
        self._inputs["la.cache_interval"].set([_STATE_INTERVAL] * num_rows)

    def _check_range(self, ids: Sequence[int], end: int, *, what: str) -> None:
        if ids and not 0 <= min(ids) <= max(ids) < end:
            raise EngineError(
                f"engine {self.manifest.name!r}: {what} ids {min(ids)}..{max(ids)} are outside "
                f"0..{end - 1}"
            )


class _StepInput:
    """One integer input of the graph, whose length changes from step to step.

    Setting a tensor costs more than filling one, and filling one more than finding that it holds
    these values: so one array per size is kept, the request is told only when the size changes,
    and the array only when the values do.
    """

    def __init__(self, request: Any, port: Any) -> None:
        self._request = request
        self._port = port
        self._dtype = port.get_element_type().to_dtype()
        self._is_scalar = port.partial_shape.rank.get_length() == 0
        self._kept: dict[int, tuple[npt.NDArray[np.generic], Any]] = {}
        self._array: npt.NDArray[np.generic] = np.zeros(0, self._dtype)
        self._values: list[int] = []

    def set(self, values: list[int]) -> None:
        """Write `values`, at least one, which the caller leaves alone afterwards."""
        if values == self._values:
            return
        size = len(values)
        if size != len(self._values):
            if size not in self._kept:
                if len(self._kept) >= _MAX_KEPT_SIZES:
                    self._kept.clear()
                array = np.zeros(() if self._is_scalar else size, self._dtype)
                self._kept[size] = (array.reshape(size), ov.Tensor(array, shared_memory=True))
            self._array, tensor = self._kept[size]
            self._request.set_tensor(self._port, tensor)
        self._array[...] = values
        self._values = values


def _activation_group(manifest: EngineManifest, mode: Mode) -> int:
    """How many activations share a scale when they are quantized on the fly; 0 quantizes none.

    Larger groups are faster and cost no accuracy that `skilld eval` can see, but a layer whose
    width they do not divide is slower, so the largest that divides the widths we know.
    """
    if mode is Mode.PARITY:
        return 0
    geometry = manifest.geometry
    widths = (geometry.hidden_size, geometry.num_heads * geometry.head_dim)
    return next((g for g in (128, 64) if all(width % g == 0 for width in widths)), 32)


def _first_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1] if lines else type(error).__name__
