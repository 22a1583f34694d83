"""A PyTorch function or module, as the rule check runs it: at other points, captured, or as it really is."""

from __future__ import annotations

import copy
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, fields, is_dataclass, replace
from functools import cached_property
from typing import Any, TypeAlias, cast

import numpy as np
import torch
import torch.utils._pytree as pytree
from numpy.typing import NDArray
from torch.nn.parameter import UninitializedTensorMixin
from torch.overrides import TorchFunctionMode

from ...reference.case import InvalidInput
from ...reference.judging import JudgedRun, undecided_by_choice
from ...reference.programs import Captured, Unsupported
from .by_hooks import gradients_and_added, gradients_of, hooked_as
from .call import real
from .capture import array, capture, differentiable, numbers_shape, tensor_of
from .choices import Choices
from .judged import JudgingRecorder
from .witness import witness

Array = NDArray[Any]
Tensor: TypeAlias = Any  # torch.Tensor: types are checked without PyTorch
WIDE = 2.0**-53  # float64's unit roundoff
WEIGHTS = 7  # the seed of the fixed random c of Σ c · output


@dataclass(frozen=True)
class Part:
    """outputs: how many require a gradient;  gradients: None for what was not asked for, or did not come
    added: those that a backward adds to `.grad` by itself
    """

    outputs: int
    gradients: list[Array | None]
    added: frozenset[int]


