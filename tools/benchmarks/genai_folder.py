"""Makes a model folder for openvino-genai out of an engine: the same graph, the same weights.

python -m benchmarks.genai_folder CHECKPOINT ENGINE TARGET
"""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

from benchmarks.words import END_ID, END_TOKEN
from skilld.engine.no_egress import openvino as ov


def make_folder(checkpoint: Path, engine: Path, target: Path) -> None:
    """Link graph and weights, convert the tokenizer; the folder appears whole."""
    # After `no_egress`, which both of them would otherwise reach past.
    from openvino_tokenizers import convert_tokenizer
    from transformers import PreTrainedTokenizerFast

    aside = target.with_name(f".{target.name}.new")
    shutil.rmtree(aside, ignore_errors=True)
    aside.mkdir(parents=True)
    for suffix in ("xml", "bin"):
        (aside / f"openvino_model.{suffix}").symlink_to(engine.resolve() / f"model.{suffix}")
    shutil.copyfile(checkpoint / "config.json", aside / "config.json")
    (aside / "generation_config.json").write_text(json.dumps({"eos_token_id": END_ID}))
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_file=str(checkpoint / "tokenizer.json"), eos_token=END_TOKEN
    )
    converted = convert_tokenizer(tokenizer, with_detokenizer=True, add_special_tokens=False)
    for graph, name in zip(converted, ("tokenizer", "detokenizer"), strict=True):
        ov.save_model(graph, aside / f"openvino_{name}.xml")
    aside.rename(target)


if __name__ == "__main__":
    make_folder(*map(Path, sys.argv[1:]))
