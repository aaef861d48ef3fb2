"""What several rooms test with: a tiny engine built by our own builder, and copies of it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

from skilld.builder import build
from skilld.builder.toolchain import load_toolchain
from skilld.core.manifest import FileEntry, file_sha256, read_manifest, write_manifest

PICK = """
id = "pick"
version = "1.0.0"
description = "Says which subsystem a text is about."
prompt = "<|in|>{lines}<|out|>"
timeout_s = 20.0
[decoding]
max_tokens = 96
[abstain]
reasons = ["not_a_log"]
[input_schema]
type = "object"
required = ["lines"]
additionalProperties = false
[input_schema.properties.lines]
type = "array"
minItems = 1
items = {type = "string"}
[output_schema]
type = "object"
required = ["fault_code", "subsystem", "count", "ok"]
[output_schema.properties]
fault_code = {anyOf = [{type = "string", maxLength = 12}, {type = "null"}]}
subsystem = {enum = ["drive", "power", "油圧"]}
count = {type = "integer", minimum = 1, maximum = 8}
ok = {type = "boolean"}
"""

# The schema makes it long: no end token can come before the 300th number.
COUNT = """
id = "count"
version = "1.0.0"
description = "Writes three hundred digits."
prompt = "<|in|>{text}<|out|>"
timeout_s = 60.0
[decoding]
max_tokens = 900
[input_schema]
type = "object"
required = ["text"]
properties = {text = {type = "string"}}
[output_schema]
type = "array"
minItems = 300
maxItems = 300
items = {type = "integer", minimum = 0, maximum = 9}
"""

# generator.py of an engine folder: words that `plc-triage` must decline, in two families.
WORD_GENERATOR = """
from skilld.training.example import Example


class Generator:
    version = "7"
    families = {"plain": 1.0, "odd": 1.0}
    held_families = frozenset({"odd"})
    held_values = ()
    held_combinations = frozenset()

    def sample(self, rng, *, family, draw):
        word = "".join(rng.choices("abcdefgh", k=9))
        lines = {"plain": [word], "odd": [word, word]}[family]
        return Example(family, {"lines": lines}, {"abstain": "not_a_log"})


def load():
    return Generator()
"""

_SHAPE = {
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 1024,
    "tie_word_embeddings": True,
    "initializer_range": 0.2,
    "bos_token_id": None,
    "eos_token_id": 1,
    "pad_token_id": 0,
}


@pytest.fixture(scope="session")
def tiny_engine(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random two-layer Llama with the skills `pick` and `count`, int8, 1,024 tokens."""
    config = {**_SHAPE, "num_hidden_layers": 2}
    return _build_random(tmp_path_factory.mktemp("tiny"), "tiny", "LlamaConfig", config)


@pytest.fixture(scope="session")
def tiny_hybrid(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same with LFM2: convolution layers, whose state is a block of its own, and attention."""
    config = {
        **_SHAPE,
        "num_hidden_layers": 3,
        "layer_types": ["conv", "full_attention", "conv"],
        "conv_L_cache": 3,
        "block_auto_adjust_ff_dim": False,
    }
    return _build_random(tmp_path_factory.mktemp("hybrid"), "hybrid", "Lfm2Config", config)


def _build_random(
    recipe_dir: Path, name: str, config_class: str, config: Mapping[str, object]
) -> Path:
    tools = load_toolchain()
    checkpoint = recipe_dir / "checkpoint"
    checkpoint.mkdir()
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.train_from_iterator(
        [json.dumps({"fault_code": f"E{n}", "subsystem": "drive"}) for n in range(200)],
        trainers.BpeTrainer(
            vocab_size=400,
            special_tokens=["<|pad|>", "<|eos|>", "<|in|>", "<|out|>"],
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
            show_progress=False,
        ),
    )
    tokenizer.save(str(checkpoint / "tokenizer.json"))
    tools.torch.manual_seed(7)
    shape = getattr(tools.transformers, config_class)(
        vocab_size=tokenizer.get_vocab_size(), **config
    )
    tools.transformers.AutoModelForCausalLM.from_config(shape).save_pretrained(checkpoint)
    (recipe_dir / "recipe.toml").write_text(
        f'name = "{name}"\nversion = "0.1.0"\ncheckpoint = "checkpoint"\nlicence = "Apache-2.0"\n',
        encoding="utf-8",
    )
    skills = recipe_dir / "skills"
    skills.mkdir()
    (skills / "pick.toml").write_text(PICK, encoding="utf-8")
    (skills / "count.toml").write_text(COUNT, encoding="utf-8")
    return build(recipe_dir, progress=lambda *_: None)


CopyEngine = Callable[[Path, str], Path]


@pytest.fixture
def copy_engine(tiny_engine: Path) -> CopyEngine:
    """Copies the tiny engine into a folder under another name, its skills renamed to match."""

    def copy(folder: Path, name: str) -> Path:
        engine_dir = folder / name
        shutil.copytree(tiny_engine, engine_dir)
        files = {}
        for path in sorted((engine_dir / "skills").glob("*.toml")):
            skill_id = f"{name}-{path.stem}"
            text = path.read_text(encoding="utf-8")
            renamed = path.with_name(f"{skill_id}.toml")
            renamed.write_text(text.replace(f'"{path.stem}"', f'"{skill_id}"', 1), encoding="utf-8")
            path.unlink()
            files[f"skills/{renamed.name}"] = FileEntry(
                sha256=file_sha256(renamed), num_bytes=renamed.stat().st_size
            )
        manifest = read_manifest(engine_dir)
        files |= {k: v for k, v in manifest.files.items() if not k.startswith("skills/")}
        write_manifest(engine_dir, manifest.model_copy(update={"name": name, "files": files}))
        return engine_dir

    return copy
