"""Optimizers with state, on trial from outside: PyTorch's and optax's own, and hand-written ones with mistakes."""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec
from itertools import pairwise
from typing import Any

import pytest

np = pytest.importorskip("numpy")
from backproof.adapters.jax_grad import enable_x64
from backproof.reference.case import InvalidInput
from backproof.reports.validation.front_door import verify
from backproof.reports.validation.steps_taken import verify_trajectory
from written_networks import gradients_of_sigmoids

DECLARED: dict[str, Any] = {"activations": "sigmoid", "loss": "half_squared_error", "reduction": "sum"}
Update = Callable[[int, Any, Any, dict[str, Any], float], Any]  # (number, w, g, state of this array, rate) → new w


def gradients(weights: Any, biases: Any, inputs: Any, targets: Any) -> list[Any]:
    dw, db = gradients_of_sigmoids(weights, biases, inputs, targets)
    return [*dw, *db]


def stepping(update: Update) -> Callable[..., Any]:
    """A hand-written network that keeps the state of its update between calls."""
    states: dict[int, dict[str, Any]] = {}
    calls = [0]

    def step(weights: Any, biases: Any, inputs: Any, targets: Any, rate: float) -> Any:
        found = gradients(weights, biases, inputs, targets)
        calls[0] += 1
        pairs = enumerate(zip([*weights, *biases], found, strict=True))
        moved = [update(calls[0], w, g, states.setdefault(k, {}), rate) for k, (w, g) in pairs]
        return moved[: len(weights)], moved[len(weights) :]

    return step


def torch_stepping(make: Callable[[Any, float], Any]) -> Callable[..., Any]:
    torch = pytest.importorskip("torch")
    kept: dict[str, Any] = {}

    def step(weights: Any, biases: Any, inputs: Any, targets: Any, rate: float) -> Any:
        given = [torch.as_tensor(p) for p in (*weights, *biases)]
        if not kept:
            kept["parameters"] = [p.clone().requires_grad_() for p in given]
            kept["optimizer"] = make(kept["parameters"], rate)
        parameters = kept["parameters"]
        with torch.no_grad():
            for own, p in zip(parameters, given, strict=True):
                own.copy_(p)
        a = torch.as_tensor(inputs)
        for w, b in zip(parameters[: len(weights)], parameters[len(weights) :], strict=True):
            a = torch.sigmoid(torch.nn.functional.linear(a, w, b))
        kept["optimizer"].zero_grad()
        (((a - torch.as_tensor(targets)) ** 2).sum() / 2).backward()
        kept["optimizer"].step()
        moved = [p.detach().numpy().copy() for p in parameters]
        return moved[: len(weights)], moved[len(weights) :]

    return step


# Its name; what torch.optim has of it.
TORCH: dict[str, Callable[[Any], Callable[[Any, float], Any]]] = {
    "sgd": lambda optim: optim.SGD,
    "sgd(weight_decay=0.01)": lambda optim: lambda p, rate: optim.SGD(p, rate, weight_decay=0.01),
    "momentum(0.9)": lambda optim: lambda p, rate: optim.SGD(p, rate, momentum=0.9),
    "momentum(0.8, dampening=0.25, weight_decay=0.01)": lambda optim: (
        lambda p, rate: optim.SGD(p, rate, momentum=0.8, dampening=0.25, weight_decay=0.01)
    ),
    "nesterov(0.95)": lambda optim: lambda p, rate: optim.SGD(p, rate, momentum=0.95, nesterov=True),
    "adagrad(1e-10)": lambda optim: optim.Adagrad,
    "rmsprop(0.99, 1e-8)": lambda optim: optim.RMSprop,
    "rmsprop-momentum(0.9, 1e-8, 0.9)": lambda optim: lambda p, rate: optim.RMSprop(p, rate, alpha=0.9, momentum=0.9),
    "centered-rmsprop(0.99, 1e-8)": lambda optim: lambda p, rate: optim.RMSprop(p, rate, centered=True),
    "adam(0.9, 0.999, 1e-8)": lambda optim: optim.Adam,
    "adam(0.5, 0.9, 1e-6, weight_decay=0.02)": lambda optim: (
        lambda p, rate: optim.Adam(p, rate, betas=(0.5, 0.9), eps=1e-6, weight_decay=0.02)
    ),
    "adamw(0.9, 0.999, 1e-8, 0.01)": lambda optim: optim.AdamW,
}


