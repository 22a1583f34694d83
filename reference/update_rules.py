"""Update rules: the delta rule and those that were found to be faster, each a few lines. Standard library only.

A rule moves one matrix of parameters by its gradient and by what it remembers of earlier ones, its `memory`: matrices
of the same shape that are zero at the start. A `Family` is a rule whose constants are open, such as momentum with any
friction; `UPDATE_RULES` has the customary constants, PyTorch's defaults where it has any.

Frameworks differ in where ε stands and in what decays: those are families and constants of their own. Forms that differ
in rounding alone (the rate inside the velocity, 1 − β taken in the format, √s / √(1 − β₂ᵗ)) are one rule.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from .aliases import squeezed
from .backprop import update
from .numbers import Arithmetic, Functions, Matrix, Number

Memory = tuple[Matrix, ...]
# (old, gradient, memory, learning rate, number of the step from 1, arithmetic) → (new, memory)
Step = Callable[[Matrix, Matrix, Memory, float, int, Arithmetic], tuple[Matrix, Memory]]
Constants: TypeAlias = Mapping[str, float]
# (gradient, memory, constants, learning rate, number of the step from 1, arithmetic) → (what to move by, memory)
Direction = Callable[[Matrix, Memory, Constants, float, int, Arithmetic], tuple[Matrix, Memory]]


@dataclass(frozen=True)
class UpdateRule:
    """remembers: how many matrices its memory has;  usual_rate: a learning rate to begin with, for XOR

    words: what people call it, its constants among them
    """

    name: str
    step: Step
    remembers: int
    usual_rate: float
    words: str = ""


@dataclass(frozen=True)
class Family:
    """An update rule whose constants are open.

    direction: w moves by rate · direction
    constants: its own, in the order of a name's arguments, with customary values
    extras: constants that are neutral unless they are given;  decoupled: its `weight_decay` is AdamW's, not added to g
    in_parts: whether an implementation may move w in two parts, and round in between
    """

    name: str
    words: str
    direction: Direction
    constants: tuple[tuple[str, float], ...]
    remembers: int
    usual_rate: float
    extras: tuple[tuple[str, float], ...] = ()
    decoupled: bool = False
    in_parts: bool = False

    @property
    def known(self) -> dict[str, float]:
        """Every constant that it has, with its customary or neutral value."""
        return {**DECAYS, **dict(self.extras), **dict(self.constants)}

    def rule(self, constants: Constants | None = None, name: str | None = None) -> UpdateRule:
        """The rule with these constants; those not given are customary or neutral."""
        values = {**self.known, **(constants or {})}
        coupled, decoupled = values["weight_decay"], values["decoupled_weight_decay"]
        if self.decoupled or not self.remembers:  # without a memory there is one way only
            coupled, decoupled = 0.0, decoupled + coupled

        def step(
            old: Matrix, gradient: Matrix, memory: Memory, rate: float, number: int, ar: Arithmetic
        ) -> tuple[Matrix, Memory]:
            pulled = gradient if not coupled else _with_decay(gradient, old, coupled, ar)
            direction, remembered = self.direction(pulled, memory, values, rate, number, ar)
            if decoupled:
                return _decaying(old, direction, rate, decoupled, ar), remembered
            if self.in_parts:
                return _in_two_parts(old, direction, rate, ar), remembered
            return update(old, direction, rate, ar), remembered

        return UpdateRule(name or self.spelled(values), step, self.remembers, self.usual_rate, self.said(values))

    def spelled(self, constants: Constants) -> str:
        """The name that `update_rule_named` reads: adam(0.9, 0.999, 1e-8)."""
        values = {**self.known, **constants}
        given = [shown(values[name]) for name, _ in self.constants]
        own = [name for name, _ in self.constants]
        given += [
            f"{name}={shown(values[name])}" for name in self.known if name not in own and self._unusual(name, values)
        ]
        return f"{self.name}({', '.join(given)})" if given else self.name

    def said(self, constants: Constants) -> str:
        """The rule in words: Adam with β₁ 0.9, β₂ 0.999, ε 1e-8."""
        values = {**self.known, **constants}
        own = [name for name, _ in self.constants if name != "weight_decay"]
        words = self.words
        if len(own) == 1 and own[0] == "mu":
            words += f" {shown(values['mu'])}"
        elif own:
            words += " with " + ", ".join(f"{SYMBOLS[name]} {shown(values[name])}" for name in own)
        for name, _ in self.extras:
            if self._unusual(name, values):
                words += f", {SYMBOLS[name]} {shown(values[name])}"
        for name, value in self._decays(values).items():
            words += f", {name} {shown(value)}"
        if self.decoupled and not self._decays(values):
            words += ", no weight decay"
        return words

    def _unusual(self, name: str, values: Constants) -> bool:
        return values[name] != {**DECAYS, **dict(self.extras)}.get(name)

    def _decays(self, values: Constants) -> dict[str, float]:
        coupled, decoupled = values["weight_decay"], values["decoupled_weight_decay"]
        if not self.remembers:
            words = {"weight decay": coupled + decoupled}  # without a memory there is one way only
        elif self.decoupled:
            words = {"decoupled weight decay": coupled + decoupled}
        else:
            words = {"weight decay (added to the gradient)": coupled, "decoupled weight decay": decoupled}
        return {name: value for name, value in words.items() if value}


def shown(constant: float) -> str:
    """A constant as people write it: 0.9, 1e-8."""
    return f"{constant:.9g}".replace("e-0", "e-")


DECAYS = {"weight_decay": 0.0, "decoupled_weight_decay": 0.0}
SYMBOLS = {"mu": "μ", "alpha": "α", "beta1": "β₁", "beta2": "β₂", "epsilon": "ε", "dampening": "dampening",
           "initial": "initial sum"}  # fmt: skip


# ------------------------------------------------------------------------------------------------ decay


def _with_decay(gradient: Matrix, old: Matrix, decay: float, ar: Arithmetic) -> Matrix:
    """g + λ w, the derivative of E + λ/2 · Σ w²."""
    return ar.elementwise(lambda g, w, fn: g + fn.constant(decay) * w, gradient, old)


def _decaying(old: Matrix, direction: Matrix, rate: float, decay: float, ar: Arithmetic) -> Matrix:
    """(1 − rate · λ) w − rate · d, as in PyTorch; also as w − rate · (d + λ w), as in optax; or term by term.

    Source: Loshchilov & Hutter, Decoupled weight decay regularization, ICLR 2019; for the delta rule Nielsen, Neural
    Networks and Deep Learning (2015), ch. 3.
    """

    def moved(w: Number, d: Number, fn: Functions) -> Number:
        return decayed(w, d, rate, decay, fn)

    return ar.elementwise(moved, old, direction)


def decayed(w: Number, d: Number, rate: float, decay: float, fn: Functions) -> Number:
    """w − rate · (d + λ w) in the ways in which people write it, which differ only in rounding."""
    pulled = fn.constant(rate) * fn.constant(decay)
    by_factor = (fn.constant(1.0) - pulled) * w - d * rate
    term_by_term = fn.either((w - pulled * w) - d * rate, (w - d * rate) - pulled * w)
    return fn.either(fn.either(by_factor, w - (d + fn.constant(decay) * w) * rate), term_by_term)


def _in_two_parts(old: Matrix, direction: Matrix, rate: float, ar: Arithmetic) -> Matrix:
    """w − rate · d, also as (w − rate · μ v) − rate · g, as Keras has Nesterov's: rounded twice at the size of w."""

    def moved(w: Number, d: Number, fn: Functions) -> Number:
        return fn.either(w - d * rate, (w - d * (rate / 2)) - d * (rate / 2))

    return ar.elementwise(moved, old, direction)


