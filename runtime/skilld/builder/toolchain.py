"""The one door to torch, transformers, optimum-intel and NNCF (the `[build]` extra).

Nothing outside a build may need them, so they are imported here, when a build starts, and in an
order that matters:

- no network: the hub client reads its environment when it is first imported;
- no torchvision: optimum-intel depends on it, decoders do not need it, and one that does not fit
  the installed torch breaks every import of transformers;
- no version caps that do not hold: of the releases of transformers only 5.4.0 exports all our
  families (see DECISIONS.md), and optimum-intel refuses two of them there for reasons that do not
  apply to the text models. The parity tests are the proof.
"""

from __future__ import annotations

import os
import sys
from types import ModuleType
from typing import Final, NamedTuple

from skilld.builder.positions import take_positions
from skilld.core.errors import UnavailableError

TOOLS: Final = ("nncf", "openvino", "optimum-intel", "torch", "transformers")


class Toolchain(NamedTuple):
    """The imported modules."""

    torch: ModuleType
    transformers: ModuleType
    convert: ModuleType
    nncf: ModuleType


def load_toolchain() -> Toolchain:
    """Import the build tools, ready to export without a network.

    Raises:
        UnavailableError: they are not installed.
    """
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    sys.modules.setdefault("torchvision", None)  # type: ignore[arg-type]
    import skilld.engine.no_egress  # noqa: F401 - before anything imports openvino

    try:
        import nncf
        import torch
        import transformers
        from optimum.exporters.openvino import convert, model_configs
    except ImportError as error:
        raise UnavailableError(
            f"building needs the build tools ({error.name} is missing): "
            "pip install 'skilld[build]'",
            reason="NO_BUILD_TOOLS",
        ) from error
    # The cap comes with the first Gemma's configuration, the floor with its reference cache.
    model_configs.Gemma3TextOpenVINOConfig.MAX_TRANSFORMERS_VERSION = None
    model_configs.GraniteMoeHybridOpenVINOConfig.MIN_TRANSFORMERS_VERSION = None
    for hybrid in ("GraniteMoeHybridOpenVINOConfig", "LFM2OpenVINOConfig"):
        take_positions(getattr(model_configs, hybrid))
    return Toolchain(torch=torch, transformers=transformers, convert=convert, nncf=nncf)