class TorchSubject:
    """`function(*inputs)`, differentiated by its inputs that require a gradient and by a module's parameters.

    The module is copied, so that trials leave it as it was. Random numbers are drawn from the same seed every time.
    """

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
            raise InvalidInput(f"expected a function or a module, got {type(function).__name__}.")
        module = _copied(function) if isinstance(function, torch.nn.Module) else None
        self.function: Any = function if module is None else module
        self.inputs, self.keywords, self.loss = tuple(inputs), dict(keywords or {}), loss
        self.surrogates, self.reference = surrogates, reference
        if reference is not None and (module is not None or not callable(reference)):
            raise InvalidInput(
                "reference: expected a function of the same inputs, beside a function that is no module."
            )
        self.parameters: dict[str, Tensor] = (
            {} if module is None else {name: p for name, p in module.named_parameters() if p.requires_grad}
        )
        paths, self.tree = pytree.tree_flatten_with_path(self.inputs)
        self.leaves = [leaf for _, leaf in paths]
        self.owners = [path[0].idx for path, _ in paths]
        for path, leaf in paths:
            _accept(_named(path), leaf)
        for name, parameter in self.parameters.items():
            _accept(name, parameter)
        originals = dict(cast("Any", function).named_parameters()) if module is not None else {}
        self.aside = [
            f"{name}: {said}" for name, p in self.parameters.items() if (said := hooked_as(p, originals[name]))
        ]
        self.compiled = hasattr(function, "_torchdynamo_orig_callable")
        self.places = [k for k, x in enumerate(self.leaves) if differentiable(x) and x.requires_grad]
        leaves = [self.leaves[k] for k in self.places] + list(self.parameters.values())
        owner = getattr(function, "__self__", None)  # of Function.apply, the function's class
        self.name = getattr(owner, "__name__", None) or getattr(function, "__name__", None) or type(function).__name__
        self.names = [_named(paths[k][0]) for k in self.places] + list(self.parameters)
        self._starts = leaves
        self.moved = len(self.places)
        formats = [x.dtype for x in leaves]
        self.roundoff = max((torch.finfo(d).eps / 2 for d in formats), default=WIDE)
        self.seed = 0
        self.used: list[int] = []  # of the tensors that it returns, those that require a gradient
        self.widens = False  # what is in another format than float64, where a product takes one format alone

    @cached_property
    def start(self) -> list[Array]:
        """The numbers of what is differentiated, at the user's own point."""
        return [array(x) for x in self._starts]

    def finite(self) -> bool:
        """Whether they are all finite."""
        wide = (
            x.detach() if x.element_size() >= 4 else x.detach().float() for x in self._starts
        )  # 8 bits lack isfinite
        return all(bool(x.isfinite().all()) for x in wide)

    def widened(self) -> TorchSubject | None:
        """The same in float64; None where it is that already."""
        if self.roundoff == WIDE:
            return None

        def wide(x: Any) -> Any:
            if not differentiable(x):
                return x
            own = x.detach().to(torch.complex128 if x.is_complex() else torch.float64).requires_grad_(x.requires_grad)
            hooked_as(own, x)
            return own

        function: Any = self.function
        if isinstance(function, torch.nn.Module):
            function = _copied(function)
            for name, parameter in function.named_parameters():
                if name in self.parameters:
                    hooked_as(parameter, self.parameters[name])
            function = function.double()
            for part in function.modules():  # tensors that are no buffers stay as they are
                held = {n: x for n, x in vars(part).items() if isinstance(x, torch.Tensor) and differentiable(x)}
                part.__dict__ |= {name: wide(x) for name, x in held.items()}
        keywords = {name: wide(x) for name, x in self.keywords.items()}
        subject = TorchSubject(
            function, pytree.tree_map(wide, self.inputs), keywords, self.loss, self.surrogates, self.reference
        )
        subject.name, subject.widens = self.name, True
        return subject

    def capture(self, values: Sequence[Array], seed: int) -> Captured:
        """See `capture.capture`. values: of the differentiated inputs, then of the parameters."""
        with self.at(values) as inputs:
            before = self._drawn_so_far()
            captured = capture(
                self._called,
                inputs,
                seed,
                list(self.parameters.values()),
                surrogates=self.surrogates,
                reference=None if self.reference is None else self.of_reference()._called,
            )
            drawn = [f"random numbers are drawn from seed {self.seed}, always"] * self._drawn_since(before)
            return replace(captured, notes=(*captured.notes, *self.aside, *drawn))

    def of_reference(self) -> TorchSubject:
        """The reference in the function's place."""
        assert self.reference is not None
        return TorchSubject(self.reference, self.inputs, self.keywords, self.loss)

    def value_and_gradient(self, values: Sequence[Array]) -> tuple[float, list[Array]]:
        """Σ c · output with fixed random c, and its gradient, without being captured."""
        with self.at(values) as inputs:
            outputs = [x for x in pytree.tree_leaves(self._called(*inputs)) if differentiable(x) and x.requires_grad]
            generator = np.random.default_rng(WEIGHTS)
            weights = [tensor_of(generator.standard_normal(numbers_shape(x)), x) for x in outputs]
            leaves = [*self.differentiated(inputs), *self.parameters.values()]
            # before the backward, which may write over what arrives
            total = sum(float((array(x) * array(w)).sum()) for x, w in zip(outputs, weights, strict=True))
            gradients = gradients_of(outputs, leaves, weights)
            zeros = [np.zeros(numbers_shape(x)) for x in leaves]
            return total, [z if g is None else array(g) for z, g in zip(zeros, gradients, strict=True)]

    def part(self, asked: Sequence[int] | None, output: int | None, cotangents_of_others: bool = False) -> Part:
        """What runs at the user's own point where less is asked for.

        asked: of the differentiated inputs and parameters, the ones that require a gradient; None for all
        output: the one that is used; None for all;  cotangents_of_others: the others are used, times zero
        """
        with self.at(self.start) as inputs:
            leaves = [*self.differentiated(inputs), *self.parameters.values()]
            before = [x.requires_grad for x in leaves]
            try:
                for k, x in enumerate(leaves):
                    x.requires_grad_(asked is None or k in asked)
                results = [x for x in pytree.tree_leaves(self._called(*inputs)) if differentiable(x)]
                self.used = self.used or [k for k, x in enumerate(results) if x.requires_grad]
                generator = np.random.default_rng(WEIGHTS)
                weights = {
                    k: tensor_of(generator.standard_normal(numbers_shape(results[k])), results[k]) for k in self.used
                }
                if output is not None:
                    kept = self.used[output]
                    others = {k: w.zero_() for k, w in weights.items() if k != kept} if cotangents_of_others else {}
                    weights = {**others, kept: weights[kept]}
                there = [k for k in weights if results[k].requires_grad]
                of_wanted = [k for k, x in enumerate(leaves) if x.requires_grad]
                found, added = gradients_and_added(
                    [results[k] for k in there], [leaves[k] for k in of_wanted], [weights[k] for k in there]
                )
                gradients: list[Array | None] = [None] * len(leaves)
                for k, g in zip(of_wanted, found, strict=True):
                    gradients[k] = None if g is None else array(g)
                return Part(len(self.used), gradients, frozenset(of_wanted[k] for k in added))
            finally:
                for x, asks in zip(leaves, before, strict=True):
                    x.requires_grad_(asks)

    def resized(self, lengths: Mapping[int, int]) -> TorchSubject | None:
        """The same of tensors whose dimensions of these lengths are cut; None for a module, whose parameters stay."""
        if self.parameters or self.reference is not None:
            return None

        def cut(x: Any) -> Any:
            if not isinstance(x, torch.Tensor):
                return x
            kept = x.detach()[tuple(slice(lengths.get(n, n)) for n in x.shape)].clone()
            return kept.requires_grad_(x.requires_grad)

        inputs = pytree.tree_map(cut, self.inputs)
        return TorchSubject(self.function, inputs, self.keywords, self.loss, self.surrogates)

    def symmetric(self) -> None:
        """PyTorch's programs follow its derivative for symmetric matrices themselves."""

    def witness(
        self, values: Sequence[Array], gradient: int, index: Sequence[int], output: int, at: Sequence[int]
    ) -> tuple[list[str], str] | None:
        """See `witness.witness`."""
        return witness(self, values, gradient, index, output, at)

    def judged(self) -> JudgedRun:
        """One run at the inputs given, every call of it judged; of compiled code the results as a whole as well.

        On as many threads as PyTorch has been told to use: a sum is added up in another order on more.
        """
        recorder = JudgingRecorder()
        parameters = list(self.parameters.values())
        threads = torch.get_num_threads()
        with self.at(None) as inputs:
            torch.set_num_threads(threads)
            before = self._drawn_so_far()
            captured = capture(self._called, inputs, self.seed, parameters, recorder)
            drawn = self._drawn_since(before)
        if self.compiled:
            if drawn:
                recorder.notes.append("compiled code draws other random numbers; what was judged is the eager run")
            else:
                try:
                    self._compiled(captured, recorder)
                except Exception as error:  # a compiler may raise anything
                    said = " ".join([f"{type(error).__name__}:", *str(error).split("\n")[:2]])
                    recorder.notes.append(f"compiled code did not run ({said}); what was judged is the eager run")
        return recorder.run

    def _compiled(self, captured: Captured, recorder: JudgingRecorder) -> None:
        """Runs the compiled code, which PyTorch does not while its calls are being written down, and judges it."""
        threads = torch.get_num_threads()
        with self.at(self.start) as inputs:
            torch.set_num_threads(threads)
            leaves = [*self.differentiated(inputs), *self.parameters.values()]
            outputs = [x for x in pytree.tree_leaves(self._called(*inputs)) if differentiable(x) and x.requires_grad]
            arriving = [
                tensor_of(captured.given[c.index], x) for c, x in zip(captured.cotangents, outputs, strict=True)
            ]
            before = [x.detach().clone() for x in outputs]
            found = gradients_of(outputs, leaves, arriving)
            for k, x in enumerate(outputs):
                if not torch.equal(x.detach().nan_to_num(), before[k].nan_to_num()):
                    recorder.notes.append(f"compiled: output {k} is another after the backward, which writes over it")
        names = [f"output {k}" for k in range(len(outputs))] + [f"gradient of {name}" for name in self.names]
        values = [*captured.outputs, *captured.gradients]
        calls = recorder.as_a_whole(values, names, [*outputs, *found])
        recorder.judged += undecided_by_choice(calls, self._choices)

    def _choices(self, roundings: float, seed: int) -> list[bytes]:
        """What a run chooses by numbers, each result moved by up to so many roundings."""
        recorder = Choices(np.random.default_rng(seed), roundings)
        with self.at(self.start) as inputs:
            capture(self._called, inputs, self.seed, list(self.parameters.values()), recorder)
        return recorder.choices

    def differentiated(self, inputs: Any) -> list[Tensor]:
        """The leaves of these inputs that a gradient is taken by."""
        leaves = pytree.tree_leaves(inputs)
        return [leaves[k] for k in self.places]

    def filled(self, inputs: Any, tensors: Sequence[Tensor]) -> tuple[Any, ...]:
        """The inputs with these tensors for the leaves that a gradient is taken by."""
        leaves = pytree.tree_leaves(inputs)
        for k, tensor in zip(self.places, tensors, strict=True):
            leaves[k] = tensor
        return tuple(pytree.tree_unflatten(leaves, self.tree))

    def _called(self, *inputs: Any) -> Any:
        with _OneFormat() if self.widens else nullcontext():
            result = self.function(*inputs, **self.keywords)
        return _opened(result if self.loss is None else self.loss(result))

    def _seeded(self) -> None:
        """torch.manual_seed; on the CPU without what it does for devices, which takes longer than a call."""
        (torch.manual_seed if self._gpus() else torch.default_generator.manual_seed)(self.seed)

    def _gpus(self) -> list[torch.device]:
        """Those that the inputs and parameters are on."""
        tensors = [x for x in (*self.leaves, *self.parameters.values()) if isinstance(x, torch.Tensor)]
        return list({x.device: None for x in tensors if x.device.type == "cuda"})

    def _drawn_so_far(self) -> list[Tensor]:
        """The states of the random number generators that the function may draw from."""
        return [torch.random.get_rng_state(), *(torch.cuda.get_rng_state(gpu) for gpu in self._gpus())]

    def _drawn_since(self, before: list[Tensor]) -> bool:
        return any(not torch.equal(b, now) for b, now in zip(before, self._drawn_so_far(), strict=True))

    @contextmanager
    def at(self, values: Sequence[Array] | None) -> Iterator[tuple[Any, ...]]:
        """The inputs with these numbers, and the parameters set to theirs; buffers are put back, the seed is set.

        values: None for those that they have
        """
        leaves = [
            x if k in self.places else x.detach().clone() if isinstance(x, torch.Tensor) else copy.copy(x)
            for k, x in enumerate(self.leaves)
        ]
        buffers: list[tuple[dict[str, Any], str, Tensor, Tensor]] = []
        if isinstance(self.function, torch.nn.Module):
            held = [(part._buffers, name, b) for part in self.function.modules() for name, b in part._buffers.items()]
            buffers = [(of, name, b, b.detach().clone()) for of, name, b in held if b is not None]
        asking = {id(b) for _, _, b, _ in buffers if b.requires_grad}
        numbers = iter(values or ())
        with torch.random.fork_rng(devices=self._gpus()), torch.enable_grad():
            threads = torch.get_num_threads()
            torch.set_num_threads(1)  # sizes are small, and threads that wait for each other are slow
            self._seeded()
            for k in self.places:
                own = _set(self.leaves[k], None if values is None else next(numbers)).requires_grad_()
                hooked_as(own, self.leaves[k])
                leaves[k] = own
            for parameter in () if values is None else self.parameters.values():
                with torch.no_grad():
                    parameter.copy_(tensor_of(next(numbers), parameter))
            try:
                yield tuple(pytree.tree_unflatten(leaves, self.tree))
            finally:
                torch.set_num_threads(threads)
                with torch.no_grad():
                    for of, name, b, before in buffers:
                        # a forward may have put its result in its place, or made it one
                        of[name] = b.copy_(before) if b.is_leaf else before
                        if of[name].requires_grad != (id(b) in asking):
                            of[name].requires_grad_(id(b) in asking)