# ------------------------------------------------------------------------------------------- first moments


def _gradient(
    gradient: Matrix, memory: Memory, constants: Constants, rate: float, number: int, ar: Arithmetic
) -> tuple[Matrix, Memory]:
    """w − rate · g: the chapter's."""
    return gradient, memory


def _momentum(
    gradient: Matrix, memory: Memory, constants: Constants, rate: float, number: int, ar: Arithmetic
) -> tuple[Matrix, Memory]:
    """v = μ v + g; w − rate · v. Polyak, USSR Computational Mathematics and Mathematical Physics 4(5), 1964.

    dampening: from the second step on, v = μ v + (1 − dampening) g, as in torch.optim.SGD
    """
    share = 1 - constants["dampening"] if constants["dampening"] and number > 1 else 1.0
    velocity = _velocity(memory[0], gradient, constants["mu"], share, rate, ar)
    return velocity, (velocity,)


def _velocity(before: Matrix, gradient: Matrix, mu: float, share: float, rate: float, ar: Arithmetic) -> Matrix:
    """μ v + share · g; who keeps rate · v rounds rate · g and μ · (rate · v) instead."""

    def formula(v: Number, g: Number, fn: Functions) -> Number:
        new = g if share == 1 else fn.constant(share) * g
        return fn.either(fn.constant(mu) * v + new, (fn.constant(mu) * (v * rate) + new * rate) / rate)

    return ar.elementwise(formula, before, gradient)


