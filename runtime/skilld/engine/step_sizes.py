"""`StepSizes`: how many tokens a step computes, so that its size changes seldom.

The runtime prepares every layer anew when the number of tokens of a step differs from that of the
step before: for a nano engine as much work as the step itself, and ten times that for a number it
has not seen lately. A few tokens too many cost less. The sizes of prefills and of steps with
forced or guessed tokens would otherwise differ every time.
"""

from __future__ import annotations

from typing import Final

from skilld.core.manifest import Geometry

# In microseconds, measured on 2 cores for 5 M parameters and estimated for larger models. Only
# the ratio counts.
_PREPARE_US_PER_LAYER: Final = 140.0
_TOKEN_US: Final = 30.0
_TOKEN_US_PER_PARAMETER: Final = 1.4e-6
# Of a large step: what padding it to a round number may cost at most.
_MAX_PADDED_SHARE: Final = 1 / 16


class StepSizes:
    """Chooses by how much to lengthen each step.

    A size is kept until the tokens wasted on it would have paid for preparing another one.

    Args:
        geometry: of the model, from which both costs are estimated.
    """

    def __init__(self, geometry: Geometry) -> None:
        token_us = _TOKEN_US + _TOKEN_US_PER_PARAMETER * geometry.num_parameters
        self._max_waste = int(_PREPARE_US_PER_LAYER * geometry.num_layers / token_us)
        self._size = 0
        self._waste = 0

    def padding(self, num_tokens: int, room: int) -> int:
        """Tokens to add to a step.

        Args:
            num_tokens: that it must compute.
            room: most that can be added.
        """
        padding = self._size - num_tokens
        if 0 <= padding <= room and self._waste + padding <= self._max_waste:
            self._waste += padding
            return padding
        grain = max(self._max_waste // 2, int(num_tokens * _MAX_PADDED_SHARE), 1)
        grain = 1 << (grain.bit_length() - 1)
        size = min(-(-num_tokens // grain) * grain, 1 << (num_tokens - 1).bit_length())
        padding = size - num_tokens if size <= num_tokens + room else 0
        self._size = num_tokens + padding
        self._waste = 0
        return padding
