"""`check_grads` as jax.test_util has it, answered by the rule check: no step, no tolerance, no random direction."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from ...reference.case import InvalidInput
from .forward import ForwardMode, check_forward_rule
from .guarded import kinds
from .networks import names_of
from .numbers import NumbersReport
from .numbers import check_numbers as judged_numbers
from .rule import RuleReport, check_rule, warn_of_paths

MODES = ("fwd", "rev")


def check_grads(
    f: Callable[..., Any],
    args: Sequence[Any],
    order: int,
    modes: Sequence[str] | str = MODES,
    atol: float | None = None,
    rtol: float | None = None,
    eps: float | None = None,
    stopped: bool = False,
    surrogate: Any = (),
    numbers: bool = False,
) -> None:
    """Whether the derivatives of `f` up to this order are those of what it computes, exactly. As jax.test_util's.

    Args:
        args: a sequence of trees; every real number in them is differentiated, in any format: a rule has none
        order: 1 for the gradient, 2 for the gradient's gradient, …
        modes: "rev", "fwd", or both
        stopped: gradients that the code itself stops (stop_gradient) are meant to be
        surrogate: custom functions whose backward is meant as it is, or their names, in the gradient itself: see
            `backproof.verify_network`
        numbers: also judge each operation of a run of `f` and its gradient, as `check_numbers` does
        atol: accepted and unused, since nothing is approximated
        rtol: accepted and unused, since nothing is approximated
        eps: accepted and unused, since nothing is approximated

    Raises:
        WrongRule: with the report.
        WrongNumbers: likewise, of numbers.
        NotDecided: where nothing can be said.
        Unsupported: where an operation is not covered.
        InvalidInput: for an order or a mode that does not exist.
    """
    __tracebackhide__ = True
    modes = (modes,) if isinstance(modes, str) else tuple(modes)
    if any(mode not in MODES for mode in modes):
        raise InvalidInput(f'check_grads: modes: expected "fwd" and "rev", got {", ".join(map(str, modes))}.')
    if not isinstance(order, int) or order < 1:
        raise InvalidInput(f"check_grads: order: expected a whole number of 1 or more, got {order!r}.")
    if not isinstance(args, tuple | list):
        raise InvalidInput(f"check_grads: args: expected a tuple of the arguments, such as (x,), got {kinds([args])}.")
    for report in rules_of(f, args, order, modes, stopped, surrogate):
        report.raise_for_wrong()
        warn_of_paths(report)
    if numbers:
        check_numbers(f, args).raise_for_wrong()


def check_numbers(f: Callable[..., Any], args: Sequence[Any]) -> NumbersReport:
    """Whether every operation of one run, forward and backward, gave what it may of its own operands in its format.

    Args:
        args: as `check_grads`'s. Operations run one by one, uncompiled

    Raises:
        Unsupported: where one is not covered.
    """
    from ...adapters.jax_grad import enable_x64
    from ...adapters.jax_program.subject import JaxSubject, wide

    with enable_x64(wide(tuple(args))):
        return judged_numbers(JaxSubject(f, tuple(args)))


def rules_of(
    f: Callable[..., Any],
    args: Sequence[Any],
    order: int = 1,
    modes: Sequence[str] = ("rev",),
    stopped: bool = False,
    surrogate: Any = (),
) -> list[RuleReport]:
    """A report for each order and mode."""
    from ...adapters.jax_grad import enable_x64
    from ...adapters.jax_program.subject import wide

    function, given = f, tuple(args)
    with enable_x64(wide(given)):
        return _reports(function, given, order, modes, stopped, surrogate)


def _reports(
    function: Callable[..., Any],
    given: tuple[Any, ...],
    order: int,
    modes: Sequence[str],
    stopped: bool,
    surrogate: Any,
) -> list[RuleReport]:
    from ...adapters.jax_program.subject import JaxSubject

    reports = []
    for k in range(order):
        if k:
            function, given = gradient_of(function, given)
        subject = JaxSubject(function, given, surrogates=frozenset() if k else names_of(surrogate))
        if not subject.names:
            raise InvalidInput(
                "check_grads: expected at least one real number in the arguments, to differentiate by; "
                f"got {kinds(subject.leaves)}."
            )
        if "rev" in modes:
            reports.append(check_rule(subject, stopped))
        if "fwd" in modes:
            reports.append(check_forward_rule(forward_of(function, given, subject)))
    return reports


def gradient_of(function: Callable[..., Any], args: Sequence[Any]) -> tuple[Callable[..., Any], tuple[Any, ...]]:
    """Its pullback as a function of the arguments and of what arrives, and arguments to call it with."""
    import jax
    import numpy as np

    from ...adapters.jax_program.capture import differentiable, numbers_shape, of_pairs

    given, tree_of_args = jax.tree.flatten(tuple(args))
    arrays = [k for k, x in enumerate(given) if isinstance(x, bool | int | float) or hasattr(x, "dtype")]

    def of_arrays(*own: Any) -> Any:
        """The function of its arrays alone: words and functions are no inputs of JAX's."""
        filled = dict(zip(arrays, own, strict=True))
        result = function(*jax.tree.unflatten(tree_of_args, [filled.get(k, x) for k, x in enumerate(given)]))
        return [x for x in jax.tree.leaves(result) if hasattr(x, "dtype") or isinstance(x, float)]

    outputs = jax.eval_shape(of_arrays, *(given[k] for k in arrays))
    leaves, tree = jax.tree.flatten(outputs)
    generator = np.random.default_rng(11)
    arriving = [
        of_pairs(generator.standard_normal(numbers_shape(x)), x.dtype)
        if jax.numpy.issubdtype(x.dtype, jax.numpy.inexact)
        else np.zeros(x.shape, jax.dtypes.float0)
        for x in leaves
    ]

    def pulled_back(*given: Any) -> Any:
        *own, arrived = given
        return [
            g
            for g in jax.tree.leaves(jax.vjp(of_arrays, *own)[1](jax.tree.unflatten(tree, arrived)))
            if differentiable(g)
        ]

    pulled_back.__name__ = f"the gradient of {getattr(function, '__name__', type(function).__name__)}"
    return pulled_back, (*(given[k] for k in arrays), arriving)


