"""The graph of an OpenVINO engine: paged at load, and read for the cache it wants."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np

from skilld.core.errors import ArtefactError
from skilld.engine.base import CacheSpec
from skilld.engine.no_egress import openvino as ov
from skilld.engine.no_egress import paged_attention_transformation

_CACHE_KINDS: Final[Mapping[str, Literal["kv", "state"]]] = {
    "key_cache": "kv",
    "value_cache": "kv",
    "conv_state_table": "state",
    "selective_ssm_state_table": "state",
}
GATHER_INPUT: Final = "sampled_tokens_indices"
STATE_INPUTS: Final = (
    "la.block_indices",
    "la.block_indices_begins",
    "la.past_lens",
    "la.cache_interval",
)
STEP_INPUTS: Final = (
    "input_ids",
    "position_ids",
    "past_lens",
    "subsequence_begins",
    "block_indices",
    "block_indices_begins",
    "max_context_len",
    GATHER_INPUT,
)
# What may stand between the vocabulary projection and the logits: element-wise, row by row.
_ROWWISE_OPS: Final = frozenset({"Add", "Convert", "Divide", "Multiply", "Tanh"})
_BLOCK_AXIS: Final = 2


def read_paged_graph(core: Any, path: Path) -> Any:
    """Read an exported decoder and make blocks and cache tensors its inputs.

    Args:
        core: an `openvino.Core`.
        path: `model.xml`, as exported: with hidden state, logits for every token.

    Returns:
        A model whose inputs are `STEP_INPUTS`, for hybrids `STATE_INPUTS`, and cache tensors;
        its one output has a row of logits for each of `GATHER_INPUT`.

    Raises:
        ArtefactError: the logits are not computed the way decoders do.
        RuntimeError: OpenVINO cannot read or transform it.
    """
    model = core.read_model(path)
    paged_attention_transformation(model)
    _gather_before_vocabulary(model, path)
    return model


def _gather_before_vocabulary(model: Any, path: Path) -> None:
    """Let the caller choose the tokens whose logits are computed."""
    node = model.get_results()[0].input_value(0).get_node()
    while node.get_type_name() != "MatMul":
        data = [
            value.get_node()
            for value in node.input_values()
            if not value.get_partial_shape().is_static
        ]
        if node.get_type_name() not in _ROWWISE_OPS or len(data) != 1:
            raise ArtefactError(
                f"cannot find the vocabulary projection behind {node.get_type_name()}",
                path=path,
                reason="BAD_ENGINE",
            )
        node = data[0]
    indices = ov.opset13.parameter([-1], np.int64, name=GATHER_INPUT)
    indices.output(0).set_names({GATHER_INPUT})
    gathered = ov.opset13.gather(node.input_value(0), indices, np.int64(0))
    node.input(0).replace_source_output(gathered.output(0))
    model.add_parameters([indices])
    model.validate_nodes_and_infer_types()


def cache_specs(compiled: Any, path: Path) -> tuple[CacheSpec, ...]:
    """The cache tensors of a compiled model, with the types and shapes the plugin chose.

    Raises:
        ArtefactError: it has an input that nobody would fill.
    """
    specs = []
    for port in compiled.inputs:
        name = port.get_any_name()
        kind = _CACHE_KINDS.get(name.partition(".")[0])
        if kind is not None:
            specs.append(
                CacheSpec(
                    name=name,
                    kind=kind,
                    dtype=np.dtype(port.get_element_type().to_dtype()),
                    block_shape=tuple(dim.get_length() for dim in list(port.partial_shape)[1:]),
                )
            )
        elif name not in STEP_INPUTS + STATE_INPUTS:
            raise ArtefactError(
                f"has an input this runtime does not know: {name!r}",
                path=path,
                reason="BAD_ENGINE",
            )
    return tuple(specs)


def block_tokens(compiled: Any, path: Path) -> int:
    """Tokens per block, from a value cache: the scales of quantized keys may sit on that axis.

    Raises:
        ArtefactError: it has no attention layer.
    """
    for port in compiled.inputs:
        if port.get_any_name().startswith("value_cache."):
            return int(list(port.partial_shape)[_BLOCK_AXIS].get_length())
    raise ArtefactError("has no attention layer to page", path=path, reason="BAD_ENGINE")
