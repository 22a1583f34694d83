"""The reference on a case in certified balls: the exact numbers, and how far they may be from what is shown of them."""

from __future__ import annotations

from flint import ctx

from ..backprop import RULES, Rules
from ..case import Case, Step, run
from ..numbers import BITS, CertifiedArithmetic


def certified(case: Case, rules: Rules = RULES, bits: int = BITS) -> Step:
    """The reference on a case in balls of `bits` bits; its matrices are `arb_mat`."""
    with ctx.workprec(bits):
        return run(case, CertifiedArithmetic(), rules)
