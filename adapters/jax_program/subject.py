"""A JAX function, as the rule check runs it: at other points, traced, or as it really is."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import jax
import numpy as np
from numpy.typing import NDArray

from ...reference.case import InvalidInput
from ...reference.judging import JudgedRun, undecided_by_choice
from ...reference.programs import Captured, Value, depending
from ..jax_grad import enable_x64
from .capture import capture, differentiable
from .choices import Choices
from .complex_numbers import as_pairs, is_complex, numbers_shape, of_pairs
from .judged import JudgingInterpreter
from .witness import witness

Array = NDArray[Any]
WIDE = 2.0**-53  # float64's unit roundoff
WEIGHTS = 7  # the seed of the fixed random c of Σ c · output


class JaxSubject:
    """`function(*inputs)`, differentiated by every real number in its inputs, which may be trees."""

    def __init__(
        self,
        function: Callable[..., Any],
        inputs: Sequence[Any],
        keywords: Mapping[str, Any] | None = None,
        loss: Callable[[Any], Any] | None = None,
        surrogates: frozenset[str] = frozenset(),
        reference: Callable[..., Any] | None = None,
    ) -> None:
        if not callable(function):
            raise InvalidInput(f"expected a function, got {type(function).__name__}.")

        if reference is not None and not callable(reference):
            raise InvalidInput("reference: expected a function of the same inputs.")

        def with_loss(inner: Callable[..., Any]) -> Callable[..., Any]:
            def called(*given: Any) -> Any:
                result = inner(*given, **(keywords or {}))
                return result if loss is None else loss(result)

            return called

        called = with_loss(function)
        self.reference = None if reference is None else with_loss(reference)
        self.jitted = hasattr(function, "lower")
        self.called, self.keywords, self.loss = function, dict(keywords or {}), loss
        self.function, self.given, self.surrogates = called, tuple(inputs), surrogates
        paths, self.tree = jax.tree_util.tree_flatten_with_path(tuple(inputs))
        self.leaves = [leaf for _, leaf in paths]
        self.owners = [path[0].idx for path, _ in paths]  # of each leaf, the input that it is in
        for path, leaf in paths:
            _accept(_named(path), leaf)
        self.places = [k for k, leaf in enumerate(self.leaves) if differentiable(leaf)]
        self.name = getattr(function, "__name__", None) or type(function).__name__
        self.names = [_named(paths[k][0]) for k in self.places]
        self.start = [as_pairs(self.leaves[k]) for k in self.places]
        self.moved = len(self.places)
        self.wide = wide(inputs)
        formats = [np.asarray(self.leaves[k]).dtype for k in self.places]
        self.formats = [d if self.wide else _narrow(d) for d in formats]
        self.roundoff = max((_roundoff(d) for d in self.formats), default=WIDE)
        self._known: Sequence[Any] | None = None  # the outputs' shapes
        self._compiled: Any = jax.jit(self._gradients)

    def widened(self) -> JaxSubject | None:
        """The same in float64; None where it is that already."""
        if self.roundoff == WIDE:
            return None

        def wide(x: Any) -> Any:
            if not differentiable(x):
                return x
            return np.asarray(x).astype(np.complex128 if is_complex(x) else np.float64)

        subject = JaxSubject(
            self.function, jax.tree.map(wide, self.given), surrogates=self.surrogates, reference=self.reference
        )
        subject.name = self.name
        return subject

    def of_reference(self) -> JaxSubject:
        """The reference in the function's place."""
        assert self.reference is not None
        return JaxSubject(self.reference, self.given)

    def capture(self, values: Sequence[Array], seed: int) -> Captured:
        """See `capture.capture`. values: of the differentiated leaves."""
        return capture(
            self.function, self._at(values), seed, self.run, surrogates=self.surrogates, reference=self.reference
        )

    def resized(self, lengths: Mapping[int, int]) -> JaxSubject | None:
        """The same of arrays whose dimensions of these lengths are cut; None where it has a reference."""
        if self.reference is not None:
            return None

        def cut(x: Any) -> Any:
            return x[tuple(slice(lengths.get(n, n)) for n in x.shape)] if hasattr(x, "shape") else x

        inputs = jax.tree.map(cut, self.given)
        return JaxSubject(self.called, inputs, self.keywords, self.loss, self.surrogates)

    def symmetric(self) -> JaxSubject | None:
        """The same of (X + Xᵀ)/2 for each input X that is symmetric; None where none is."""
        found = [k for k in self.places if _is_symmetric(np.asarray(self.leaves[k]))]
        if not found or self.reference is not None:
            return None

        def halved(*given: Any) -> Any:
            leaves = jax.tree.leaves(given)
            for k in found:
                leaves[k] = (leaves[k] + jax.numpy.swapaxes(leaves[k], -1, -2)) / 2
            return self.function(*jax.tree_util.tree_unflatten(self.tree, leaves))

        subject = JaxSubject(halved, self.given, surrogates=self.surrogates)
        subject.name = self.name
        return subject

    def witness(
        self, values: Sequence[Array], gradient: int, index: Sequence[int], output: int, at: Sequence[int]
    ) -> tuple[list[str], str] | None:
        """See `witness.witness`."""
        return witness(self, values, gradient, index, output, at)

    def judged(self) -> JudgedRun:
        """One run at the inputs given, equation by equation, uncompiled, each of it judged; of a function under
        `jax.jit` what its compiled code gives as well, as a whole."""
        readers: list[JudgingInterpreter] = []

        def reader(*given: Any) -> JudgingInterpreter:
            readers.append(JudgingInterpreter(*given))
            return readers[0]

        run = self.run if self.jitted else None
        captured = capture(self.function, self._at(self.start), 0, run, reader=reader)
        judged = readers[0].judged
        results = [Value(captured.program, call.line) for call in judged]
        back = depending(results, captured.cotangents)
        judged[:] = [replace(call, backward=call.line in back) for call in judged]
        if self.jitted:
            names = [f"output {k}" for k in range(len(captured.outputs))] + [f"gradient of {n}" for n in self.names]
            calls = readers[0].as_a_whole([*captured.outputs, *captured.gradients], names, captured.ran)
            readers[0].judged += undecided_by_choice(calls, self._choices)
        return JudgedRun(tuple(readers[0].judged), tuple(readers[0].taken), tuple(readers[0].notes))

    def _choices(self, roundings: float, seed: int) -> list[bytes]:
        """What a run chooses by numbers, each result moved by up to so many roundings."""
        readers: list[Choices] = []

        def reader(*given: Any) -> Choices:
            readers.append(Choices(*given, moving=np.random.default_rng(seed), roundings=roundings))
            return readers[0]

        capture(self.function, self._at(self.start), 0, reader=reader)
        return readers[0].choices

    def value_and_gradient(self, values: Sequence[Array]) -> tuple[float, list[Array]]:
        """Σ c · output with fixed random c, and its gradient, as JAX runs it."""
        with enable_x64(self.wide):
            given = [jax.numpy.asarray(of_pairs(v, d)) for v, d in zip(values, self.formats, strict=True)]
            generator = np.random.default_rng(WEIGHTS)
            shapes = self._shapes(given)
            drawn = [np.asarray(generator.standard_normal(numbers_shape(y))) for y in shapes]
            weights = [of_pairs(w, y.dtype, conjugate=True) for w, y in zip(drawn, shapes, strict=True)]
            results, gradients = self.run(given, [jax.numpy.asarray(w) for w in weights])
            pairs = zip(results, weights, strict=True)
            total = sum(float((as_pairs(y) * as_pairs(w, conjugate=True)).sum()) for y, w in pairs)
            return total, [as_pairs(g, conjugate=True) for g in gradients]

    @property
    def part(self) -> None:
        """JAX asks for everything, and gives every output a cotangent."""

    def run(self, differentiated: Sequence[Any], cotangents: Sequence[Any]) -> Any:
        """Outputs and gradients, by compiled code; by the interpreter, where Python decides by a number."""
        try:
            return self._compiled(differentiated, cotangents)
        except jax.errors.ConcretizationTypeError:
            self._compiled = self._gradients
            return self._compiled(differentiated, cotangents)

    def _shapes(self, given: Sequence[Any]) -> Sequence[Any]:
        """What has the outputs' shapes and formats."""
        if self._known is None:
            try:
                self._known = jax.eval_shape(self._outputs, *given)
            except jax.errors.ConcretizationTypeError:
                return self._outputs(*given)
        return self._known

    def _outputs(self, *differentiated: Any) -> list[Any]:
        found = jax.tree.leaves(self.function(*self._filled(differentiated)))
        return [y for y in found if differentiable(y)]

    def _gradients(self, differentiated: Sequence[Any], cotangents: Sequence[Any]) -> Any:
        values, back = jax.vjp(self._outputs, *differentiated)
        return values, back(list(cotangents))

    def _at(self, values: Sequence[Array]) -> tuple[Any, ...]:
        return self._filled([of_pairs(v, d) for v, d in zip(values, self.formats, strict=True)])

    def _filled(self, differentiated: Sequence[Any]) -> tuple[Any, ...]:
        leaves = list(self.leaves)
        for k, x in zip(self.places, differentiated, strict=True):
            leaves[k] = x
        return tuple(jax.tree_util.tree_unflatten(self.tree, leaves))