def forward_of(function: Callable[..., Any], args: Sequence[Any], subject: Any) -> ForwardMode:
    """The outputs and what forward mode says of them."""
    import jax
    import numpy as np

    from ...adapters.jax_program.capture import as_pairs, capture, differentiable, of_pairs

    leaves, tree = jax.tree.flatten(tuple(args))
    places = [k for k, x in enumerate(leaves) if differentiable(x)]
    formats = [jax.dtypes.canonicalize_dtype(np.asarray(leaves[k]).dtype) for k in places]

    def both(points: Any, tangents: Any) -> Any:
        def at(*differentiated: Any) -> Any:
            filled = list(leaves)
            for k, x in zip(places, differentiated, strict=True):
                filled[k] = x
            found = jax.tree.leaves(function(*jax.tree.unflatten(tree, filled)))
            return [y for y in found if differentiable(y)]

        return jax.jvp(at, tuple(points), tuple(tangents))

    def captured(seed: int) -> Any:
        generator = np.random.default_rng([seed, 3])
        points = [as_pairs(np.asarray(leaves[k]).astype(d)) for k, d in zip(places, formats, strict=True)]
        away = [
            x * (1 + 0.2 * seed * generator.uniform(-1, 1, x.shape)) + 0.02 * seed * generator.standard_normal(x.shape)
            for x in points
        ]
        moved = [of_pairs(x, d) for x, d in zip(away, formats, strict=True)]
        tangents = [of_pairs(generator.standard_normal(x.shape), d) for x, d in zip(points, formats, strict=True)]
        return capture(both, (moved, tangents), seed)

    compiled = jax.jit(both)

    def along(values: Sequence[Any], tangents: Sequence[Any]) -> tuple[list[Any], list[Any]]:
        points = [np.asarray(x).astype(d) for x, d in zip(values, formats, strict=True)]
        moving = [np.asarray(t).astype(d) for t, d in zip(tangents, formats, strict=True)]
        try:
            found, moved = compiled(points, moving)
        except jax.errors.ConcretizationTypeError:  # Python decides by a number
            found, moved = both(points, moving)
        return [np.asarray(x, dtype=np.float64) for x in found], [np.asarray(x, dtype=np.float64) for x in moved]

    return ForwardMode(subject.name, subject.names, subject.start, subject.roundoff, captured, along)
