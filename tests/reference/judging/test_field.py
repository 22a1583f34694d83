"""Field and path: silent on right gradients of any network, loud on planted mistakes, and honest about what they miss."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path as FilePath
from typing import Any

import pytest

np = pytest.importorskip("numpy")

import backproof as bp
from backproof.reference.judging.field import FieldCheck
from backproof.reference.judging.gradient_function import held_in
from backproof.reference.judging.path import PathCheck
from backproof.reference.judging.pytrees import blocks_of
from backproof.reference.judging.quadrature import (
    DEVIATIONS,
    FREEDOM,
    GAUSS,
    INNER,
    KRONROD,
    LEAST_FREEDOM,
    NODES,
    NORM,
    integral,
    unexplained,
)
from backproof.reference.numbers import FLOAT64, PRECISIONS, numpy_dtype
from hypothesis import given
from hypothesis import strategies as st

# ------------------------------------------------------------------------------------------------ networks of our own


def sigmoid(z: Any) -> Any:
    return 1 / (1 + np.exp(-z))


def normal_cdf(z: Any) -> Any:
    return (0.5 * (1 + np.vectorize(math.erf, otypes=[float])(z * math.sqrt(0.5)))).astype(z.dtype)


ACTIVATIONS: dict[str, tuple[Callable[[Any], Any], Callable[[Any], Any]]] = {
    "tanh": (np.tanh, lambda z: 1 - np.tanh(z) ** 2),
    "swish": (lambda z: z * sigmoid(z), lambda z: sigmoid(z) * (1 + z * (1 - sigmoid(z)))),
    "gelu": (
        lambda z: z * normal_cdf(z),
        lambda z: normal_cdf(z) + z * np.exp(-z * z / 2) * z.dtype.type(1 / math.sqrt(2 * math.pi)),
    ),
    "elu": (
        lambda z: np.where(z > 0, z, np.expm1(np.minimum(z, 0))),
        lambda z: np.where(z > 0, 1, np.exp(np.minimum(z, 0))).astype(z.dtype),
    ),
    "relu": (lambda z: np.maximum(z, 0), lambda z: (z > 0).astype(z.dtype)),
}


class Net:
    """An MLP with softmax cross-entropy or ½ squared error, a mean over samples, L2 and a fixed dropout mask.

    fault: a mistake in the gradient of the hidden layer with this number (from 0), or of all: (name, layer)
    """

    def __init__(
        self, seed: int, *activations: str, sizes: tuple[int, ...] = (3, 4, 4, 2), dtype: str = "float64",
        loss: str = "softmax", dropout: bool = False, fault: tuple[Any, ...] = (),
    ) -> None:  # fmt: skip
        rng = np.random.default_rng(seed)
        self.dtype = numpy_dtype(dtype)
        self.activations, self.loss, self.fault = activations, loss, fault
        self.x = rng.standard_normal((5, sizes[0])).astype(self.dtype)
        self.t = np.eye(sizes[-1])[rng.integers(0, sizes[-1], 5)].astype(self.dtype)
        self.decay = self.dtype.type(0.0625)
        self.masks = [((rng.random((5, n)) < 0.7) / 0.7).astype(self.dtype) if dropout else None for n in sizes[1:-1]]
        self.parameters = [
            rng.standard_normal(shape).astype(self.dtype) / self.dtype.type(2)
            for a, b in pairwise(sizes)
            for shape in ((b, a), (b,))
        ]

    def value_and_gradient(self, p: Any) -> tuple[Any, list[Any]]:  # noqa: PLR0912 -- a branch for each mistake
        mistake, where = (*self.fault, None, None)[:2]
        last = len(p) // 2 - 1
        a, seen = self.x, []
        for k in range(last + 1):
            z = a @ p[2 * k].T + p[2 * k + 1]
            seen.append((a, z))
            a = z
            if k < last:
                a = ACTIVATIONS[self.activations[k]][0](z)
                a = a if self.masks[k] is None else a * self.masks[k]
        n = self.dtype.type(len(self.x))
        if self.loss == "softmax":
            shifted = a - a.max(axis=1, keepdims=True)
            sums = np.exp(shifted).sum(axis=1, keepdims=True)
            value = -(self.t * (shifted - np.log(sums))).sum() / n
            delta = (np.exp(shifted) / sums - self.t) / n
        else:
            value, delta = ((a - self.t) ** 2).sum() / (2 * n), (a - self.t) / n
        gradients: list[Any] = [None] * len(p)
        for k in reversed(range(last + 1)):
            a, z = seen[k]
            here = mistake if k == where else None
            if k < last:
                value_of, slope = ACTIVATIONS[self.activations[k]]
                if self.masks[k] is not None and mistake != "no mask":
                    delta = delta * self.masks[k]
                if here == "derivative squared wrongly":
                    delta = delta * (1 - value_of(z)) ** 2
                elif here == "incoming gradient dropped":
                    delta = slope(z)
                elif here != "derivative left out":
                    delta = delta * slope(z)
            w = p[2 * k]
            gradients[2 * k : 2 * k + 2] = delta.T @ a + self.decay * w, delta.sum(axis=0)
            if here == "bias of the first sample":
                gradients[2 * k + 1] = delta[0]
            if here == "factor" or mistake == "factor on all":
                factor = self.dtype.type(self.fault[2])
                gradients[2 * k : 2 * k + 2] = [g * factor for g in gradients[2 * k : 2 * k + 2]]
            if here == "transposed":
                w = w.T
            if here == "updated below":
                w = w - self.dtype.type(0.25) * gradients[2 * k]
            delta = delta @ w
        value = value + self.decay / 2 * sum((w * w).sum() for w in p[::2])
        return value, [g.astype(self.dtype) for g in gradients]

    def gradient(self, p: Any) -> list[Any]:
        return self.value_and_gradient(p)[1]

    def field(self, **options: Any) -> FieldCheck:
        return bp.check_field(self.gradient, self.parameters, **options)

    def path(self, **options: Any) -> PathCheck:
        return bp.check_path(self.value_and_gradient, self.parameters, **options)


LAYERS = {f"layer {k + 1}": [f"at[{2 * k}]", f"at[{2 * k + 1}]"] for k in range(3)}
PATH_LAYERS = {name: [leaf.replace("at", "start") for leaf in leaves] for name, leaves in LAYERS.items()}

# ------------------------------------------------------------------------------------------------ the documentation

GUIDE = FilePath(__file__).parents[3] / "docs" / "validate.md"


def test_the_guide_s_program_prints_what_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    section = GUIDE.read_text(encoding="utf-8").partition("## A gradient function of any network")[2]
    program, shown = re.findall(r"^```\w*\n(.*?)^```", section, flags=re.MULTILINE | re.DOTALL)[:2]
    exec(program, {})  # noqa: S102 -- our own documentation
    printed = capsys.readouterr().out
    rounded = [re.sub(r"\d+\.?\d*e-\d+|\d+ calls", "…", re.sub(r"\s+", " ", text)) for text in (printed, shown)]
    assert rounded[0] == rounded[1]  # but for the last digits of rounding itself, which each processor has its own of
    right = program.replace("(1 - t**2))", "(1 - t**2) * (1 + 0.135 * z**2))")
    exec(right, {})  # noqa: S102 -- our own documentation
    said = capsys.readouterr().out
    assert said.startswith("agrees: ")
    assert "\nsymmetric: " in said


# ------------------------------------------------------------------------------------------------ right ones

SMOOTH = ["tanh", "swish", "gelu", "elu"]


@pytest.mark.parametrize("loss", ["softmax", "squared error"])
@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("activation", [*SMOOTH, "relu"])
def test_right_gradients_pass_both(activation: str, dtype: str, loss: str) -> None:
    net = Net(1, activation, sizes=(3, 4, 2), dtype=dtype, loss=loss, dropout=True)
    field, path = net.field(), net.path()
    assert field.ok, str(field)
    assert path.ok, str(path)
    assert field.asymmetry <= field.power < {"float64": 1e-10, "float32": 1e-3}[dtype]
    assert path.error <= path.power < {"float64": 1e-11, "float32": 1e-3}[dtype]


@given(
    seed=st.integers(0, 10**6),
    activation=st.sampled_from([*SMOOTH, "relu"]),
    dtype=st.sampled_from(list(PRECISIONS)),
)
def test_no_right_gradient_is_ever_accused(seed: int, activation: str, dtype: str) -> None:
    net = Net(seed, activation, sizes=(2, 3, 2), dtype=dtype)
    with np.errstate(all="ignore"):  # float16 may overflow
        assert net.field(seed=seed, blocks=["at"]).symmetric is not False
        assert net.path(seed=seed, blocks=["start"]).agrees is not False


def test_bfloat16_sees_what_is_gross_and_says_how_little_that_is() -> None:
    right, wrong = (Net(4, "tanh", dtype="bfloat16", sizes=(3, 4, 2), fault=f) for f in ((), ("factor", 0, 4.0)))
    field, path = right.field(), right.path()
    assert field.symmetric is None  # a wrong derivative would not show
    assert "rounding in bfloat16 hides what a loop could show" in str(field)
    assert path.ok
    assert 0.05 < path.power < 0.25
    assert wrong.path().agrees is False

    def turning(w: Any) -> Any:
        return np.array([w[1], -w[0]], w.dtype)

    assert bp.check_field(turning, np.array([0.5, 0.75], numpy_dtype("bfloat16"))).symmetric is False


# ------------------------------------------------------------------------------------------------ wrong ones

# fault, and the layers of which some set is what does not fit with the others. A mistake in the δ that is handed down
# spoils every layer below; where what comes from above is dropped, it is the layers above that no longer fit.
FAULTS: list[tuple[tuple[Any, ...], set[str], dict[str, Any]]] = [
    (("derivative left out", 1), {"layer 1", "layer 2"}, {}),
    (("derivative squared wrongly", 1), {"layer 1", "layer 2"}, {}),
    (("incoming gradient dropped", 1), {"layer 3"}, {}),
    (("factor", 1, 1.001), {"layer 2"}, {}),
    (("transposed", 1), {"layer 1"}, {}),
    (("no mask",), {"layer 1", "layer 2"}, {"dropout": True}),
    (("bias of the first sample", 1), {"layer 2"}, {}),
    (("updated below", 1), {"layer 1"}, {}),
]


@pytest.mark.parametrize(("fault", "misfits", "options"), FAULTS, ids=[fault[0][0] for fault in FAULTS])
def test_a_planted_mistake_is_seen_and_located(fault: Any, misfits: set[str], options: Any) -> None:
    net = Net(2, "tanh", "swish" if "squared" not in fault[0] else "tanh", fault=fault, **options)
    field = net.field(blocks=LAYERS)
    assert field.symmetric is False
    assert field.asymmetry > 100 * field.power
    assert misfits in [set(names) for names in field.misfits]
    assert len(field.misfits) == 1
    said = str(field)
    assert said.startswith("no loss has this gradient: around a loop in ")
    assert f"without {' with '.join(sorted(misfits))}, the rest fits together" in said
    assert max(map(len, said.splitlines())) <= 80


@pytest.mark.parametrize(("fault", "misfits", "options"), FAULTS, ids=[fault[0][0] for fault in FAULTS])
def test_a_planted_mistake_is_seen_along_a_path_and_in_float32(fault: Any, misfits: set[str], options: Any) -> None:
    if fault[0] == "factor":
        fault = (*fault[:2], 1.01)
    net = Net(2, "tanh", "swish" if "squared" not in fault[0] else "tanh", fault=fault, dtype="float32", **options)
    assert net.field(blocks={"all": [f"at[{k}]" for k in range(6)]}).symmetric is False
    path = net.path(blocks=PATH_LAYERS)
    assert path.agrees is False
    assert path.error > 10 * path.power
    assert "layer 3" in str(path).partition("right along ")[2]
    assert max(map(len, str(path).splitlines())) <= 80


def uncertainty(path: PathCheck) -> float:
    """By how much the factor of the path that knows it best may be off."""
    return max(p.tolerance / abs(p.integral) for p in path.paths)


def test_a_factor_of_one_ten_billionth_in_one_layer_is_seen_by_both() -> None:
    net = Net(3, "tanh", "gelu", fault=("factor", 1, 1 + 1e-10))
    field, path = net.field(blocks=LAYERS), net.path(blocks=PATH_LAYERS)
    assert field.misfits == (("layer 2",),)
    assert [p.name for p in path.paths if p.verdict == "wrong" and p.name != "everything"] == ["layer 2"]
    (layer,) = (p for p in path.paths if p.name == "layer 2")
    assert layer.ratio is not None
    assert abs(layer.ratio - (1 - 1e-10)) <= layer.tolerance / abs(layer.integral)  # as exactly as the path knows it
    assert path.factor is None  # no one factor makes all of it right


def test_a_factor_on_all_of_it_is_a_gradient_and_not_that_loss_s() -> None:
    net = Net(3, "tanh", "gelu", fault=("factor on all", None, 1.01))
    assert net.field().ok
    path = net.path()
    assert path.agrees is False
    assert path.factor is not None
    assert abs(path.factor - 1 / 1.01) <= uncertainty(path)
    assert "along all paths the loss changes 0.99009901 times as much" in str(path)


def test_the_field_is_blind_where_the_loss_is_piecewise_linear_and_the_path_is_not() -> None:
    x, mask = np.array([[0.5, -1.0, 2.0], [1.5, 0.25, -0.75]]), np.array([[1.0, 0.0, 1.0], [0.0, 1.0, 1.0]])

    def loss(w: Any) -> tuple[Any, Any]:
        return (x * mask @ w).sum(), x.sum(axis=0)  # the mask is missing in the backward pass

    w = np.array([0.25, -0.5, 1.0])
    assert bp.check_field(lambda w: loss(w)[1], w).ok
    assert bp.check_path(loss, w).agrees is False


def test_kinks_make_loops_smaller_and_nothing_asymmetric() -> None:
    net = Net(5, "relu", "relu", sizes=(3, 16, 16, 2))
    field, path = net.field(), net.path()
    assert field.ok
    assert path.ok
    assert min(pair.size for pair in field.pairs) < 0.02  # the first loops have 0.1
    assert min(p.share for p in path.paths) < 1


def test_where_it_is_all_kinks_nothing_is_decided() -> None:
    def jagged(w: Any) -> Any:
        return np.sign(np.sin(1e12 * w)) * w[::-1]

    field = bp.check_field(jagged, np.array([0.3, 0.7]))
    assert field.symmetric is None
    assert "kinks" in field.reason
    path = bp.check_path(lambda w: (np.sum(w * w), jagged(w)), np.array([0.3, 0.7]))
    assert path.agrees is None
    assert "kinks" in str(path)


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


# ------------------------------------------------------------------------------------------------ the rule


def test_the_rules_are_exact_for_the_polynomials_that_they_promise() -> None:
    for degree in range(23):
        exact = 1 / (degree + 1)
        assert float(KRONROD @ NODES**degree) == pytest.approx(exact, abs=1e-15)
        if degree < 14:
            assert float(GAUSS @ NODES**degree) == pytest.approx(exact, abs=1e-15)
    assert len(INNER) == 15


def test_one_jump_is_covered_by_what_the_fit_leaves_wherever_it_is() -> None:
    """In one of three sides, the others of which are smooth, so that all degrees of freedom are against it."""
    worst = 0.0
    for place in np.linspace(0, 1, 4002)[1:-1]:
        values = (place < NODES).astype(float)
        error = abs(float(KRONROD @ values) - (1 - place))
        worst = max(worst, error / (unexplained(values) / math.sqrt(LEAST_FREEDOM) * NORM))
    assert 2 < worst < 2.7 < DEVIATIONS / 3


def test_the_deviations_allowed_are_student_s_for_a_budget_of_one_in_a_billion() -> None:
    n = LEAST_FREEDOM
    scale = math.gamma((n + 1) / 2) / math.gamma(n / 2) / math.sqrt(n * math.pi)
    s = np.linspace(0, 1, 100_001)[1:]  # t = DEVIATIONS / s
    density = scale * (1 + (DEVIATIONS / s) ** 2 / n) ** (-(n + 1) / 2) * DEVIATIONS / s**2
    assert 0.8e-9 < 2 * float(np.trapezoid(density, s)) < 1e-9


def test_the_noise_is_measured_by_what_the_fit_leaves() -> None:
    rng = np.random.default_rng(0)
    samples, noise = 500, 1e-6
    found = [
        integral(np.sin(NODES) + noise * rng.standard_normal(len(NODES)), np.ones(len(NODES)), 1.0, 0.0).residual ** 2
        for _ in range(samples)
    ]
    # a root mean square of n normal numbers is off by 1/√(2n) of itself, as a standard deviation: five of these
    assert abs(math.sqrt(np.mean(found) / FREEDOM) / noise - 1) < 5 / math.sqrt(2 * samples * FREEDOM)