@pytest.mark.sampled(5, 2)
@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("name", TORCH)
def test_torch_s_optimizers_agree_as_declared_and_not_with_other_constants(name: str, dtype: str) -> None:
    torch = pytest.importorskip("torch")
    report = verify_trajectory(torch_stepping(TORCH[name](torch.optim)), name, dtype=dtype, **DECLARED)
    assert report.verdict == "agrees", str(report)
    assert report.digits is not None
    assert report.digits > {"float64": 11, "float32": 3}[dtype]
    assert dict(report.probes)["step 7"] == "agrees"


@pytest.mark.sampled(6)
@pytest.mark.parametrize("name", TORCH)
def test_what_is_not_declared_is_found_out_to_the_last_constant(name: str) -> None:
    torch = pytest.importorskip("torch")
    report = verify_trajectory(torch_stepping(TORCH[name](torch.optim)), **DECLARED)
    assert report.verdict == "agrees", str(report)
    constants = name.partition("(")[2].removesuffix(")").replace("weight_decay=", "").replace("dampening=", "")
    for constant in filter(None, constants.split(", ")):
        assert f" {constant}" in str(report.conventions), str(report)


def test_of_a_bare_name_the_constants_are_found_out() -> None:
    torch = pytest.importorskip("torch")
    report = verify_trajectory(
        torch_stepping(lambda p, r: torch.optim.Adam(p, r, betas=(0.8, 0.95))), "adam", **DECLARED
    )
    assert "Adam with β₁ 0.8, β₂ 0.95, ε 1e-8" in str(report.conventions)
    assert report.verdict == "agrees"


@pytest.mark.usefixtures("slow")
def test_conventions_are_found_out_beside_the_optimizer() -> None:
    torch = pytest.importorskip("torch")
    report = verify_trajectory(torch_stepping(TORCH["momentum(0.9)"](torch.optim)), "momentum(0.9)")
    assert report.verdict == "agrees"
    assert "momentum 0.9; squared error with ½, summed over samples; sigmoid in hidden layers" in str(
        report.conventions
    )


@pytest.mark.usefixtures("slow")
@pytest.mark.skipif(find_spec("optax") is None, reason="optax is not installed")
@pytest.mark.parametrize(
    ("name", "make"),
    [
        ("nesterov(0.9)", lambda optax, rate: optax.sgd(rate, momentum=0.9, nesterov=True)),
        ("adam(0.9, 0.999, 1e-8)", lambda optax, rate: optax.adam(rate)),
        ("adamw(0.9, 0.999, 1e-8, 0.0001)", lambda optax, rate: optax.adamw(rate)),
        ("adam-epsilon-inside(0.9, 0.999, 1e-6)", lambda optax, rate: optax.adam(rate, eps=0.0, eps_root=1e-6)),
        ("rmsprop-epsilon-inside(0.9, 1e-8)", lambda optax, rate: optax.rmsprop(rate)),
        ("adagrad-epsilon-inside(1e-7, initial=0.1)", lambda optax, rate: optax.adagrad(rate)),
    ],
)
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_optax_s_optimizers_agree(name: str, make: Callable[[Any, float], Any], dtype: str) -> None:
    jax = pytest.importorskip("jax")
    import optax

    kept: dict[str, Any] = {}

    def step(weights: Any, biases: Any, inputs: Any, targets: Any, rate: float) -> Any:
        with enable_x64(True):
            parameters = [jax.numpy.asarray(p) for p in (*weights, *biases)]
            found = [jax.numpy.asarray(g) for g in gradients(weights, biases, inputs, targets)]
            if not kept:
                kept["optimizer"] = make(optax, rate)
                kept["state"] = kept["optimizer"].init(parameters)
            changes, kept["state"] = kept["optimizer"].update(found, kept["state"], parameters)
            moved = [np.asarray(p) for p in optax.apply_updates(parameters, changes)]
        return moved[: len(weights)], moved[len(weights) :]

    report = verify_trajectory(step, name, dtype=dtype, **DECLARED)
    assert report.verdict == "agrees", str(report)