def _averaged_momentum(
    gradient: Matrix, memory: Memory, constants: Constants, rate: float, number: int, ar: Arithmetic
) -> tuple[Matrix, Memory]:
    """v = μ v + (1 − μ) g; w − rate · v: a moving average of gradients."""
    velocity = _average(memory[0], gradient, constants["mu"], ar)
    return velocity, (velocity,)


def _nesterov(
    gradient: Matrix, memory: Memory, constants: Constants, rate: float, number: int, ar: Arithmetic
) -> tuple[Matrix, Memory]:
    """v = μ v + g; w − rate · (g + μ v). Nesterov 1983, in the form of Sutskever, Martens, Dahl & Hinton, ICML 2013."""
    mu = constants["mu"]
    velocity = _velocity(memory[0], gradient, mu, 1.0, rate, ar)
    return _velocity(velocity, gradient, mu, 1.0, rate, ar), (velocity,)


# ------------------------------------------------------------------------------------------ second moments


def _one_less(kept: float, fn: Any) -> Number:
    """1 − β; who has β in the format only, subtracts it there, and of 0.999 three digits are lost."""
    return fn.either(fn.constant(1 - kept), 1 - fn.constant(kept))


def _average(before: Matrix, now: Matrix, kept: float, ar: Arithmetic) -> Matrix:
    """β m + (1 − β) x, also as m + (1 − β)(x − m), PyTorch's `lerp`."""

    def formula(m: Number, x: Number, fn: Functions) -> Number:
        return fn.either(fn.constant(kept) * m + _one_less(kept, fn) * x, m + _one_less(kept, fn) * (x - m))

    return ar.elementwise(formula, before, now)


def _average_of_squares(before: Matrix, gradient: Matrix, kept: float, ar: Arithmetic) -> Matrix:
    """β s + (1 − β) g²; who squares first may overflow."""

    def formula(s: Number, g: Number, fn: Functions) -> Number:
        return fn.constant(kept) * s + fn.by_way_of(_one_less(kept, fn) * g * g, g * g)

    return ar.elementwise(formula, before, gradient)


def one_less_power(kept: float, number: int, fn: Any) -> Number:
    """1 − βᵗ, by which a moment is divided that began at 0.

    In the format it is at most as far off as 1 − β, relatively, because t·βᵗ⁻¹ · (1 − β) ≤ 1 − βᵗ; a power has some
    ulps of its own.
    """
    exact = 1 - kept**number
    power = kept * fn.constant(1) * fn.constant(1) * fn.constant(1)
    return fn.either(fn.constant(1) * exact, (1 - power) * (exact / (1 - kept)))


def over_root(x: Number, squares: Number, epsilon: float, fn: Any) -> Number:
    """x / (√s + ε), where the root may be √s / √(1 − β₂ᵗ): two more roundings."""
    root = fn.sqrt(squares)
    return x / (fn.either(root, root * fn.constant(1)) + fn.constant(epsilon))


def over_root_inside(x: Number, squares: Number, epsilon: float, fn: Any) -> Number:
    """x / √(s + ε); a reciprocal root has two more roundings."""
    return x / fn.sqrt(squares + fn.constant(epsilon)) * fn.constant(1)


Division = Callable[[Number, Number, float, Any], Number]


def adagrad_dividing(divided: Division) -> Direction:
    """s = s + g²; w − rate · g / (√s + ε). Duchi, Hazan & Singer, JMLR 12, 2011.

    initial: what s begins with, 0.1 in TensorFlow and optax
    """

    def direction(
        gradient: Matrix, memory: Memory, constants: Constants, rate: float, number: int, ar: Arithmetic
    ) -> tuple[Matrix, Memory]:
        initial = constants["initial"]
        before = memory[0]
        if initial and number == 1:
            before = ar.elementwise(lambda s, fn: s + fn.constant(initial), before)
        squares = ar.elementwise(lambda s, g, fn: s + g * g, before, gradient)
        return ar.elementwise(lambda g, s, fn: divided(g, s, constants["epsilon"], fn), gradient, squares), (squares,)

    return direction


