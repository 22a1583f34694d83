"""backproof tells whether a neural network's gradients are right, under tolerances that nobody picked.

The public names, each loaded when it is first used (PEP 562): `import backproof` costs nothing.
"""

from __future__ import annotations

from importlib import import_module
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .adapters.adapter import Adapter, known_adapters
    from .reference.activations import Activation
    from .reference.backprop import RULES, Layer, Rules, backward, delta_rule, forward
    from .reference.case import Case, Dense, InvalidInput, run, with_ones
    from .reference.cases import standard_cases
    from .reference.diagnosis import Convention
    from .reference.judging import (
        Judgement,
        LayersJudgement,
        Observation,
        ShownLayer,
        UnusableAnswer,
        Verdict,
        check_field,
        check_layer_gradient,
        check_path,
        expectations,
        judge,
        judge_layers,
        layers_in,
    )
    from .reference.numbers import PLAIN, BoundedArithmetic, PlainArithmetic
    from .reference.worked_example import worked_example
    from .reports.any_network import NumbersReport, RuleAndNumbers, RuleReport, assert_operation, verify_network
    from .reports.documents import Report, WrongGradients
    from .reports.validation import assert_gradients, verify

    __version__: str

_HOMES = {
    "adapters.adapter": ("Adapter", "known_adapters"),
    "reference.activations": ("Activation",),
    "reference.backprop": ("RULES", "Layer", "Rules", "backward", "delta_rule", "forward"),
    "reference.case": ("Case", "Dense", "InvalidInput", "run", "with_ones"),
    "reference.cases": ("standard_cases",),
    "reference.diagnosis": ("Convention",),
    "reference.judging": (
        "Judgement",
        "LayersJudgement",
        "Observation",
        "ShownLayer",
        "UnusableAnswer",
        "Verdict",
        "check_field",
        "check_layer_gradient",
        "check_path",
        "expectations",
        "judge",
        "judge_layers",
        "layers_in",
    ),
    "reference.numbers": ("PLAIN", "BoundedArithmetic", "PlainArithmetic"),
    "reference.worked_example": ("worked_example",),
    "reports.any_network": ("NumbersReport", "RuleAndNumbers", "RuleReport", "assert_operation", "verify_network"),
    "reports.documents": ("Report", "WrongGradients"),
    "reports.validation": ("assert_gradients", "verify"),
}
DOORS = ("jax", "torch")  # modules of their own, which need the framework
_HOME = {name: home for home, names in _HOMES.items() for name in names}

__all__ = [
    "PLAIN",
    "RULES",
    "Activation",
    "Adapter",
    "BoundedArithmetic",
    "Case",
    "Convention",
    "Dense",
    "InvalidInput",
    "Judgement",
    "Layer",
    "LayersJudgement",
    "NumbersReport",
    "Observation",
    "PlainArithmetic",
    "Report",
    "RuleAndNumbers",
    "RuleReport",
    "Rules",
    "ShownLayer",
    "UnusableAnswer",
    "Verdict",
    "WrongGradients",
    "__version__",
    "assert_gradients",
    "assert_operation",
    "backward",
    "check_field",
    "check_layer_gradient",
    "check_path",
    "delta_rule",
    "expectations",
    "forward",
    "judge",
    "judge_layers",
    "known_adapters",
    "layers_in",
    "run",
    "standard_cases",
    "verify",
    "verify_network",
    "with_ones",
    "worked_example",
]


def __getattr__(name: str) -> Any:
    if name == "__version__":
        return version("backproof")
    if name in DOORS:
        try:
            return import_module(f".{name}", __name__)
        except ImportError as missing:
            raise AttributeError(f"backproof.{name}: {name} is not installed") from missing
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_HOME[name]}", __name__), name)


def __dir__() -> list[str]:
    return __all__
