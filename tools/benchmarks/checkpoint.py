"""Random checkpoints in the shape of real models: the speed is theirs, the answers are noise.

One set of weights serves every contender: a Hugging Face folder for `skilld build`, and GGUF
files made from the same numbers for llama.cpp.
"""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.words import END_ID, train_tokenizer, vocabulary_and_merges

_CONTEXT_TOKENS = 4096
_ROPE_BASE = 1_000_000.0
_NORM_EPSILON = 1e-6
_MAX_CHUNK_ELEMENTS = 1 << 24


@dataclass(frozen=True, slots=True)
class Shape:
    """A decoder of the Qwen2 family with tied embeddings; the names are those of its config."""

    num_layers: int
    hidden_size: int
    num_heads: int
    num_kv_heads: int
    ffn_size: int
    vocab_size: int


SHAPES = {
    "0.5b": Shape(24, 896, 14, 2, 4864, 151_936),  # Qwen2.5-0.5B
    "135m": Shape(30, 576, 9, 3, 1536, 49_152),  # the sizes of SmolLM2-135M
    "tiny": Shape(8, 192, 6, 2, 512, 3072),  # a nano specialist, for trying the bench out
    "tiny-kv1": Shape(8, 192, 6, 1, 512, 3072),  # the same with half the cache, and with thrice
    "tiny-kv6": Shape(8, 192, 6, 6, 512, 3072),
}


@dataclass(frozen=True, slots=True)
class Tensor:
    """One weight: its name in a Hugging Face checkpoint and in GGUF, and its shape."""

    name: str
    gguf_name: str
    shape: tuple[int, ...]


def tensors_of(shape: Shape) -> list[Tensor]:
    """All weights, in file order."""
    hidden, ffn = shape.hidden_size, shape.ffn_size
    kv = hidden // shape.num_heads * shape.num_kv_heads
    tensors = [Tensor("model.embed_tokens.weight", "token_embd.weight", (shape.vocab_size, hidden))]
    for layer in range(shape.num_layers):
        tensors += [
            Tensor(f"model.layers.{layer}.{name}", f"blk.{layer}.{gguf_name}", size)
            for name, gguf_name, size in (
                ("input_layernorm.weight", "attn_norm.weight", (hidden,)),
                ("self_attn.q_proj.weight", "attn_q.weight", (hidden, hidden)),
                ("self_attn.q_proj.bias", "attn_q.bias", (hidden,)),
                ("self_attn.k_proj.weight", "attn_k.weight", (kv, hidden)),
                ("self_attn.k_proj.bias", "attn_k.bias", (kv,)),
                ("self_attn.v_proj.weight", "attn_v.weight", (kv, hidden)),
                ("self_attn.v_proj.bias", "attn_v.bias", (kv,)),
                ("self_attn.o_proj.weight", "attn_output.weight", (hidden, hidden)),
                ("post_attention_layernorm.weight", "ffn_norm.weight", (hidden,)),
                ("mlp.gate_proj.weight", "ffn_gate.weight", (ffn, hidden)),
                ("mlp.up_proj.weight", "ffn_up.weight", (ffn, hidden)),
                ("mlp.down_proj.weight", "ffn_down.weight", (hidden, ffn)),
            )
        ]
    return [*tensors, Tensor("model.norm.weight", "output_norm.weight", (hidden,))]


def num_parameters(shape: Shape) -> int:
    """Weights of a model; the embedding counts once."""
    return sum(math.prod(tensor.shape) for tensor in tensors_of(shape))


def write_checkpoint(folder: Path, shape: Shape, *, seed: int = 0) -> None:
    """Write configuration, bf16 weights and a tokenizer; the folder appears whole."""
    aside = folder.with_name(f".{folder.name}.new")
    shutil.rmtree(aside, ignore_errors=True)
    aside.mkdir(parents=True)
    (aside / "config.json").write_text(json.dumps(_config(shape), indent=2), encoding="utf-8")
    _write_weights(aside / "model.safetensors", shape, seed=seed)
    train_tokenizer(shape.vocab_size).save(str(aside / "tokenizer.json"))
    aside.rename(folder)


def write_recipe(
    folder: Path,
    *,
    name: str,
    precision: str,
    checkpoint: Path,
    skills: Mapping[str, str] | None = None,
) -> None:
    """Write what `skilld build` needs.

    Args:
        folder: of the recipe.
        name: of the engine.
        precision: "int8" or "int4".
        checkpoint: relative to the folder.
        skills: TOML text by skill id; one that continues a text when absent, so that the engine
            can be served.
    """
    (folder / "skills").mkdir(parents=True, exist_ok=True)
    (folder / "recipe.toml").write_text(
        f'name = "{name}"\nversion = "0"\nlicence = "none: random weights"\n'
        f'checkpoint = "{checkpoint}"\nprecision = "{precision}"\n',
        encoding="utf-8",
    )
    for skill, text in (skills or {name: text_skill(name, max_tokens=64)}).items():
        (folder / "skills" / f"{skill}.toml").write_text(text, encoding="utf-8")


def text_skill(skill: str, *, max_tokens: int) -> str:
    """TOML of a skill that continues its input, which is the whole prompt."""
    return (
        f'id = "{skill}"\nversion = "0"\ndescription = "Continues a text with noise."\n'
        'prompt = "{text}"\ntimeout_s = 600.0\n\n'
        f'[decoding]\nmax_tokens = {max_tokens}\nformat = "text"\n\n'
        '[input_schema]\ntype = "object"\nrequired = ["text"]\nadditionalProperties = false\n'
        'properties.text.type = "string"\n\n'
        '[output_schema]\ntype = "string"\n'
    )