def rmsprop_dividing(divided: Division) -> Direction:
    """s = α s + (1 − α) g²; w − rate · g / (√s + ε). Tieleman & Hinton, Neural Networks for Machine Learning, 2012.

    Source: lecture 6.
    """

    def direction(
        gradient: Matrix, memory: Memory, constants: Constants, rate: float, number: int, ar: Arithmetic
    ) -> tuple[Matrix, Memory]:
        squares = _average_of_squares(memory[0], gradient, constants["alpha"], ar)
        return ar.elementwise(lambda g, s, fn: divided(g, s, constants["epsilon"], fn), gradient, squares), (squares,)

    return direction


def _rmsprop_momentum(
    gradient: Matrix, memory: Memory, constants: Constants, rate: float, number: int, ar: Arithmetic
) -> tuple[Matrix, Memory]:
    """RMSprop's direction as the gradient of momentum, as torch.optim.RMSprop has it."""
    scaled, (squares,) = rmsprop_dividing(over_root)(gradient, memory[:1], constants, rate, number, ar)
    velocity = _velocity(memory[1], scaled, constants["mu"], 1.0, rate, ar)
    return velocity, (squares, velocity)


def _centered_rmsprop(
    gradient: Matrix, memory: Memory, constants: Constants, rate: float, number: int, ar: Arithmetic
) -> tuple[Matrix, Memory]:
    """w − rate · g / (√(s − m²) + ε), m the average of g: of the variance. Graves, arXiv 1308.0850, 2013."""
    squares = _average_of_squares(memory[0], gradient, constants["alpha"], ar)
    mean = _average(memory[1], gradient, constants["alpha"], ar)
    scaled = ar.elementwise(
        lambda g, s, m, fn: over_root(g, s - m * m, constants["epsilon"], fn), gradient, squares, mean
    )
    return scaled, (squares, mean)


def adam_dividing(divided: Division, of_mean: bool = True, of_squares: bool = True) -> Direction:
    """m = β₁ m + (1 − β₁) g; s = β₂ s + (1 − β₂) g²; w − rate · m̂ / (√ŝ + ε), m̂ = m / (1 − β₁ᵗ), ŝ = s / (1 − β₂ᵗ).

    of_mean, of_squares: whether the moments are divided so
    Source: Kingma & Ba, ICLR 2015, algorithm 1.
    """

    def direction(
        gradient: Matrix, memory: Memory, constants: Constants, rate: float, number: int, ar: Arithmetic
    ) -> tuple[Matrix, Memory]:
        beta1, beta2, epsilon = constants["beta1"], constants["beta2"], constants["epsilon"]
        mean = _average(memory[0], gradient, beta1, ar)
        squares = _average_of_squares(memory[1], gradient, beta2, ar)

        def scaled(m: Number, s: Number, fn: Functions) -> Number:
            first = m / one_less_power(beta1, number, fn) if of_mean else m
            return divided(first, s / one_less_power(beta2, number, fn) if of_squares else s, epsilon, fn)

        return ar.elementwise(scaled, mean, squares), (mean, squares)

    return direction


def _adam_epsilon_hat(
    gradient: Matrix, memory: Memory, constants: Constants, rate: float, number: int, ar: Arithmetic
) -> tuple[Matrix, Memory]:
    """w − rate · √(1 − β₂ᵗ) / (1 − β₁ᵗ) · m / (√s + ε̂), as TensorFlow and Keras do; Kingma & Ba, end of section 2."""
    beta1, beta2 = constants["beta1"], constants["beta2"]
    mean = _average(memory[0], gradient, beta1, ar)
    squares = _average_of_squares(memory[1], gradient, beta2, ar)

    def scaled(m: Number, s: Number, fn: Functions) -> Number:
        first = m / one_less_power(beta1, number, fn)
        return over_root(first, s, constants["epsilon"], fn) * fn.sqrt(one_less_power(beta2, number, fn))

    return ar.elementwise(scaled, mean, squares), (mean, squares)


# ---------------------------------------------------------------------------------------------- the table

MU, ALPHA = ("mu", 0.9), ("alpha", 0.99)
BETAS = (("beta1", 0.9), ("beta2", 0.999))
SMALL = ("epsilon", 1e-8)
DECAY = ("weight_decay", 0.01)

