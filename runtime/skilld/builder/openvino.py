"""A checkpoint becomes an OpenVINO graph: exported with state, weights compressed, saved.

The paged-attention transformation is not applied here but at load. It takes milliseconds, and
the plain graph stays readable by any later OpenVINO, while the operations the transformation
makes are internal to one release.
"""

from __future__ import annotations

import contextlib
import io
import json
import logging
import tempfile
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

from skilld.builder.checkpoint import Checkpoint
from skilld.builder.toolchain import Toolchain, load_toolchain
from skilld.core.errors import ArtefactError
from skilld.core.manifest import Precision

MODEL_FILE: Final = "model.xml"
TOKENIZER_FILE: Final = "tokenizer.json"
_INT4_GROUP_SIZE: Final = 128
_CALIBRATION_SAMPLES: Final = 128
_CALIBRATION_TOKENS: Final = 256


def export_model(
    checkpoint: Checkpoint,
    out_dir: Path,
    *,
    precision: Precision,
    calibration: Path | None,
    progress: Callable[[str, float], None],
) -> None:
    """Write `model.xml`, `model.bin` and `tokenizer.json` of a checkpoint.

    Args:
        checkpoint: read by `read_checkpoint`.
        out_dir: an existing folder.
        precision: of the weights; norms and biases stay f32.
        calibration: sample texts for int4; see `Recipe.calibration`.
        progress: called with what is being done and the fraction done of the whole build.

    Raises:
        ArtefactError: the checkpoint cannot be exported, or the calibration file is wrong.
        UnavailableError: the build tools are not installed.
    """
    progress("loading the build tools", 0.05)
    with _quiet():
        tools = load_toolchain()
        _write_tokenizer(tools, checkpoint, out_dir / TOKENIZER_FILE)
    samples = _calibration_tokens(calibration, out_dir / TOKENIZER_FILE) if calibration else None
    # Beside the target, not in /tmp: an f32 graph of 2 billion parameters is 8 GB.
    with tempfile.TemporaryDirectory(prefix=".export-", dir=out_dir) as export_dir:
        progress("exporting the graph", 0.15)
        with _quiet():
            graph = _export(tools, checkpoint, Path(export_dir))
        if precision is not Precision.F32:
            progress(f"compressing weights to {precision}", 0.5)
            with _quiet():
                graph = _compress(tools, graph, precision=precision, samples=samples)
        progress("writing the graph", 0.75)
        _openvino().save_model(graph, out_dir / MODEL_FILE, compress_to_fp16=False)
        del graph  # it maps the exported file, which goes with its folder


def _openvino() -> Any:
    from skilld.engine.no_egress import openvino

    return openvino


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep the tools' warnings, logs and progress bars off the terminal: ours are enough."""
    previous = logging.root.manager.disable
    logging.disable(logging.ERROR)
    try:
        with (
            warnings.catch_warnings(),
            contextlib.redirect_stdout(io.StringIO()),
            contextlib.redirect_stderr(io.StringIO()),
        ):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(previous)


def _write_tokenizer(tools: Toolchain, checkpoint: Checkpoint, path: Path) -> None:
    if checkpoint.has_fast_tokenizer:
        path.write_bytes((checkpoint.path / TOKENIZER_FILE).read_bytes())
        return
    try:
        slow = tools.transformers.AutoTokenizer.from_pretrained(
            checkpoint.path, local_files_only=True, trust_remote_code=False
        )
        slow.backend_tokenizer.save(str(path))
    except (ValueError, OSError, AttributeError, ImportError) as error:
        raise ArtefactError(
            f"its tokenizer cannot be converted to tokenizer.json: {error}",
            path=checkpoint.path,
            hint="convert it with transformers and copy tokenizer.json beside config.json",
            reason="NO_TOKENIZER",
        ) from error


def _export(tools: Toolchain, checkpoint: Checkpoint, export_dir: Path) -> Any:
    from optimum.intel import OVConfig

    try:
        model = tools.transformers.AutoModelForCausalLM.from_pretrained(
            checkpoint.path,
            dtype=tools.torch.float32,
            local_files_only=True,
            trust_remote_code=False,
            use_safetensors=True,
            attn_implementation="sdpa",
        )
        tools.convert.export_from_model(
            model.eval(),
            output=export_dir,
            task="text-generation-with-past",
            ov_config=OVConfig(dtype="fp32"),
            stateful=True,
        )
    except (ValueError, RuntimeError, KeyError, OSError, ImportError) as error:
        raise ArtefactError(
            f"cannot be exported: {error}",
            path=checkpoint.path,
            hint="does it load with transformers?",
            reason="BAD_CHECKPOINT",
        ) from error
    return _openvino().Core().read_model(export_dir / "openvino_model.xml")


def _compress(
    tools: Toolchain, graph: Any, *, precision: Precision, samples: list[list[int]] | None
) -> Any:
    nncf = tools.nncf
    if precision is Precision.INT8:
        # Symmetric, one scale per output channel: no zero points to subtract in the kernel.
        return nncf.compress_weights(graph, mode=nncf.CompressWeightsMode.INT8_SYM)
    adjust = nncf.AdvancedCompressionParameters(
        group_size_fallback_mode=nncf.GroupSizeFallbackMode.ADJUST
    )
    options: dict[str, Any] = {}
    if samples is not None:
        inputs = [_calibration_inputs(graph, tokens) for tokens in samples]
        options = {"dataset": nncf.Dataset(inputs), "awq": True, "scale_estimation": True}
    return nncf.compress_weights(
        graph,
        mode=nncf.CompressWeightsMode.INT4_SYM,
        group_size=_INT4_GROUP_SIZE,
        ratio=1.0,
        advanced_parameters=adjust,
        **options,
    )


def _calibration_inputs(graph: Any, tokens: list[int]) -> dict[str, Any]:
    import numpy as np

    row = np.array([tokens], dtype=np.int64)
    known = {
        "input_ids": row,
        "attention_mask": np.ones_like(row),
        "position_ids": np.arange(row.size, dtype=np.int64)[None],
        "beam_idx": np.zeros(1, dtype=np.int32),
    }
    return {port.get_any_name(): known[port.get_any_name()] for port in graph.inputs}


def _calibration_tokens(path: Path, tokenizer_path: Path) -> list[list[int]]:
    from tokenizers import Tokenizer

    try:
        lines = [line for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
        if path.suffix == ".jsonl":
            lines = [json.loads(line)["text"] for line in lines]
    except OSError as error:
        raise _bad_calibration(path, f"cannot be read: {error.strerror}") from error
    except (ValueError, KeyError, TypeError) as error:
        raise _bad_calibration(path, 'every line must be an object with a "text"') from error
    tokenizer = Tokenizer.from_file(str(tokenizer_path))
    samples = [
        tokenizer.encode(line).ids[:_CALIBRATION_TOKENS] for line in lines[:_CALIBRATION_SAMPLES]
    ]
    samples = [tokens for tokens in samples if tokens]
    if not samples:
        raise _bad_calibration(path, "holds no text")
    return samples


def _bad_calibration(path: Path, message: str) -> ArtefactError:
    return ArtefactError(message, path=path, reason="BAD_CALIBRATION")