# ---------------------------------------------------------------------------------------- hand-written


def adam(
    beta1: float = 0.9, beta2: float = 0.999, epsilon: float = 1e-8, *, correct: tuple[bool, bool] = (True, True),
    inside: bool = False, decoupled: float = 0.0, coupled: float = 0.0, of_sizes: bool = False, scaled: bool = True,
    root: bool = True, hat: bool = False,
) -> Update:  # fmt: skip
    def update(number: int, w: Any, g: Any, state: dict[str, Any], rate: float) -> Any:
        g = g + coupled * w
        state["m"] = beta1 * state.get("m", 0) + (1 - beta1) * g
        state["s"] = beta2 * state.get("s", 0) + (1 - beta2) * (abs(g) if of_sizes else g * g)
        m = state["m"] / (1 - beta1**number) if correct[0] else state["m"]
        s = state["s"] / (1 - beta2**number) if correct[1] else state["s"]
        if hat:
            return w - rate * np.sqrt(1 - beta2**number) / (1 - beta1**number) * state["m"] / (
                np.sqrt(state["s"]) + epsilon
            )
        below = np.sqrt(s + epsilon) if inside else (np.sqrt(s) if root else s) + epsilon
        return w - (rate if scaled else 1.0) * m / below - rate * decoupled * w

    return update


def momentum(mu: float = 0.9, *, carried: bool = True, inside: bool = False, sign: float = -1.0) -> Update:
    def update(number: int, w: Any, g: Any, state: dict[str, Any], rate: float) -> Any:
        if inside:
            state["v"] = mu * state.get("v", 0) - rate * g
            return w + state["v"]
        v = mu * state.get("v", 0) + g
        state["v"] = v if carried else 0 * v
        return w + sign * rate * v

    return update


def nesterov(mu: float = 0.9, sign: float = 1.0) -> Update:
    def update(number: int, w: Any, g: Any, state: dict[str, Any], rate: float) -> Any:
        state["v"] = mu * state.get("v", 0) + g
        return w - rate * (g + sign * mu * state["v"])

    return update


def keras_nesterov(number: int, w: Any, g: Any, state: dict[str, Any], rate: float) -> Any:
    state["v"] = 0.9 * state.get("v", 0) - rate * g
    return w + 0.9 * state["v"] - rate * g


def rmsprop(number: int, w: Any, g: Any, state: dict[str, Any], rate: float, inside: bool = True) -> Any:
    state["s"] = 0.9 * state.get("s", 0) + 0.1 * g**2
    return w - rate * g / (np.sqrt(state["s"] + 1e-6) if inside else np.sqrt(state["s"]) + 1e-6)


@pytest.mark.sampled(4)
@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize(
    ("name", "update"),
    [
        ("momentum(0.9)", momentum(inside=True)),
        ("nesterov(0.9)", nesterov()),
        ("nesterov(0.9)", keras_nesterov),
        ("adam(0.9, 0.999, 1e-8)", adam()),
        ("adamw(0.9, 0.999, 1e-8, 0.01)", adam(decoupled=0.01)),
        ("adam-epsilon-hat(0.9, 0.999, 1e-7)", adam(epsilon=1e-7, hat=True)),
        ("rmsprop-epsilon-inside(0.9, 1e-6)", rmsprop),
    ],
)
def test_hand_written_ones_agree(name: str, update: Update, dtype: str) -> None:
    report = verify_trajectory(stepping(update), name, dtype=dtype, **DECLARED)
    assert report.verdict == "agrees", str(report)


