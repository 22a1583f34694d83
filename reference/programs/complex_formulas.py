"""Functions of complex numbers, by their real and imaginary parts: for the adapters, in a framework's own functions.

A number is a pair of parts, each an array or a plain number; a part that is the number 0 costs nothing.
Source: Abramowitz and Stegun, Handbook of Mathematical Functions (1964), sections 3.7 and 4.3.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

Parts = tuple[Any, Any]


def nothing(x: Any) -> bool:
    """Whether a part is the number 0."""
    return isinstance(x, int | float) and x == 0


def _product(x: Any, y: Any) -> Any:
    return 0 if nothing(x) or nothing(y) else x * y


def plus(x: Any, y: Any) -> Any:
    """Of two parts."""
    return y if nothing(x) else x if nothing(y) else x + y


def minus(x: Any, y: Any) -> Any:
    """Of two parts."""
    return x if nothing(y) else -y if nothing(x) else x - y


def conjugate(z: Parts) -> Parts:
    """x − iy."""
    return z[0], z[1] if nothing(z[1]) else -z[1]


def times(z: Parts, w: Parts) -> Parts:
    """(a + ib)(c + id), 3.7.10."""
    (a, b), (c, d) = z, w
    return minus(_product(a, c), _product(b, d)), plus(_product(a, d), _product(b, c))


def over(z: Parts, w: Parts) -> Parts:
    """3.7.13."""
    if nothing(w[1]):
        return z[0] if nothing(z[0]) else z[0] / w[0], z[1] if nothing(z[1]) else z[1] / w[0]
    (real, imaginary), size = times(z, conjugate(w)), squared_size(w)
    return real / size, imaginary / size


def squared_size(z: Parts) -> Any:
    """x² + y²."""
    return plus(_product(z[0], z[0]), _product(z[1], z[1]))


def whole_power(z: Parts, exponent: int) -> Parts:
    """zⁿ, multiplied out."""
    result: Parts = (1, 0)
    for _ in range(abs(exponent)):
        result = times(result, z)
    return result if exponent >= 0 else over((1, 0), result)


def exponential(z: Parts, library: Any) -> Parts:
    """4.3.47."""
    size = library.exp(z[0])
    return size * library.cos(z[1]), size * library.sin(z[1])


def logarithm(z: Parts, library: Any) -> Parts:
    """4.1.2."""
    return library.log(squared_size(z)) / 2, library.arctan2(z[1], z[0])


def power(z: Parts, exponent: float, library: Any) -> Parts:
    """z^p for a real p, 3.7.26."""
    size, angle = library.sqrt(squared_size(z)) ** exponent, library.arctan2(z[1], z[0]) * exponent
    return size * library.cos(angle), size * library.sin(angle)


def direction(z: Parts, library: Any) -> Parts:
    """z / |z|, and 0 at 0."""
    size = library.sqrt(squared_size(z))
    safe = library.where(size == 0, library.ones_like(size), size)
    return z[0] / safe, z[1] / safe


def functions(library: Any) -> dict[str, Callable[[Parts], Parts]]:
    """Of one complex number, in the functions of `library`, such as `torch` or `jax.numpy`: 4.3.55, 4.3.56, 4.5.49 and
    4.5.50, and what is made of them."""

    def sine(z: Parts) -> Parts:
        x, y = z
        return library.sin(x) * library.cosh(y), library.cos(x) * library.sinh(y)

    def cosine(z: Parts) -> Parts:
        x, y = z
        return library.cos(x) * library.cosh(y), -library.sin(x) * library.sinh(y)

    def hyperbolic_sine(z: Parts) -> Parts:
        x, y = z
        return library.sinh(x) * library.cos(y), library.cosh(x) * library.sin(y)

    def hyperbolic_cosine(z: Parts) -> Parts:
        x, y = z
        return library.cosh(x) * library.cos(y), library.sinh(x) * library.sin(y)

    def logistic(z: Parts) -> Parts:
        real, imaginary = exponential((-z[0], -z[1]), library)
        return over((1, 0), (1 + real, imaginary))

    def less_one(z: Parts) -> Parts:
        real, imaginary = exponential(z, library)
        return real - 1, imaginary

    return {
        "conjugate": conjugate,
        "reciprocal": lambda z: over((1, 0), z),
        "square": lambda z: times(z, z),
        "exp": lambda z: exponential(z, library),
        "expm1": less_one,
        "exp2": lambda z: exponential((z[0] * math.log(2), z[1] * math.log(2)), library),
        "log": lambda z: logarithm(z, library),
        "log1p": lambda z: logarithm((1 + z[0], z[1]), library),
        "log2": lambda z: over(logarithm(z, library), (math.log(2), 0)),
        "log10": lambda z: over(logarithm(z, library), (math.log(10), 0)),
        "sqrt": lambda z: power(z, 0.5, library),
        "rsqrt": lambda z: power(z, -0.5, library),
        "sin": sine,
        "cos": cosine,
        "tan": lambda z: over(sine(z), cosine(z)),
        "sinh": hyperbolic_sine,
        "cosh": hyperbolic_cosine,
        "tanh": lambda z: over(hyperbolic_sine(z), hyperbolic_cosine(z)),
        "sigmoid": logistic,
    }
