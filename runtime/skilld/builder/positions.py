"""Hybrid decoders must take their positions as an input.

optimum-intel exports hybrids so that the graph counts positions by itself, from the length of
one sequence. In a ragged batch there is no such sequence: after the paged transformation every
token would believe to be the first of its step, and nothing would say so. Pure decoders get
`position_ids` as an input already; this gives it to the hybrids.
"""

from __future__ import annotations

import functools
from typing import Any


def take_positions(export_config: Any) -> None:
    """Change an export configuration class of optimum-intel to have a `position_ids` input.

    Args:
        export_config: a class whose patcher calls `model_orig_forward`, as the hybrids' do.
    """
    if getattr(export_config, "takes_positions", False):
        return
    original_inputs = export_config.inputs

    class Patcher(export_config._MODEL_PATCHER):  # type: ignore[misc]  # noqa: SLF001
        """The family's own patcher, handing positions on to the model."""

        patched_forward: Any
        model_orig_forward: Any
        orig_forward: Any

        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **kwargs)
            patched = self.patched_forward
            original = self.model_orig_forward

            def forward(
                input_ids: Any,
                attention_mask: Any = None,
                position_ids: Any = None,
                cache_params: Any = None,
            ) -> Any:
                self.model_orig_forward = functools.partial(original, position_ids=position_ids)
                try:
                    return patched(
                        input_ids, attention_mask=attention_mask, cache_params=cache_params
                    )
                finally:
                    self.model_orig_forward = original

            self.patched_forward = self.orig_forward = forward

    def inputs(self: Any) -> dict[str, dict[int, str]]:
        known = dict(original_inputs.fget(self))
        axes = {0: "batch_size", 1: "sequence_length"}
        return {"input_ids": known.pop("input_ids"), "position_ids": axes, **known}

    export_config.inputs = property(inputs)
    export_config._MODEL_PATCHER = Patcher  # noqa: SLF001
    export_config.takes_positions = True