def summed_squares(number: int, w: Any, g: Any, state: dict[str, Any], rate: float) -> Any:
    state["s"] = 0.9 * state.get("s", 0) + g**2
    return w - rate * g / (np.sqrt(state["s"]) + 1e-6)


def rate_twice(number: int, w: Any, g: Any, state: dict[str, Any], rate: float) -> Any:
    state["v"] = 0.9 * state.get("v", 0) + rate * g
    return w - rate * state["v"]


MISTAKES: list[tuple[str, Update, str]] = [
    ("momentum(0.9)", rate_twice, "its steps are multiplied by the learning rate twice"),
    ("rmsprop(0.9, 1e-6)", summed_squares, "it adds g² up without its share 1 − α"),
    ("adam", adam(correct=(False, False)), "the bias corrections are missing"),
    ("adam", adam(correct=(True, False)), "β₂'s bias correction is missing"),
    ("adam", adam(correct=(False, True)), "β₁'s bias correction is missing"),
    ("adam(0.9, 0.999, 1e-8)", adam(0.999, 0.9), "β₁ and β₂ are swapped"),
    ("adam(0.9, 0.999, 1e-8)", adam(beta2=0.99), "it is Adam with β₁ 0.9, β₂ 0.99, ε 1e-8, not"),
    ("adam", adam(inside=True), "ε is inside the root"),
    ("adam", adam(root=False), "without the root"),
    ("adam", adam(of_sizes=True), "it averages |g|, not g²"),
    ("adam", adam(scaled=False), "its steps are not multiplied by the learning rate"),
    ("adamw", adam(coupled=0.01), "weight decay is coupled (added to the gradient), not decoupled"),
    ("adam(weight_decay=0.01)", adam(decoupled=0.01), "weight decay is decoupled, not coupled"),
    ("adamw(0.9, 0.999, 1e-8, 0.01)", adam(decoupled=-0.01), "its weight decay has the wrong sign"),
    ("adamw(0.9, 0.999, 1e-8, 0.01)", adam(), "its weights do not decay"),
    ("momentum(0.9)", momentum(0.99), "it is momentum 0.99, not momentum 0.9"),
    ("momentum", momentum(carried=False), "its state is not carried on: each step is a first step"),
    ("momentum", momentum(sign=1.0), "it goes uphill"),
    ("nesterov", nesterov(sign=-1.0), "it moves by g − μ v"),
    ("nesterov(0.9)", momentum(), "it is momentum 0.9, not Nesterov's momentum 0.9"),
    ("momentum", adam(), "it is Adam with β₁ 0.9, β₂ 0.999, ε 1e-8, not momentum 0.9"),
]


@pytest.mark.sampled(22)
@pytest.mark.parametrize(("name", "update", "said"), MISTAKES, ids=[said for *_, said in MISTAKES])
def test_a_mistake_is_called_wrong_and_named(name: str, update: Update, said: str) -> None:
    report = verify_trajectory(stepping(update), name, **DECLARED)
    assert report.verdict == "wrong"
    assert said in str(report), str(report)
    assert "step " in str(report)


@pytest.mark.usefixtures("slow")
def test_what_is_no_optimizer_is_wrong_and_not_named() -> None:
    cubed = lambda number, w, g, state, rate: w - rate * g**3  # noqa: E731
    report = verify_trajectory(stepping(cubed), "adam(0.9, 0.999, 1e-8)", **DECLARED)
    assert report.verdict == "wrong"
    assert "no known optimizer, and none with a known mistake, takes these steps" in str(report)


@pytest.mark.usefixtures("slow")
def test_an_optimizer_that_is_neither_declared_nor_known_is_unrecognised_and_not_accused() -> None:
    report = verify_trajectory(stepping(lambda number, w, g, state, rate: w - rate * g**3), **DECLARED)
    assert report.verdict == "unrecognised"
    assert not report.ok
    assert "declare what it is meant to be" in str(report)