OF_ONE_FORMAT = {  # functions that take tensors of one format alone, by the names of Python's
    "matmul", "__matmul__", "__rmatmul__", "mm", "bmm", "mv", "dot", "vdot", "addmm", "addmv", "addbmm", "baddbmm",
    "einsum", "tensordot", "linear", "bilinear", "conv1d", "conv2d", "conv3d", "conv_transpose1d", "conv_transpose2d",
    "conv_transpose3d", "scaled_dot_product_attention", "layer_norm", "group_norm", "batch_norm", "instance_norm",
    "prelu", "grid_sample", "embedding_bag", "cdist", "solve", "cholesky_solve", "scatter_add", "index_add", "lerp",
}  # fmt: skip


class _OneFormat(TorchFunctionMode):
    """Where a function that was made for float32 runs in float64: its own constants are widened where they meet it."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if getattr(func, "__name__", "") in OF_ONE_FORMAT:
            formats = {x.dtype for x in pytree.tree_leaves((args, kwargs)) if real(x)}
            if len(formats) > 1 and torch.float64 in formats:
                args, kwargs = pytree.tree_map(lambda x: x.double() if real(x) else x, (args, kwargs))
        return func(*args, **kwargs)


def _opened(result: Any) -> Any:
    """What a function returned, with dictionaries for the data classes and mappings that PyTorch's trees know nothing
    of, as many a library's models return."""
    leaves = [] if isinstance(result, torch.Tensor) else pytree.tree_leaves(result)
    if len(leaves) == 1 and leaves[0] is result:
        if is_dataclass(result) and not isinstance(result, type):
            return {field.name: _opened(getattr(result, field.name)) for field in fields(result)}
        if isinstance(result, Mapping):
            return {key: _opened(x) for key, x in result.items()}
        return result
    return pytree.tree_map(lambda x: x if isinstance(x, torch.Tensor) else _opened(x), result) if leaves else result


