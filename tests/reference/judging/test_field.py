"""Field and path: silent on right gradients of any network, loud on planted mistakes, and honest about what they miss."""

from __future__ import annotations

import re
from pathlib import Path as FilePath
from typing import Any

import pytest

np = pytest.importorskip("numpy")

import backproof as bp
from backproof.reference.numbers import PRECISIONS, numpy_dtype
from hypothesis import given
from hypothesis import strategies as st
from own_nets import LAYERS, PATH_LAYERS, Net, uncertainty

# ------------------------------------------------------------------------------------------------ the documentation

GUIDE = FilePath(__file__).parents[3] / "docs" / "validate.md"


@pytest.mark.usefixtures("slow")
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


@pytest.mark.sampled(6)
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


@pytest.mark.usefixtures("slow")
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


@pytest.mark.sampled(4)
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


@pytest.mark.usefixtures("slow")
def test_blocks_are_looked_at_to_locate_only_where_everything_together_is_wrong() -> None:
    wrong, right = (Net(2, "tanh", "swish", fault=fault) for fault in (("factor", 1, 1.001), ()))
    asked, whole = wrong.field(blocks=LAYERS, locate=True), wrong.field(blocks=LAYERS)
    assert (asked.misfits, asked.calls) == (whole.misfits, whole.calls)
    once = right.field(blocks=LAYERS, locate=True)
    assert (once.ok, len(once.pairs)) == (True, 1)
    assert once.calls < right.field(blocks=LAYERS).calls / 3


@pytest.mark.sampled(4)
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


@pytest.mark.usefixtures("slow")
def test_a_factor_of_one_ten_billionth_in_one_layer_is_seen_by_both() -> None:
    net = Net(3, "tanh", "gelu", fault=("factor", 1, 1 + 1e-10))
    field, path = net.field(blocks=LAYERS), net.path(blocks=PATH_LAYERS)
    assert field.misfits == (("layer 2",),)
    assert [p.name for p in path.paths if p.verdict == "wrong" and p.name != "everything"] == ["layer 2"]
    (layer,) = (p for p in path.paths if p.name == "layer 2")
    assert layer.ratio is not None
    assert abs(layer.ratio - (1 - 1e-10)) <= layer.tolerance / abs(layer.integral)  # as exactly as the path knows it
    assert path.factor is None  # no one factor makes all of it right


@pytest.mark.usefixtures("slow")
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


@pytest.mark.usefixtures("slow")
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
