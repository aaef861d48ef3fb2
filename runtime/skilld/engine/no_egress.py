"""The one door through which skilld imports OpenVINO.

OpenVINO's dependency `openvino-telemetry` reports every `import openvino` to an analytics host.
A `None` in `sys.modules` makes that import fail, and OpenVINO then uses its own silent stub. So
nothing but this module imports `openvino` directly:

    from skilld.engine.no_egress import openvino as ov
"""

import sys

# A None here makes `import openvino_telemetry` raise ImportError, which OpenVINO expects.
sys.modules["openvino_telemetry"] = None  # type: ignore[assignment]

import openvino  # noqa: E402 - must follow the line above
from openvino._offline_transformations import (  # noqa: E402
    paged_attention_transformation,
)

__all__ = ["openvino", "paged_attention_transformation"]
