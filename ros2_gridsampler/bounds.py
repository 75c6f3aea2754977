# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""A config whose fields say their bounds -> nothing, or which number is outside of them."""

import math
from dataclasses import fields
from typing import Any


def check_bounds(config: Any) -> None:
    """Hold every number of a config against its field's metadata.

    A field may hold 'minimum', 'above' (a minimum that is itself too small) and 'maximum'.

    Raises:
        ValueError: Names every number that is not finite or is out of bounds.
    """
    wrong = []
    for field in fields(config):
        value, bounds = getattr(config, field.name), field.metadata
        if isinstance(value, bool) or not isinstance(value, int | float):
            continue
        low, above, high = (bounds.get(key) for key in ('minimum', 'above', 'maximum'))
        inside = (
            math.isfinite(value)
            and (low is None or value >= low)
            and (above is None or value > above)
            and (high is None or value <= high)
        )
        if not inside:
            lower = f'at least {low}' if above is None else f'more than {above}'
            upper = '' if high is None else f' and at most {high}'
            expected = lower + upper if (low, above) != (None, None) else 'a finite number'
            wrong.append(f'{field.name} is {value}, expected {expected}')
    if wrong:
        raise ValueError('; '.join(wrong))