def _copied(module: Any) -> Any:
    """The module's copy; a compiled one's is compiled as well, which `deepcopy` forgets.

    What cannot be copied, such as a lock, or what a forward has kept of its results, both have.
    Raises InvalidInput if the module itself cannot be copied.
    """
    if hasattr(module, "_orig_mod") and hasattr(module, "dynamo_ctx"):
        return type(module)(_copied(module._orig_mod), module.dynamo_ctx)
    with _keras_knows(module):
        try:
            return copy.deepcopy(module)
        except Exception:  # whatever the module's own objects raise
            shared = {id(x): x for part in module.modules() for x in _not_copied(part)}
        try:
            kept = {key: copy.copy(x) if isinstance(x, list | dict | set) else x for key, x in shared.items()}
            kept |= {id(b): b.detach().clone() for b in module.buffers() if not b.is_leaf}  # of an earlier forward
            return copy.deepcopy(module, kept)
        except Exception as error:
            said = " ".join(f"{type(error).__name__}: {error}".split())[:LONGEST]
            raise InvalidInput(
                f"{type(module).__name__}: expected a module that can be copied, so that trials leave it as it was: "
                f"{said}"
            ) from error


def _keras_knows(module: Any) -> AbstractContextManager[Any]:
    """Where Keras can make a model's own layers again: it copies by the names of classes, and has to be told theirs."""
    layers = getattr(module, "_flatten_layers", None)
    if layers is None or "keras" not in sys.modules:
        return nullcontext()
    scope: Any = sys.modules["keras"].saving.custom_object_scope
    return cast("AbstractContextManager[Any]", scope({type(layer).__name__: type(layer) for layer in layers()}))


