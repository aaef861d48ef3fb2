"""A tiny Llama checkpoint written by hand: no torch needed to be refused, or to be built."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tokenizers import Tokenizer, models, pre_tokenizers

VOCAB_SIZE = 128
HIDDEN = 32
LAYERS = 2

CONFIG: dict[str, Any] = {
    "architectures": ["LlamaForCausalLM"],
    "model_type": "llama",
    "vocab_size": VOCAB_SIZE,
    "hidden_size": HIDDEN,
    "intermediate_size": 64,
    "num_hidden_layers": LAYERS,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "max_position_embeddings": 256,
    "rms_norm_eps": 1e-5,
    "tie_word_embeddings": True,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "pad_token_id": 0,
}


def _weights() -> dict[str, np.ndarray[Any, np.dtype[np.float32]]]:
    rng = np.random.default_rng(0)
    shapes = {"model.embed_tokens.weight": (VOCAB_SIZE, HIDDEN), "model.norm.weight": (HIDDEN,)}
    for layer in range(LAYERS):
        prefix = f"model.layers.{layer}."
        shapes |= {
            f"{prefix}input_layernorm.weight": (HIDDEN,),
            f"{prefix}post_attention_layernorm.weight": (HIDDEN,),
            f"{prefix}self_attn.q_proj.weight": (HIDDEN, HIDDEN),
            f"{prefix}self_attn.k_proj.weight": (HIDDEN // 2, HIDDEN),
            f"{prefix}self_attn.v_proj.weight": (HIDDEN // 2, HIDDEN),
            f"{prefix}self_attn.o_proj.weight": (HIDDEN, HIDDEN),
            f"{prefix}mlp.gate_proj.weight": (64, HIDDEN),
            f"{prefix}mlp.up_proj.weight": (64, HIDDEN),
            f"{prefix}mlp.down_proj.weight": (HIDDEN, 64),
        }
    return {
        name: rng.normal(0, 0.2, shape).astype(np.float32) + (len(shape) == 1)
        for name, shape in shapes.items()
    }


def write_safetensors(path: Path, shapes: dict[str, tuple[int, ...]], data: bytes) -> None:
    """Write a safetensors file of f32 tensors laid out one after another in `data`."""
    header, end = {}, 0
    for name, shape in shapes.items():
        start, end = end, end + 4 * int(np.prod(shape))
        header[name] = {"dtype": "F32", "shape": list(shape), "data_offsets": [start, end]}
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + data)


@pytest.fixture
def checkpoint_dir(tmp_path: Path) -> Path:
    """A complete checkpoint folder."""
    folder = tmp_path / "checkpoint"
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(CONFIG), encoding="utf-8")
    weights = _weights()
    write_safetensors(
        folder / "model.safetensors",
        {name: array.shape for name, array in weights.items()},
        b"".join(array.astype(np.float32).tobytes() for array in weights.values()),
    )
    tokens = ["<pad>", "<s>", "</s>", *sorted(pre_tokenizers.ByteLevel.alphabet())]
    tokenizer = Tokenizer(
        models.BPE({token: id_ for id_, token in enumerate(tokens[:VOCAB_SIZE])}, [])
    )
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.save(str(folder / "tokenizer.json"))
    return folder


@pytest.fixture
def recipe_dir(tmp_path: Path, checkpoint_dir: Path) -> Path:
    """A folder with a recipe for that checkpoint, a skill and golden cases."""
    folder = tmp_path / "engines" / "tiny"
    (folder / "skills").mkdir(parents=True)
    (folder / "skills" / "echo.toml").write_text('id = "echo"\n', encoding="utf-8")
    (folder / "golden.jsonl").write_text("{}\n", encoding="utf-8")
    write_recipe(folder, checkpoint=str(checkpoint_dir))
    return folder


def write_recipe(folder: Path, **changes: str | int) -> None:
    """Write a valid recipe with some keys changed."""
    keys: dict[str, str | int] = {
        "name": "tiny",
        "version": "1.0.0",
        "checkpoint": "checkpoint",
        "licence": "Apache-2.0",
    }
    lines = [f"{key} = {json.dumps(value)}" for key, value in (keys | changes).items()]
    (folder / "recipe.toml").write_text("\n".join(lines) + "\n", encoding="utf-8")


@pytest.fixture
def change_recipe(recipe_dir: Path, checkpoint_dir: Path) -> Callable[..., None]:
    """Rewrite the recipe with some keys changed."""
    return lambda **changes: write_recipe(
        recipe_dir, **({"checkpoint": str(checkpoint_dir)} | changes)
    )


@pytest.fixture
def sparse_checkpoint(checkpoint_dir: Path) -> Callable[[int], None]:
    """Claim a number of parameters: a real header over a hole in the file."""

    def claim(num_parameters: int) -> None:
        path = checkpoint_dir / "model.safetensors"
        write_safetensors(path, {"model.embed_tokens.weight": (num_parameters,)}, b"")
        with path.open("r+b") as file:
            file.truncate(path.stat().st_size + 4 * num_parameters)

    return claim
