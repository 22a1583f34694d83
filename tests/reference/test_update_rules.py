"""Update rules: against torch.optim and optax, inside bounds derived for every update; and on exact numbers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from importlib.util import find_spec
from itertools import islice
from typing import Any

import pytest

np = pytest.importorskip("numpy")
pytest.importorskip("flint")
from backproof.adapters.adapter import Adapter, chosen
from backproof.adapters.jax_grad import enable_x64
from backproof.reference.backprop import RULES
from backproof.reference.case import Case, Dense, run
from backproof.reference.cases import xor
from backproof.reference.numbers.bounded import BoundedArithmetic
from backproof.reference.numbers.certified import CertifiedArithmetic
from backproof.reference.numbers.plain import PLAIN
from backproof.reference.numbers.precision import PROFILES
from backproof.reference.training import train
from backproof.reference.update_rules import FAMILIES, UPDATE_RULES, UpdateRule, update_rule_named
from flint import arb, ctx

TRAINING = [adapter for adapter in chosen() if adapter.train and adapter.name != "plain"]
STEPS = 12


def started(dtype: str = "float64") -> Case:
    return replace(xor("separate", dtype), learning_rate=None)


@pytest.mark.usefixtures("slow")
@pytest.mark.sampled(4)
@pytest.mark.parametrize("adapter", TRAINING, ids=lambda adapter: adapter.name)
@pytest.mark.parametrize("rule", UPDATE_RULES)
def test_every_rule_agrees_with_the_framework_s_inside_its_bounds(rule: str, adapter: Adapter) -> None:
    """The framework's own optimizer, PyTorch's; every weight after so many updates, and every loss on the way."""
    assert adapter.train is not None
    got = adapter.train(started(), rule, STEPS)
    epochs = list(islice(train(started(), rule, BoundedArithmetic(PROFILES["float64"])), STEPS))
    for loss, epoch in zip(got.losses, epochs, strict=True):
        assert epoch.loss.holds(np.array([[loss]])).all()
        assert epoch.loss.error[0, 0] < 1e-6 * loss  # a bound that knows nothing would hold anything
    for layer, bounds in zip(got.layers, epochs[-1].layers, strict=True):
        assert bounds.weights.holds(np.asarray(layer.weights)).all()
        assert bounds.weights.error.max() < 1e-6
        assert bounds.biases is not None
        assert bounds.biases.holds(np.array([layer.biases])).all()


@pytest.mark.parametrize("rule", UPDATE_RULES)
def test_a_rule_with_another_constant_is_outside(rule: str) -> None:
    """The same bounds refuse a rate that is off by one part in a million."""
    usual = UPDATE_RULES[rule].usual_rate
    wrong = list(islice(train(replace(started(), learning_rate=usual * (1 + 1e-6)), rule), STEPS))[-1]
    bounds = list(islice(train(started(), rule, BoundedArithmetic(PROFILES["float64"])), STEPS))[-1]
    assert not bounds.layers[0].weights.holds(np.array(wrong.layers[0].weights)).all()


OPTAX: dict[str, Callable[[Any, float], Any]] = {
    "delta rule": lambda optax, rate: optax.sgd(rate),
    "momentum": lambda optax, rate: optax.sgd(rate, momentum=0.9),
    "nesterov": lambda optax, rate: optax.sgd(rate, momentum=0.9, nesterov=True),
    "adam": lambda optax, rate: optax.adam(rate, eps=1e-8),
}


@pytest.mark.sampled(8)
@pytest.mark.skipif(find_spec("optax") is None, reason="optax is not installed")
@pytest.mark.parametrize("rule", OPTAX)
def test_every_rule_agrees_with_optax(rule: str) -> None:
    """Of gradients that are given, so that only the rule is compared. (optax's Adagrad and RMSprop place ε elsewhere.)"""
    import jax
    import optax

    rate = UPDATE_RULES[rule].usual_rate
    rng = np.random.default_rng(0)
    weights, gradients = rng.standard_normal((3, 4)), rng.standard_normal((STEPS, 3, 4))
    bounds = BoundedArithmetic(PROFILES["float64"])
    ours = bounds.lift(weights)
    memory = tuple(bounds.lift(np.zeros((3, 4))) for _ in range(UPDATE_RULES[rule].remembers))
    with enable_x64(True):
        optimizer = OPTAX[rule](optax, rate)
        theirs = jax.numpy.asarray(weights)
        state = optimizer.init(theirs)
        for number, gradient in enumerate(gradients, start=1):
            changes, state = optimizer.update(jax.numpy.asarray(gradient), state, theirs)
            theirs = optax.apply_updates(theirs, changes)
            ours, memory = UPDATE_RULES[rule].step(ours, bounds.lift(gradient), memory, rate, number, bounds)
    assert ours.holds(np.asarray(theirs)).all()
    assert ours.error.max() < 1e-12


def test_momentum_is_what_the_formula_says() -> None:
    rule: UpdateRule = UPDATE_RULES["momentum"]
    w, memory = PLAIN.lift([[1.0]]), (PLAIN.lift([[0.0]]),)
    for number in (1, 2):
        w, memory = rule.step(w, PLAIN.lift([[0.5]]), memory, 0.25, number, PLAIN)
    assert memory[0] == [[0.9 * 0.5 + 0.5]]
    assert w == [[1 - 0.25 * 0.5 - 0.25 * (0.9 * 0.5 + 0.5)]]


def test_the_delta_rule_s_training_is_run_s_own_step() -> None:
    case = xor("hidden")
    (first,) = islice(train(case, "delta rule"), 1)
    step = run(case, PLAIN, RULES)
    assert first.loss == step.backward.loss
    assert step.updated is not None
    assert [layer.weights for layer in first.layers] == [layer.weights for layer in step.updated]


def test_square_roots_are_enclosed() -> None:
    rng = np.random.default_rng(1)
    numbers = np.concatenate([rng.uniform(0, 4, 50), 2.0 ** rng.uniform(-600, 600, 50), [0.0]])[None, :]
    bounds = BoundedArithmetic(PROFILES["float32"])
    for error in (0.0, 1e-3):
        x = bounds.around(numbers, error * numbers)
        root = bounds.elementwise(lambda v, fn: fn.sqrt(v), x)
        balls = CertifiedArithmetic()
        for side in (1 - error, 1 + error):
            with ctx.workprec(128):
                exact = balls.elementwise(lambda v, fn: fn.sqrt(v), balls.lift(numbers * side)).tolist()[0]
            off = [float(abs(e - arb(v)).upper()) for e, v in zip(exact, root.value[0].tolist(), strict=True)]
            assert (np.array(off) <= root.errors[0] * (1 + 1e-12) + 1e-300).all()


def test_a_net_starts_anywhere_and_learns_xor_from_a_lucky_start() -> None:
    rng = np.random.default_rng(3)
    layers = (
        Dense(tuple(map(tuple, rng.uniform(-1, 1, (2, 2)).tolist())), (0.5, -0.5), "tanh"),
        Dense(tuple(map(tuple, rng.uniform(-1, 1, (1, 2)).tolist())), (0.0,), "sigmoid"),
    )
    case = replace(xor("separate"), layers=layers, learning_rate=0.1)
    last = list(islice(train(case, "adam"), 800))[-1]
    assert last.loss[0][0] < 0.01


def torch_optimizer(name: str, torch: Any, parameters: Any, rate: float) -> Any:
    optim = torch.optim
    return {
        "momentum(0.8, dampening=0.5, weight_decay=0.01)": lambda: optim.SGD(
            parameters, rate, momentum=0.8, dampening=0.5, weight_decay=0.01
        ),
        "nesterov(0.95, weight_decay=0.01)": lambda: optim.SGD(
            parameters, rate, momentum=0.95, nesterov=True, weight_decay=0.01
        ),
        "adagrad(1e-6, initial=0.1)": lambda: optim.Adagrad(parameters, rate, eps=1e-6, initial_accumulator_value=0.1),
        "rmsprop-momentum(0.9, 1e-6, 0.5)": lambda: optim.RMSprop(parameters, rate, alpha=0.9, eps=1e-6, momentum=0.5),
        "centered-rmsprop(0.9, 1e-6)": lambda: optim.RMSprop(parameters, rate, alpha=0.9, eps=1e-6, centered=True),
        "adam(0.8, 0.95, 1e-6, weight_decay=0.01)": lambda: optim.Adam(
            parameters, rate, betas=(0.8, 0.95), eps=1e-6, weight_decay=0.01
        ),
        "adamw(0.8, 0.95, 1e-6, 0.1)": lambda: optim.AdamW(
            parameters, rate, betas=(0.8, 0.95), eps=1e-6, weight_decay=0.1
        ),
    }[name]()


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize(
    "name",
    [
        "momentum(0.8, dampening=0.5, weight_decay=0.01)",
        "nesterov(0.95, weight_decay=0.01)",
        "adagrad(1e-6, initial=0.1)",
        "rmsprop-momentum(0.9, 1e-6, 0.5)",
        "centered-rmsprop(0.9, 1e-6)",
        "adam(0.8, 0.95, 1e-6, weight_decay=0.01)",
        "adamw(0.8, 0.95, 1e-6, 0.1)",
    ],
)
def test_constants_are_torch_s(name: str, dtype: str) -> None:
    """Of gradients that are given, so that only the rule is compared."""
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(4)
    weights, gradients = rng.standard_normal((3, 4)).astype(dtype), rng.standard_normal((STEPS, 3, 4)).astype(dtype)
    parameter = torch.tensor(weights, requires_grad=True)
    optimizer = torch_optimizer(name, torch, [parameter], 0.125)
    rule, bounds = update_rule_named(name), BoundedArithmetic(PROFILES[dtype])
    assert rule is not None
    ours, memory = bounds.lift(weights), (bounds.lift(np.zeros((3, 4))),) * rule.remembers
    for number, gradient in enumerate(gradients, start=1):
        parameter.grad = torch.tensor(gradient)
        optimizer.step()
        ours, memory = rule.step(ours, bounds.lift(gradient), memory, 0.125, number, bounds)
    assert ours.holds(parameter.detach().numpy()).all()
    assert ours.error.max() < {"float64": 1e-11, "float32": 1e-2}[dtype]


@pytest.mark.parametrize("name", FAMILIES)
def test_a_rule_s_own_name_names_it(name: str) -> None:
    rule = FAMILIES[name].rule({"weight_decay": 0.05})
    again = update_rule_named(rule.name)
    assert again is not None
    assert (again.name, again.words) == (rule.name, rule.words)
    assert "0.05" in rule.words


@pytest.mark.parametrize(
    "name", ["", "adam(", "adam(1)", "adam(beta3=0.9)", "adam(0.9, beta1=0.9)", "sgd(0.9)", "adam(x)", "momentum(-0.1)"]
)
def test_what_names_nothing_is_none(name: str) -> None:
    assert update_rule_named(name) is None


def test_constants_may_come_by_name_in_any_order() -> None:
    rule = update_rule_named(" Adam( beta2=0.99, weight_decay=0.01 ) ")
    assert rule is not None
    assert rule.name == "adam(0.9, 0.99, 1e-8, weight_decay=0.01)"