LONGEST = 400  # characters of an exception's own words


def _not_copied(module: torch.nn.Module) -> Iterator[Any]:
    """Of a module's own attributes those that cannot be copied."""
    for name, attribute in vars(module).items():
        if name in ("_modules", "_parameters", "_buffers"):
            continue
        try:
            copy.deepcopy(attribute)
        except Exception:  # whatever the attribute raises
            yield attribute


def _named(path: Sequence[Any]) -> str:
    """`input 0`, and below it the keys of the tree: input 0['w']."""
    return f"input {path[0].idx}" + pytree.keystr(tuple(path[1:]))


def _set(like: Tensor, values: Array | None) -> Tensor:
    """A tensor of this format and these strides with these numbers, or its own, in memory of its own."""
    result = torch.empty_like(like.detach(), memory_format=torch.preserve_format)
    return result.copy_(like.detach() if values is None else tensor_of(values, like.detach()))


def _accept(name: str, leaf: Any) -> None:
    """Raises InvalidInput for a tensor without numbers, Unsupported for one whose numbers our programs do not have."""
    if not isinstance(leaf, torch.Tensor):
        return
    if isinstance(leaf, UninitializedTensorMixin):
        raise InvalidInput(f"{name}: it gets its shape when the module is first called; call it once before.")
    if leaf.is_nested or leaf.layout is not torch.strided:
        kind = "nested" if leaf.is_nested else f"of layout {leaf.layout}"
        raise Unsupported(f"{name}: a tensor {kind} is not covered: pass dense tensors")
    if leaf.device.type == "meta":
        raise InvalidInput(
            f"{name}: on the meta device a tensor has no numbers; pass one on the CPU or an accelerator."
        )