FAMILIES = {
    family.name: family
    for family in (
        Family("sgd", "the delta rule", _gradient, (), 0, 2.0),
        Family("momentum", "momentum", _momentum, (MU,), 1, 0.5, (("dampening", 0.0),)),
        Family("nesterov", "Nesterov's momentum", _nesterov, (MU,), 1, 0.5, in_parts=True),
        Family("adagrad", "Adagrad", adagrad_dividing(over_root), (("epsilon", 1e-10),), 1, 0.5, (("initial", 0.0),)),
        Family("rmsprop", "RMSprop", rmsprop_dividing(over_root), (ALPHA, SMALL), 1, 0.05),
        Family("adam", "Adam", adam_dividing(over_root), (*BETAS, SMALL), 2, 0.1),
        Family("adamw", "AdamW", adam_dividing(over_root), (*BETAS, SMALL, DECAY), 2, 0.1, decoupled=True),
        Family("averaged-momentum", "momentum as a moving average, μ v + (1 − μ) g, μ", _averaged_momentum, (MU,), 1,
               0.5),
        Family("adagrad-epsilon-inside", "Adagrad (ε inside the root)", adagrad_dividing(over_root_inside),
               (("epsilon", 1e-7),), 1, 0.5, (("initial", 0.0),)),
        Family("rmsprop-epsilon-inside", "RMSprop (ε inside the root)", rmsprop_dividing(over_root_inside),
               (ALPHA, SMALL), 1, 0.05),
        Family("rmsprop-momentum", "RMSprop and momentum", _rmsprop_momentum, (ALPHA, SMALL, MU), 2, 0.05),
        Family("centered-rmsprop", "centered RMSprop", _centered_rmsprop, (ALPHA, SMALL), 2, 0.05),
        Family("adam-epsilon-hat", "Adam (Keras's form: ε̂ added to √s)", _adam_epsilon_hat,
               (*BETAS, ("epsilon", 1e-7)), 2, 0.1),
        Family("adam-epsilon-inside", "Adam (ε inside the root)", adam_dividing(over_root_inside), (*BETAS, SMALL),
               2, 0.1),
    )
}  # fmt: skip

_CHAPTERS = {"delta rule": "sgd"} | {name: name for name in ("momentum", "nesterov", "adagrad", "rmsprop", "adam")}
UPDATE_RULES = {name: FAMILIES[of].rule(name=name) for name, of in _CHAPTERS.items()}


# ----------------------------------------------------------------------------------------------- names


def family_named(name: str) -> tuple[Family, dict[str, float]] | None:
    """The family and the constants that a name gives, such as "adam(0.9, 0.999, 1e-8)" or "momentum"; None for none.

    Constants come in the family's order, or by their names, in any: adam(beta2=0.99, weight_decay=0.01).
    """
    head, opened, inner = name.strip().partition("(")
    head = head.strip().lower().removeprefix("torch.").removeprefix("optim.")  # others have other customary constants
    ours = {squeezed(known): known for known in (*FAMILIES, *_CHAPTERS)}.get("" if "." in head else squeezed(head), "")
    family = FAMILIES.get(_CHAPTERS.get(ours, ours))
    if family is None or (opened and not inner.endswith(")")):
        return None
    given = _given(family, [part for part in inner.removesuffix(")").split(",") if part.strip()])
    return None if given is None else (family, given)


def _given(family: Family, parts: Sequence[str]) -> dict[str, float] | None:
    """What stands between the parentheses; None where that makes no sense."""
    order, given = [name for name, _ in family.constants], dict[str, float]()
    for position, part in enumerate(parts):
        key, named, text = part.partition("=")
        if not named:
            key, text = (order[position], part) if position < len(order) and len(given) == position else ("", part)
        key = key.strip()
        try:
            value = float(text)
        except ValueError:
            return None
        if key not in family.known or key in given or not _sensible(key, value):
            return None
        given[key] = value
    return given


def _sensible(key: str, value: float) -> bool:
    """Shares are from 0 to below 1, everything else is finite and not negative."""
    return 0 <= value < (1 if key in ("mu", "alpha", "beta1", "beta2") else float("inf"))


def update_rule_named(name: str) -> UpdateRule | None:
    """The rule of a name such as "adam(0.9, 0.999, 1e-8)" or "sgd(weight_decay=0.01)"; None where there is none.

    Constants that it does not give are customary.
    """
    found = family_named(name)
    return None if found is None else found[0].rule(found[1])
