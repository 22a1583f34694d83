"""Special functions of statistics, element by element, and the identity. Entries as in `elementwise.py`.

Formulas by number: NIST Digital Library of Mathematical Functions.
"""

from __future__ import annotations

from flint import arb

from .elementwise import Apply, _by_ball, entry, exp, lgamma, log, log1p

# of x alone, or of x and y: a sum x to whose other terms an implementation may have added the term y first (`Bounds`)
identity = entry("identity", lambda x, *y: x, lambda x, *y: x, lambda g, out, x, *y: (g, *(None for _ in y)))


def _ball_igamma_grad_a(a: arb, x: arb) -> arb:
    """∂P/∂a, term by term of P(a, x) = Σ xᵃ⁺ⁿ e⁻ˣ/Γ(a+n+1) (8.7.1). From n > 2x the terms fall faster than 2⁻ⁿ,
    even with log x − ψ, which grows more slowly than n."""
    total, logarithm = arb(0), x.log()
    term = (a * logarithm - x - (a + 1).lgamma()).exp()
    for n in range(100_000):
        part = term * (logarithm - (a + n + 1).digamma())
        total += part
        if n > 4 * float(x) + 16 and abs(part) < abs(total) * arb(2) ** -1100:
            return total + 4 * part * arb(0, 1)
        term = term * x / (a + n + 1)
    return arb("nan")


igamma_grad_a = entry(
    "igamma_grad_a", _by_ball(_ball_igamma_grad_a), _ball_igamma_grad_a, lambda g, out, a, x: (None, None), "8.7.1"
)
igamma = entry(
    "igamma",
    _by_ball(lambda a, x: x.gamma_lower(a, regularized=1)),
    lambda a, x: x.gamma_lower(a, regularized=1),
    lambda g, out, a, x: (g * igamma_grad_a(a, x), g * exp((a - 1) * log(x) - x - lgamma(a))),
    "P(a, x); 8.2.4, 8.8.13",
)
igammac = entry(
    "igammac",
    _by_ball(lambda a, x: x.gamma_upper(a, regularized=1)),
    lambda a, x: x.gamma_upper(a, regularized=1),
    lambda g, out, a, x: (-(g * igamma_grad_a(a, x)), -(g * exp((a - 1) * log(x) - x - lgamma(a)))),
    "Q(a, x) = 1 − P(a, x); 8.2.4, 8.8.13",
)
zeta: Apply = entry(
    "zeta",
    _by_ball(lambda s, q: s.zeta(q)),
    lambda s, q: s.zeta(q),
    lambda g, out, s, q: (None, -(g * s * zeta(s + 1, q))),
    "Hurwitz's; 25.11.17",
)
incomplete_beta = entry(
    "incomplete_beta",
    _by_ball(lambda a, b, x: x.beta_lower(a, b, regularized=True)),
    lambda a, b, x: x.beta_lower(a, b, regularized=True),
    lambda g, out, a, b, x: (
        None,
        None,
        g * exp((a - 1) * log(x) + (b - 1) * log1p(-x) + lgamma(a + b) - lgamma(a) - lgamma(b)),
    ),
    "Iₓ(a, b); 8.17.1",
)
