"""Field and path of functions that misbehave, of structures of every kind, and of the frameworks' own."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import pytest

np = pytest.importorskip("numpy")

import backproof as bp
from backproof.reference.judging.gradient_function import held_in
from backproof.reference.judging.pytrees import blocks_of
from backproof.reference.numbers import FLOAT64
from own_nets import Net, uncertainty

# ------------------------------------------------------------------------------------------------ functions that misbehave


def test_a_function_that_is_not_deterministic_is_told_so() -> None:
    rng = np.random.default_rng(0)
    net = Net(6, "tanh", sizes=(3, 4, 2))

    def dropout(p: Any) -> Any:
        value, gradient = net.value_and_gradient(p)
        return value, [g * (rng.random(g.shape) < 0.5) for g in gradient]

    for check in (bp.check_field(lambda p: dropout(p)[1], net.parameters), bp.check_path(dropout, net.parameters)):
        assert not check.ok
        assert check.verdict == "undecided"
        assert check.calls == 4
        assert "not deterministic" in check.reason


def test_rounding_that_changes_from_call_to_call_is_allowed_for() -> None:
    rng = np.random.default_rng(0)
    net = Net(6, "tanh", sizes=(3, 4, 2), dtype="float32")

    def atomic(p: Any) -> Any:
        value, gradient = net.value_and_gradient(p)
        return value, [(g * (1 + 1e-7 * rng.standard_normal(g.shape))).astype("float32") for g in gradient]

    assert bp.check_field(lambda p: atomic(p)[1], net.parameters).ok
    assert bp.check_path(atomic, net.parameters).ok


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_answers_that_are_not_finite_decide_nothing(bad: float) -> None:
    at = np.array([0.5, -0.25])
    assert "not finite" in bp.check_field(lambda w: w * bad, at).reason
    assert "not finite" in bp.check_path(lambda w: (bad, w), at).reason
    nearby = bp.check_field(lambda w: w if np.array_equal(w, at) else w * bad, at)
    assert nearby.symmetric is None
    assert "not finite" in nearby.reason
    assert bp.check_path(lambda w: (w @ w / 2, w if np.array_equal(w, at) else w * bad), at).agrees is None


def test_a_function_may_do_to_its_arguments_what_it_likes() -> None:
    net = Net(7, "tanh", sizes=(3, 4, 2))
    before = [p.copy() for p in net.parameters]

    def in_place(p: Any) -> Any:
        gradient = net.gradient(p)
        for w in p:
            w[...] = 0
        return gradient

    assert bp.check_field(in_place, net.parameters).ok
    assert all(map(np.array_equal, net.parameters, before))


def test_a_format_is_found_in_the_numbers_whatever_they_are_stored_as() -> None:
    net = Net(8, "tanh", sizes=(3, 4, 2), dtype="float32")

    def wide(p: Any) -> Any:
        value, gradient = net.value_and_gradient([w.astype("float32") for w in p])
        return float(value), [g.astype("float64") for g in gradient]

    at = [p.astype("float64") for p in net.parameters]
    field, path = bp.check_field(lambda p: wide(p)[1], at), bp.check_path(wide, at)
    assert field.ok
    assert path.ok
    assert (field.precision, path.precision, path.value_precision) == ("float32", "float32", "float32")
    assert held_in(np.array([1.0, 0.0, -0.5]), FLOAT64) is FLOAT64  # anything holds these
    assert held_in(np.array([0.7109375, 3.0]), FLOAT64).name == "bfloat16"


def test_one_number_is_always_a_gradient_and_the_path_still_checks_it() -> None:
    assert "single number" in bp.check_field(lambda w: 3 * w, 0.5).reason
    assert bp.check_path(lambda w: (1.5 * w * w, 3 * w), 0.5).ok
    path = bp.check_path(lambda w: (1.5 * w * w, 2 * w), 0.5)
    assert path.factor is not None
    assert abs(path.factor - 1.5) <= uncertainty(path)


def test_a_gradient_of_zeros_fits() -> None:
    assert bp.check_field(np.zeros_like, np.ones(3)).ok
    assert bp.check_path(lambda w: (1.0, np.zeros_like(w)), np.ones(3)).ok
    assert bp.check_path(lambda w: (w.sum(), np.zeros_like(w)), np.ones(3)).agrees is False


# ------------------------------------------------------------------------------------------------ structures


def test_structures_of_all_kinds_and_nothing_in_them() -> None:
    at = {"hidden": {"w": np.eye(2), "unused": None}, "out": (np.ones(2), 0.5), "scale": np.float32(2)}

    def loss(p: Any) -> tuple[Any, Any]:
        assert isinstance(p["out"], tuple)
        assert p["hidden"]["unused"] is None
        assert type(p["scale"]) is np.float32
        w, (v, b), s = p["hidden"]["w"], p["out"], p["scale"].astype(float)
        h = np.tanh(w @ v)
        d = s * (1 - h * h)
        return s * h.sum() + b * b, {
            "hidden": {"w": np.outer(d, v), "unused": None},
            "out": [w.T @ d, 2 * b],
            "scale": np.float32(h.sum()),
        }

    field, path = bp.check_field(lambda p: loss(p)[1], at), bp.check_path(loss, at)
    assert field.ok
    assert path.ok
    assert {pair.first for pair in field.pairs} == {"everything", "hidden.w", "out[0]", "out[1]", "scale"}
    assert field.precision == "float32"  # the coarsest counts


def test_a_flat_array_and_a_list_of_numbers_and_a_path_to_somewhere() -> None:
    def loss(w: Any) -> tuple[Any, Any]:
        w = np.asarray(w)
        return np.exp(w).sum() + w[0] * w[1], np.exp(w) + np.array([w[1], w[0], 0])

    for at in (np.array([0.5, -0.5, 0.25]), [0.5, -0.5, 0.25]):
        assert bp.check_field(lambda w: loss(w)[1], at).ok
        assert bp.check_path(loss, at).ok
    path = bp.check_path(loss, np.zeros(3), np.ones(3))
    assert path.ok
    assert path.calls == 4 + 5 + 4 * 15
    assert abs(path.paths[0].change - (3 * math.e - 3 + 1)) <= path.paths[0].tolerance
    assert path.power < 1e-12
    assert bp.check_path(lambda w: (loss(w)[0], loss(w)[1] * 1.001), np.zeros(3), np.ones(3)).agrees is False


def test_blocks_are_leaves_or_layers_or_neighbours() -> None:
    layers = [f"{k}.{part}" for k in range(8) for part in ("weight", "bias")]
    assert [b.name for b in blocks_of(layers, None)] == [str(k) for k in range(8)]
    assert [b.name for b in blocks_of(layers[:4], None)] == layers[:4]
    many = blocks_of([f"at[{k}]" for k in range(35)], None)
    assert len(many) == 10
    assert many[0].name == "at[0] … at[3]"
    assert sorted(k for b in many for k in b.leaves) == list(range(35))
    assert blocks_of(layers, ["3", ["0.weight", "1"]])[1].leaves == (0, 2, 3)


@pytest.mark.parametrize(
    ("at", "answer", "message"),
    [
        ([1.0, 2.0], lambda w: [1.0], r"the gradient: expected a list or tuple of 2, as was given; got a list of 1"),
        (np.ones(2), lambda w: [np.ones(2)], r"the gradient: expected an array of floating-point numbers, got a list of 1"),
        (np.ones((2, 1)), lambda w: np.ones(2), r"the gradient: expected 2 × 1, as at has; got 2"),
        ({"w": 1.0}, lambda w: {"v": 1.0}, r"expected a dict with 'w', as was given; got a dict with 'v'"),
        ({"w": 1.0}, lambda w: None, r"expected a dict with 'w', as was given; got None"),
        ([np.ones(2)], lambda w: [None], r"the gradient\[0\]: expected an array, got None. PyTorch answers None"),
        (np.ones(2), lambda w: w * 1j, r"expected numbers in one of float64, .*; got complex128"),
        (np.ones(2), lambda w: "no", r"expected an array of floating-point numbers, got str"),
        (np.ones(2, int), lambda w: w, r"at: expected floating-point numbers, which can be moved a little; got int64"),
        ({"a": [np.array([1.0, math.nan])]}, lambda w: w, r"a\[0\]: expected finite numbers, got nan"),
        ([None, {}], lambda w: w, r"at: expected an array, or a list, tuple or dict of arrays; there is no number in it"),
        ("text", lambda w: w, r"at: expected an array of floating-point numbers, got str"),
        ([True], lambda w: w, r"at\[0\]: expected an array of floating-point numbers, got bool"),
    ],
)  # fmt: skip
def test_what_cannot_be_used_is_said_in_a_sentence(at: Any, answer: Any, message: str) -> None:
    with pytest.raises(bp.InvalidInput, match=message):
        bp.check_field(answer, at)


def test_the_path_s_own_messages() -> None:
    w = np.ones(2)
    with pytest.raises(bp.InvalidInput, match=r"expected a pair, \(value, gradient\); got ndarray"):
        bp.check_path(lambda w: w, w)
    with pytest.raises(bp.InvalidInput, match=r"the value: expected one number, got 2. Sum it up"):
        bp.check_path(lambda w: (w, w), w)
    with pytest.raises(bp.InvalidInput, match=r"end: expected another point than `start`"):
        bp.check_path(lambda w: (w @ w, 2 * w), w, w)
    with pytest.raises(bp.InvalidInput, match=r"end: expected the shape of `start`, 2; got 3"):
        bp.check_path(lambda w: (w @ w, 2 * w), w, np.ones(3))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"dtype": "float23"}, "dtype: expected one of .*Did you mean 'float32'"),
        ({"blocks": "at[0]"}, "blocks: expected a list of names"),
        ({"blocks": ["at[2]"]}, r"blocks: expected one of at\[0\], at\[1\]; got 'at\[2\]'"),
        ({"blocks": ["at[0]", ["at[0]", "at[1]"]]}, r"expected each array in one block; at\[0\] is in two"),
        ({"blocks": []}, "expected at least one block"),
    ],
)
def test_options_that_are_not_there(options: Any, message: str) -> None:
    with pytest.raises(bp.InvalidInput, match=message):
        bp.check_field(lambda w: w, [1.0, 2.0], **options)
    with pytest.raises(bp.InvalidInput, match="expected a function first"):
        bp.check_field([1.0], lambda w: w)  # type: ignore[arg-type] # as somebody may


# ------------------------------------------------------------------------------------------------ frameworks


@pytest.fixture
def torch() -> Iterator[Any]:
    """With one thread: many small calls, which threads only wait for."""
    torch = pytest.importorskip("torch")
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield torch
    torch.set_num_threads(threads)


@pytest.mark.usefixtures("slow")
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_a_module_of_torch(torch: Any, dtype: str) -> None:
    torch.manual_seed(0)
    kind = getattr(torch, dtype)
    model = torch.nn.Sequential(
        torch.nn.Linear(3, 5), torch.nn.GELU(), torch.nn.LayerNorm(5), torch.nn.Linear(5, 2)
    ).to(kind)
    x, y = torch.randn(4, 3, dtype=kind), torch.tensor([0, 1, 1, 0])
    factor = 1.0

    def loss(p: Any) -> tuple[Any, Any]:
        assert all(w.requires_grad and w.dtype == kind for w in p.values())
        value = torch.nn.functional.cross_entropy(torch.func.functional_call(model, p, (x,)), y)
        gradients = dict(zip(p, torch.autograd.grad(value, list(p.values())), strict=True))
        gradients["3.weight"] = gradients["3.weight"] * factor
        return value, gradients

    at, layers = dict(model.named_parameters()), ["0", "2", "3"]
    assert bp.check_field(lambda p: loss(p)[1], at, blocks=layers).ok
    assert bp.check_path(loss, at, blocks=layers).ok
    if dtype == "float64":
        factor = 1 + 1e-9
        assert bp.check_field(lambda p: loss(p)[1], at, blocks=layers).misfits == (("3",),)
        assert bp.check_path(loss, at, blocks=layers).agrees is False
    with pytest.raises(bp.InvalidInput, match="got a module"):
        bp.check_field(lambda p: p, model)


@pytest.mark.usefixtures("slow")
def test_a_function_of_jax() -> None:
    jax = pytest.importorskip("jax")
    jnp = jax.numpy
    x = jnp.linspace(-1, 1, 12, dtype="float32").reshape(4, 3)

    activation = jax.custom_vjp(jnp.tanh)

    def loss(p: Any, own: bool) -> Any:
        z = x @ p["w"].T + p["b"]
        return jnp.mean(((activation(z) if own else jnp.tanh(z)) @ p["v"]) ** 2)

    activation.defvjp(lambda z: (jnp.tanh(z), z), lambda z, g: (g * (1 - jnp.tanh(z)) ** 2,))
    rng = np.random.default_rng(0)
    at = {k: jnp.asarray(rng.standard_normal(s), "float32") for k, s in (("w", (4, 3)), ("b", 4), ("v", 4))}
    right, wrong = (jax.jit(jax.value_and_grad(lambda p, own=own: loss(p, own))) for own in (False, True))
    blocks = ["w", ["b", "v"]]
    field, path = bp.check_field(lambda p: right(p)[1], at, blocks=blocks), bp.check_path(right, at, blocks=blocks)
    assert field.ok
    assert path.ok
    assert field.precision == "float32"
    assert bp.check_field(lambda p: wrong(p)[1], at, blocks=blocks).symmetric is False
    assert bp.check_path(wrong, at, blocks=blocks).agrees is False


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_a_gradient_that_is_zero_but_for_rounding_hides_no_other(dtype: str) -> None:
    """A bias before a batch norm, or of a softmax's keys: its gradient is roundings alone."""
    drawn = np.random.default_rng(3)
    x, t = drawn.standard_normal((8, 3)).astype(dtype), drawn.standard_normal((8, 4)).astype(dtype)

    def normalised(off: float) -> Any:
        def value_and_gradient(p: Any) -> Any:
            z = x @ p["w"] + p["b"]
            i = 1 / np.sqrt(z.var(axis=0) + z.dtype.type(1e-3))
            n = (z - z.mean(axis=0)) * i
            y = np.tanh(n)
            d = (y - t) * (1 - y * y)
            d = i * (d - d.mean(axis=0) - n * (d * n).mean(axis=0))
            return ((y - t) ** 2).sum() / 2, {"w": x.T @ d * z.dtype.type(off), "b": d.sum(axis=0)}

        return value_and_gradient

    start = {"w": drawn.standard_normal((3, 4)).astype(dtype), "b": drawn.standard_normal(4).astype(dtype)}
    right = bp.check_path(normalised(1.0), start)
    assert right.ok, right
    assert "b: rounding hides all" in " ".join(str(right).split())
    assert right.power < (1e-9 if dtype == "float64" else 1e-2)
    assert bp.check_path(normalised(1.05), start).agrees is False
    assert bp.check_field(lambda p: normalised(1.0)(p)[1], start).verdict != "wrong"