@pytest.mark.usefixtures("slow")
@pytest.mark.sampled(2)
@pytest.mark.parametrize(
    "declared",
    [{}, {"activations": "sigmoid", "loss": "half_squared_error", "reduction": "sum"}],
    ids=["nothing", "the network"],
)
@pytest.mark.parametrize("name", ["momentum", "adam"])
def test_a_state_that_nobody_declared_is_no_mistake(name: str, declared: dict[str, Any]) -> None:
    """Asked as plain steps, it gives other numbers each time, as an optimizer has to."""
    update = {"momentum": momentum(), "adam": adam()}[name]
    report = verify(stepping(update), returns="updated", sizes=(3, 4, 2), **declared)
    assert report.verdict == "unrecognised"
    assert "declare optimizer=" in report.findings[0]


@pytest.mark.usefixtures("slow")
def test_of_a_bare_name_steps_without_constants_are_unrecognised_as_a_fit_is_no_proof() -> None:
    report = verify_trajectory(stepping(lambda number, w, g, state, rate: w - rate * g**3), "momentum", **DECLARED)
    assert report.verdict == "unrecognised"
    assert "declare them, such as optimizer='momentum(0.9)'" in str(report)


@pytest.mark.usefixtures("slow")
def test_a_known_mistake_is_found_without_a_declaration() -> None:
    report = verify_trajectory(stepping(adam(correct=(False, False))), "find", **DECLARED)
    assert report.verdict == "wrong"
    assert "the bias corrections are missing: it is Adam with β₁ 0.9, β₂ 0.999, ε 1e-8 otherwise" in str(report)


@pytest.mark.sampled(3)
@pytest.mark.parametrize("bias", ["none", "weights-first", "weights-last"])
def test_other_forms_of_biases_are_found_out(bias: str) -> None:
    update, states, calls = momentum(), dict[int, dict[str, Any]](), [0]

    def step(weights: Any, biases: Any, inputs: Any, targets: Any, rate: float) -> Any:
        column = {"none": None, "weights-first": 0, "weights-last": -1}[bias]
        if any(b is not None for b in biases):
            raise ValueError("no biases, please")
        if column is None:
            split = [(w, np.zeros(len(w))) for w in weights]
        else:
            if weights[0].shape[1] == inputs.shape[1]:
                raise ValueError("one column more, please")
            split = [(np.delete(w, column, axis=1), w[:, column]) for w in weights]
        found = gradients([w for w, _ in split], [b for _, b in split], inputs, targets)
        calls[0] += 1
        moved = []
        for k, (w, dw, db) in enumerate(zip(weights, found[: len(weights)], found[len(weights) :], strict=True)):
            joined = dw
            if column is not None:
                joined = np.insert(dw, 0 if column == 0 else dw.shape[1], db, axis=1)
            moved.append(update(calls[0], w, joined, states.setdefault(k, {}), rate))
        return moved, [None] * len(weights)

    report = verify_trajectory(step, "momentum(0.9)", **DECLARED)
    assert report.verdict == "agrees", str(report)
    assert f"bias: {bias}." in str(report)


def test_nothing_is_called_before_the_first_step_and_each_starts_where_the_last_ended() -> None:
    seen: list[Any] = []
    update = stepping(momentum())

    def step(weights: Any, biases: Any, inputs: Any, targets: Any, rate: float) -> Any:
        answer = update(weights, biases, inputs, targets, rate)
        seen.append((weights[0].copy(), inputs.copy(), answer[0][0].copy()))
        return answer

    assert verify_trajectory(step, "momentum", **DECLARED).verdict == "agrees"
    assert len(seen) == 7
    assert all(np.array_equal(before[2], after[0]) for before, after in pairwise(seen))
    assert [np.array_equal(seen[0][1], inputs) for _, inputs, _ in seen] == [True] * 3 + [False] * 4


def test_a_function_that_stops_answering_is_unanswered() -> None:
    update, calls = stepping(momentum()), [0]

    def step(*arguments: Any) -> Any:
        calls[0] += 1
        if calls[0] == 4:
            raise RuntimeError("enough")
        return update(*arguments)

    report = verify_trajectory(step, "momentum", **DECLARED)
    assert report.verdict == "unanswered"
    assert "step 4 of 7: it raised RuntimeError: enough" in str(report)


