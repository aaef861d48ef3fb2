"""One tiny random checkpoint per family, built once by our own builder.

The models are small enough to build in seconds and odd enough to catch what a round shape hides:
grouped heads, several blocks of context, sliding windows and scaled rotations crossed by it.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from skilld.engine.openvino import OpenVINOEngine

VOCAB_SIZE = 160
MAX_POSITIONS = 512

_DECODER: dict[str, Any] = {
    "vocab_size": VOCAB_SIZE,
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": MAX_POSITIONS,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "pad_token_id": 0,
}

# Name of the test case -> (class of the configuration, its arguments).
CONFIGS: dict[str, tuple[str, dict[str, Any]]] = {
    "llama-tied": ("LlamaConfig", _DECODER | {"tie_word_embeddings": True}),
    "llama-3.2-rope": (
        "LlamaConfig",
        _DECODER
        | {
            "tie_word_embeddings": True,
            "rope_parameters": {
                "rope_type": "llama3",
                "rope_theta": 500_000.0,
                "factor": 32.0,
                "high_freq_factor": 4.0,
                "low_freq_factor": 1.0,
                "original_max_position_embeddings": 64,
            },
        },
    ),
    "qwen2": ("Qwen2Config", _DECODER | {"tie_word_embeddings": True}),
    "qwen3": ("Qwen3Config", _DECODER | {"head_dim": 32}),
    "gemma3": (
        "Gemma3TextConfig",
        _DECODER
        | {
            "head_dim": 32,
            "query_pre_attn_scalar": 32,
            "sliding_window": 24,
            "layer_types": ["sliding_attention", "full_attention", "sliding_attention"],
        },
    ),
    "opt-350m": (
        "OPTConfig",
        {
            "vocab_size": VOCAB_SIZE,
            "hidden_size": 64,
            "ffn_dim": 96,
            "num_hidden_layers": 3,
            "num_attention_heads": 4,
            "word_embed_proj_dim": 32,
            "do_layer_norm_before": False,
            "max_position_embeddings": MAX_POSITIONS,
            "bos_token_id": 2,
            "eos_token_id": 2,
            "pad_token_id": 1,
        },
    ),
    "phi-1.5": (
        "PhiConfig",
        {
            key: value
            for key, value in _DECODER.items()
            if key not in ("num_key_value_heads", "pad_token_id")
        }
        | {"partial_rotary_factor": 0.5},
    ),
    "granite-4-hybrid": (
        "GraniteMoeHybridConfig",
        _DECODER
        | {
            "num_hidden_layers": 4,
            "layer_types": ["mamba", "attention", "mamba", "attention"],
            "shared_intermediate_size": 96,
            "num_local_experts": 0,
            "num_experts_per_tok": 0,
            "mamba_n_heads": 8,
            "mamba_d_head": 16,
            "mamba_d_state": 16,
            "mamba_n_groups": 1,
            "mamba_expand": 2,
            "mamba_d_conv": 4,
            "mamba_chunk_size": 16,
            "position_embedding_type": None,
            "tie_word_embeddings": True,
            "embedding_multiplier": 2.0,
            "attention_multiplier": 0.25,
            "residual_multiplier": 0.5,
            "logits_scaling": 2.0,
        },
    ),
    "granite-4-rope": (
        "GraniteMoeHybridConfig",
        _DECODER
        | {
            "layer_types": ["attention", "mamba", "attention"],
            "shared_intermediate_size": 96,
            "num_local_experts": 0,
            "num_experts_per_tok": 0,
            "mamba_n_heads": 8,
            "mamba_d_head": 16,
            "mamba_d_state": 16,
            "mamba_n_groups": 1,
            "mamba_chunk_size": 16,
            "position_embedding_type": "rope",
        },
    ),
    "lfm2": (
        "Lfm2Config",
        _DECODER
        | {
            "num_hidden_layers": 4,
            "layer_types": ["conv", "full_attention", "conv", "full_attention"],
            "conv_L_cache": 3,
            "block_auto_adjust_ff_dim": False,
        },
    ),
}


@dataclass(frozen=True)
class Family:
    """A family's engine folder and the model it must agree with.

    `reference` takes token ids `[n]` and gives float32 logits `[n, vocab]`.
    """

    name: str
    engine_dir: Path
    reference: Callable[[list[int]], npt.NDArray[np.float32]]


@pytest.fixture(scope="session")
def built_family(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Family]:
    """Build a family on first use; the same one afterwards."""
    return functools.cache(lambda name: _build_family(name, tmp_path_factory.mktemp(name)))


@pytest.fixture
def bound_engine() -> Iterator[Callable[..., OpenVINOEngine]]:
    """Load an engine with memory for a number of KV and state blocks; closed afterwards."""
    engines: list[OpenVINOEngine] = []

    def load(engine_dir: Path, *, kv_blocks: int, state_blocks: int, **kwargs: Any) -> Any:
        engine = OpenVINOEngine(engine_dir, num_threads=2, **kwargs)
        engines.append(engine)
        counts = {"kv": kv_blocks, "state": state_blocks}
        # Memory that other sequences used before: nothing may rely on zeros.
        engine.bind(
            {
                spec.name: np.full((counts[spec.kind], *spec.block_shape), 7, spec.dtype)
                for spec in engine.cache_specs
            }
        )
        return engine

    yield load
    for engine in engines:
        engine.close()


def _build_family(name: str, folder: Path) -> Family:
    from skilld.builder import build
    from skilld.builder.toolchain import load_toolchain

    tools = load_toolchain()
    torch, transformers = tools.torch, tools.transformers
    torch.set_num_threads(2)
    torch.manual_seed(7)
    config_class, arguments = CONFIGS[name]
    model: Any = transformers.AutoModelForCausalLM.from_config(
        getattr(transformers, config_class)(**arguments)
    ).eval()
    with torch.no_grad():
        # As initialized, every token is about as likely as any other; make choices matter.
        for parameter in model.parameters():
            if parameter.ndim > 1:
                parameter.mul_(4.0)
            else:
                parameter.add_(0.1 * torch.randn_like(parameter))
    model.save_pretrained(folder / "checkpoint")
    _byte_tokenizer().save(str(folder / "checkpoint" / "tokenizer.json"))
    (folder / "recipe.toml").write_text(
        f'name = "{name}"\nversion = "1"\ncheckpoint = "checkpoint"\nlicence = "none"\n'
        'precision = "f32"\n',
        encoding="utf-8",
    )
    engine_dir = build(folder, progress=lambda _what, _done: None)

    def reference(tokens: list[int]) -> npt.NDArray[np.float32]:
        with torch.no_grad():
            logits = model(torch.tensor([tokens]), use_cache=False).logits[0]
        return np.asarray(logits.numpy(), dtype=np.float32)

    return Family(name=name, engine_dir=engine_dir, reference=reference)


def _byte_tokenizer() -> Any:
    from tokenizers import Tokenizer, models, pre_tokenizers

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())[: VOCAB_SIZE - 3]
    tokens = ["<pad>", "<s>", "</s>", *alphabet]
    return Tokenizer(models.BPE({token: id_ for id_, token in enumerate(tokens)}, []))