def wide(inputs: Any) -> bool:
    """Whether float64 is meant: it is switched on, or an array comes in it."""
    arrays = [leaf for leaf in jax.tree.leaves(inputs) if hasattr(leaf, "dtype")]
    return bool(jax.config.jax_enable_x64) or any(leaf.dtype in (np.float64, np.complex128) for leaf in arrays)


def _accept(name: str, leaf: Any) -> None:
    """Raises InvalidInput for an array without numbers."""
    if isinstance(leaf, jax.ShapeDtypeStruct):
        raise InvalidInput(f"{name}: expected numbers, got a ShapeDtypeStruct, which has none.")
    if isinstance(leaf, jax.Array) and not isinstance(leaf, jax.core.Tracer) and leaf.is_deleted():
        raise InvalidInput(f"{name}: its numbers are gone: the array was deleted, or donated to a compiled function.")


def _is_symmetric(array: Array) -> bool:
    square = array.ndim > 1 and array.shape[-1] == array.shape[-2] > 1
    return square and np.array_equal(array, np.swapaxes(array, -1, -2))


def _named(path: Sequence[Any]) -> str:
    """`input 0`, and below it the keys of the tree: input 0['w']."""
    return f"input {path[0].idx}" + jax.tree_util.keystr(tuple(path[1:]))


def _narrow(dtype: Any) -> Any:
    """Of what JAX makes of it where float64 is not meant."""
    return np.dtype({np.dtype(np.float64): np.float32, np.dtype(np.complex128): np.complex64}.get(dtype, dtype))


def _roundoff(dtype: Any) -> float:
    return float(jax.numpy.finfo(dtype).eps) / 2