def test_numbers_that_are_not_finite_are_wrong() -> None:
    def update(number: int, w: Any, g: Any, state: dict[str, Any], rate: float) -> Any:
        return w - rate * g * (np.nan if number == 3 else 1)

    report = verify_trajectory(stepping(update), "sgd", **DECLARED)
    assert report.verdict == "wrong"
    assert "step 3 returned numbers that are not finite" in str(report)


def test_biases_may_decay_or_not_and_it_is_said() -> None:
    def update(number: int, w: Any, g: Any, state: dict[str, Any], rate: float) -> Any:
        return adam(decoupled=0.05 if w.ndim == 2 else 0.0)(number, w, g, state, rate)

    report = verify_trajectory(stepping(update), "adamw", **DECLARED)
    assert "decoupled weight decay 0.05 (of weights only)" in str(report.conventions)
    assert report.verdict == "agrees"


def test_in_a_format_too_coarse_for_epsilon_that_is_said() -> None:
    report = verify_trajectory(stepping(adam()), dtype="float32", **DECLARED)
    assert "ε does not show: below " in str(report.conventions)


@pytest.mark.parametrize(
    "optimizer", ["adamm", "adam(2.0)", "adam(0.9, 0.999, 1e-8, 0.1)", "adam(rate=1)", "momentum(x)"]
)
def test_names_that_make_no_sense_are_refused_in_words(optimizer: str) -> None:
    with pytest.raises(InvalidInput, match="optimizer: expected"):
        verify_trajectory(stepping(momentum()), optimizer)


@pytest.mark.usefixtures("slow")
@pytest.mark.parametrize("optimizer", ["adam(0.9, 0.999, 1e-8, weight_decay=0.1)", "adam(weight_decay=0.1)", "find"])
def test_decay_that_turns_steps_around_hides_no_network(optimizer: str) -> None:
    step = torch_stepping(lambda p, rate: pytest.importorskip("torch").optim.Adam(p, rate, weight_decay=0.1))
    report = verify_trajectory(step, optimizer)
    assert report.ok, report
    assert "sigmoid in hidden layers, sigmoid at the output" in str(report)


@pytest.mark.usefixtures("slow")
@pytest.mark.parametrize("optimizer", ["adam(0.9, 0.999, 1e-8)", "sgd"])
def test_of_a_network_that_is_not_known_a_declared_optimizer_is_not_accused(optimizer: str) -> None:
    def unknown(W: Any, B: Any, x: Any, t: Any) -> list[Any]:
        """Of z·tanh(z) in all layers."""
        a, slopes = [x], list[Any]()
        for w, b in zip(W, B, strict=True):
            z = a[-1] @ w.T + b
            a.append(z * np.tanh(z))
            slopes.append(np.tanh(z) + z * (1 - np.tanh(z) ** 2))
        delta, dw, db = (a[-1] - t) * slopes[-1], list[Any](), list[Any]()
        for k in reversed(range(len(W))):
            dw.insert(0, delta.T @ a[k])
            db.insert(0, delta.sum(axis=0))
            delta = delta @ W[k] * (slopes[k - 1] if k else 1)
        return [*dw, *db]

    memory: dict[int, tuple[Any, Any]] = {}
    calls = [0]

    def step(W: Any, B: Any, x: Any, t: Any, rate: float) -> Any:
        calls[0] += 1
        moved = []
        for k, (w, g) in enumerate(zip([*W, *B], unknown(W, B, x, t), strict=True)):
            m, v = memory.get(k, (0.0, 0.0))
            m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g * g
            memory[k] = m, v
            ahead, size = m / (1 - 0.9 ** calls[0]), v / (1 - 0.999 ** calls[0])
            moved.append(w - rate * (g if optimizer == "sgd" else ahead / (np.sqrt(size) + 1e-8)))
        return moved[: len(W)], moved[len(W) :]

    report = verify_trajectory(step, optimizer)
    assert report.verdict == "unrecognised", report
    assert "declare activations, loss and reduction" in " ".join(str(report).split())
