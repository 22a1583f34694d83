"""Modules of other libraries: as functions of their parameters where that can be had, else the one line that does.

Told by the names of their classes, so that no library is loaded for it that is not there already.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

from ...reference.case import InvalidInput
from .guarded import by_itself


def kind_of(function: Any) -> str:
    """torch, keras, linen, nnx or equinox, of an instance or a class; autograd; custom rule; empty for others."""
    bases = function.__mro__ if isinstance(function, type) else type(function).__mro__
    for base in bases:
        module = base.__module__
        if module.startswith("keras.") and base.__name__ == "Layer":
            return "keras"
        for kind, beginning in BEGINNINGS.items():
            if module.startswith(beginning):
                return kind
    if type(function).__name__ in ("custom_vjp", "custom_jvp") and type(function).__module__.startswith("jax."):
        return "custom rule"
    owner = getattr(function, "__self__", None)  # of Function.apply, the function's class
    return "autograd" if isinstance(owner, type) and kind_of(owner) == "autograd" else ""


BEGINNINGS = {
    "torch": "torch.nn.modules",
    "autograd": "torch.autograd.function",
    "linen": "flax.linen",
    "nnx": "flax.nnx",
    "equinox": "equinox.",
}
WHAT = {
    "torch": "a module", "keras": "a Keras layer or model", "linen": "a Flax module", "nnx": "a Flax module",
    "equinox": "an Equinox module", "autograd": "an autograd.Function",
    "custom rule": "a function with a rule of its own",
}  # fmt: skip


def refuse_without_inputs(function: Any, *of_networks: Any) -> None:
    """Raises InvalidInput for a module, a Function or options of networks, where no inputs came with them."""
    if any(of_networks):
        raise InvalidInput(
            "keywords, stopped, surrogate, reference and numbers say nothing without inputs: "
            "backproof.verify(f, inputs, …)."
        )
    kind, name = kind_of(function), _name(function)
    if isinstance(function, type) and kind:
        refuse_a_class(function)
    if kind:
        line = {"linen": LINEN, "autograd": f"backproof.verify({name}.apply, inputs)"}.get(kind) or _of_shape(function)
        line = line or f"backproof.verify({'f' if kind == 'custom rule' else 'module'}, inputs)"
        raise InvalidInput(f"{name} is {WHAT[kind]}: verify it at small inputs: {line}.")
    if type(function).__module__ == "builtins" and not callable(function):  # else it may stand for one elsewhere
        raise InvalidInput(
            f"expected a function of weights, biases, inputs and targets; got {type(function).__name__}."
        )


def _of_shape(function: Any) -> str:
    """How a Keras model that knows the shape of its one input is verified; empty for others."""
    shape = getattr(function, "input_shape", None) if kind_of(function) == "keras" else None
    if not isinstance(shape, tuple) or not all(n is None or isinstance(n, int) for n in shape):
        return ""
    return f"backproof.verify(model, keras.random.normal({tuple(n or 2 for n in shape)}))"


def refuse_in_a_file(target: str, function: Any) -> None:
    """The same on the command line, which has no inputs to give. Raises InvalidInput."""
    kind, (file, _, name) = kind_of(function), target.rpartition(":")
    if kind:
        what, made = WHAT[kind], name
        if isinstance(function, type):
            what, made = (what, f"{name}.apply") if kind == "autograd" else (f"the class of {what}", f"{name}(…)")
        raise InvalidInput(
            f"{target} is {what}: let a function return it with small inputs, `def build(): return {made}, inputs`, "
            f"and verify {file}:build."
        )


LINEN = "backproof.verify(module.apply, [variables, x]), where variables = module.init(key, x)"


def refuse_a_class(function: Any) -> None:
    """Raises InvalidInput for a class of modules, or an autograd.Function itself: neither is a function of inputs."""
    kind = kind_of(function)
    if not isinstance(function, type) or not kind:
        return
    name = function.__name__
    if kind == "autograd":
        raise InvalidInput(f"{name} is an autograd.Function: verify its apply: backproof.verify({name}.apply, inputs).")
    raise InvalidInput(f"{name} is a class: make a module of it, and verify that: backproof.verify({name}(…), inputs).")


def arguments(function: Any, inputs: Any) -> tuple[Any, ...]:
    """What a function is called with, from the inputs given: a sequence is several arguments. A Keras model of several
    inputs takes them as one argument."""
    if not isinstance(inputs, tuple | list):
        return (inputs,)
    own = getattr(function, "inputs", None) if kind_of(function) == "keras" else None
    apart = isinstance(own, list) and len(inputs) == len(own) > 1
    return (list(inputs),) if apart and all(hasattr(x, "shape") for x in inputs) else tuple(inputs)


def build(function: Any, given: tuple[Any, ...]) -> None:
    """A Keras model that was never called has no parameters yet: it is called once."""
    if kind_of(function) == "keras" and not isinstance(function, type) and not getattr(function, "built", True):
        by_itself(_name(function), lambda: function(*given))


def of_parameters(function: Any) -> tuple[Callable[..., Any], Any] | None:
    """A JAX library's module as a function of its parameters and its inputs, and the parameters; None for others.

    Raises InvalidInput for one whose parameters are not in it.
    """
    refuse_a_class(function)
    kind = kind_of(function)
    if kind == "linen":
        raise InvalidInput(f"{_name(function)} is a Flax module, without its parameters: {LINEN}.")
    called: Callable[..., Any]
    if kind == "equinox":
        called, parameters = _of_tree(function)
    elif kind == "nnx":
        nnx = sys.modules["flax.nnx"]
        graph, parameters = nnx.split(function)

        def called(state: Any, *inputs: Any, **keywords: Any) -> Any:
            return nnx.merge(graph, state)(*inputs, **keywords)

    elif kind == "keras" and any(base.__name__ == "JaxLayer" for base in type(function).__mro__):
        others = [variable.value for variable in function.non_trainable_variables]
        names = [variable.path for variable in function.trainable_variables]
        if len(set(names)) < len(names):  # Keras asks it of no one
            names = [f"{number}: {name}" for number, name in enumerate(names)]
        parameters = dict(zip(names, (variable.value for variable in function.trainable_variables), strict=True))

        def called(weights: Any, *inputs: Any, **keywords: Any) -> Any:
            return function.stateless_call([weights[name] for name in names], others, *inputs, **keywords)[0]

    else:
        return None
    called.__name__ = _name(function)
    return called, parameters


def _of_tree(module: Any) -> tuple[Callable[..., Any], Any]:
    """Of a module that is itself a tree of arrays, and of what is none."""
    import jax

    leaves, tree = jax.tree.flatten(module)
    arrays = {str(k): leaf for k, leaf in enumerate(leaves) if hasattr(leaf, "dtype")}

    def called(parameters: Any, *inputs: Any, **keywords: Any) -> Any:
        filled = [parameters.get(str(k), leaf) for k, leaf in enumerate(leaves)]
        return jax.tree.unflatten(tree, filled)(*inputs, **keywords)

    return called, arrays


def _name(function: Any) -> str:
    owner = getattr(function, "__self__", None)
    if isinstance(owner, type):
        return owner.__name__
    return getattr(function, "__name__", None) or type(function).__name__