def write_gguf(path: Path, checkpoint: Path, shape: Shape, *, kind: str) -> None:
    """Write the checkpoint's weights for llama.cpp, quantized as `llama-quantize` would.

    Q4_0 keeps the embedding, which is also the vocabulary projection, in Q8_0: that is where
    llama.cpp's own tool lands for these row lengths.

    Args:
        path: appears whole.
        checkpoint: made by `write_checkpoint`.
        shape: of the checkpoint.
        kind: "Q8_0" or "Q4_0".
    """
    import gguf

    types = gguf.GGMLQuantizationType
    aside = path.with_name(f".{path.name}.new")
    writer = gguf.GGUFWriter(aside, "qwen2")
    writer.add_block_count(shape.num_layers)
    writer.add_context_length(_CONTEXT_TOKENS)
    writer.add_embedding_length(shape.hidden_size)
    writer.add_feed_forward_length(shape.ffn_size)
    writer.add_head_count(shape.num_heads)
    writer.add_head_count_kv(shape.num_kv_heads)
    writer.add_rope_freq_base(_ROPE_BASE)
    writer.add_layer_norm_rms_eps(_NORM_EPSILON)
    writer.add_file_type(gguf.LlamaFileType[f"MOSTLY_{kind}"])
    writer.add_quantization_version(gguf.GGML_QUANT_VERSION)
    _add_tokenizer(writer, checkpoint / "tokenizer.json", shape.vocab_size)
    for tensor, values in _read_weights(checkpoint / "model.safetensors", shape):
        if values.ndim == 1:
            writer.add_tensor(tensor.gguf_name, values)
            continue
        wanted = types.Q8_0 if tensor.gguf_name == "token_embd.weight" else types[kind]
        writer.add_tensor(tensor.gguf_name, gguf.quants.quantize(values, wanted), raw_dtype=wanted)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    aside.rename(path)


def _config(shape: Shape) -> dict[str, Any]:
    return {
        "architectures": ["Qwen2ForCausalLM"],
        "model_type": "qwen2",
        "num_hidden_layers": shape.num_layers,
        "hidden_size": shape.hidden_size,
        "num_attention_heads": shape.num_heads,
        "num_key_value_heads": shape.num_kv_heads,
        "intermediate_size": shape.ffn_size,
        "vocab_size": shape.vocab_size,
        "max_position_embeddings": _CONTEXT_TOKENS,
        "rope_theta": _ROPE_BASE,
        "rms_norm_eps": _NORM_EPSILON,
        "hidden_act": "silu",
        "tie_word_embeddings": True,
        "torch_dtype": "bfloat16",
        "bos_token_id": None,
        "eos_token_id": END_ID,
    }


def _add_tokenizer(writer: Any, path: Path, vocab_size: int) -> None:
    """The checkpoint's tokenizer, filled up to the vocabulary of the weights."""
    import gguf

    tokens, merges = vocabulary_and_merges(path)
    num_unused = vocab_size - len(tokens)
    kinds = [gguf.TokenType.NORMAL] * len(tokens) + [gguf.TokenType.UNUSED] * num_unused
    kinds[END_ID] = gguf.TokenType.CONTROL
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list([*tokens, *(f"<|unused{i}|>" for i in range(num_unused))])
    writer.add_token_types(kinds)
    writer.add_token_merges(merges)
    writer.add_eos_token_id(END_ID)
    writer.add_add_bos_token(False)


def _write_weights(path: Path, shape: Shape, *, seed: int) -> None:
    """Safetensors by hand, a piece at a time: the whole never stands in memory."""
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    end = 0
    for tensor in tensors_of(shape):
        start, end = end, end + math.prod(tensor.shape) * 2
        header[tensor.name] = {
            "dtype": "BF16",
            "shape": tensor.shape,
            "data_offsets": [start, end],
        }
    encoded = json.dumps(header).encode()
    encoded += b" " * (-len(encoded) % 8)
    random = np.random.default_rng(seed)
    with path.open("wb") as file:
        file.write(len(encoded).to_bytes(8, "little") + encoded)
        for tensor in tensors_of(shape):
            is_norm = "norm" in tensor.name
            left = math.prod(tensor.shape)
            while left:
                count = min(left, _MAX_CHUNK_ELEMENTS)
                left -= count
                values = random.standard_normal(count, dtype=np.float32) * np.float32(0.02)
                if is_norm:
                    values += 1
                # bf16 is the upper half of f32.
                file.write((values.view(np.uint32) >> 16).astype("<u2").tobytes())


def _read_weights(path: Path, shape: Shape) -> Iterator[tuple[Tensor, NDArray[np.float32]]]:
    """What `_write_weights` wrote, one tensor at a time, as float32 of its shape."""
    with path.open("rb") as file:
        offset = 8 + int.from_bytes(file.read(8), "little")
    for tensor in tensors_of(shape):
        count = math.prod(tensor.shape)
        halves = np.fromfile(path, dtype="<u2", count=count, offset=offset)
        offset += count * 2
        yield tensor, (halves.astype(np.uint32) << 16).view(np.float32).reshape(tensor.shape)
