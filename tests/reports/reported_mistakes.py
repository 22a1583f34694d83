"""Gradient mistakes that people have reported, and right code that was accused of one; each in our own few lines.

`REPORTED` are 28 public reports; those with `held_out` are of the same kinds, written from what is commonly known of
such mistakes by somebody who had not seen what the diagnosis can say. `words`: of these a right diagnosis of a wrong
function has at least one.
"""

from __future__ import annotations

from dataclasses import replace

from held_out_right import HELD_OUT_RIGHT
from held_out_wrong import HELD_OUT_WRONG
from public_mistakes import PUBLIC

REPORTED = (*PUBLIC, *(replace(case, held_out=True) for case in HELD_OUT_RIGHT + HELD_OUT_WRONG))
