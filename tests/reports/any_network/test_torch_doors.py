"""`gradcheck` and `gradgradcheck` for PyTorch: right functions pass in any format, mistakes are refused and named."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

torch: Any = pytest.importorskip("torch")
np = pytest.importorskip("numpy")

import backproof as bp
from backproof.reference.case import InvalidInput
from backproof.reference.programs import Unsupported
from backproof.reports.any_network import NotDecided, WrongRule, verify_network
from backproof.reports.any_network.torch_doors import rule_of
from backproof.torch import gradcheck, gradgradcheck

F = torch.nn.functional


def drawn(*shape: int, dtype: Any = torch.float64, seed: int = 0) -> Any:
    generator = torch.Generator().manual_seed(seed + sum(shape))
    return torch.randn(*shape, dtype=dtype, generator=generator).requires_grad_()


class Scale(torch.autograd.Function):
    """x · w with the sum over the broadcast axis forgotten, by way of the last sample."""

    @staticmethod
    def forward(ctx: Any, x: Any, w: Any) -> Any:
        ctx.save_for_backward(x, w)
        return x * w

    @staticmethod
    def backward(ctx: Any, g: Any) -> Any:
        x, w = ctx.saved_tensors
        return g * w, (g * x)[-1]


class Square(torch.autograd.Function):
    """Its gradient is right; the gradient's gradient is not, for x is taken for a constant."""

    @staticmethod
    def forward(ctx: Any, x: Any) -> Any:
        ctx.save_for_backward(x)
        return x * x

    @staticmethod
    def backward(ctx: Any, g: Any) -> Any:
        (x,) = ctx.saved_tensors
        return 2 * g * x.detach()


class SineByNumpy(torch.autograd.Function):
    """What it computes leaves the graph. factor: of its gradient, 1 if it is right."""

    factor = 1.0

    @staticmethod
    def forward(ctx: Any, x: Any) -> Any:
        ctx.save_for_backward(x)
        return torch.from_numpy(np.sin(x.detach().numpy()))

    @staticmethod
    def backward(ctx: Any, g: Any) -> Any:
        return g * torch.cos(ctx.saved_tensors[0]) * SineByNumpy.factor


@pytest.mark.sampled(4)
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16, torch.float16], ids=str)
def test_a_right_function_passes_in_any_format(dtype: Any) -> None:
    def function(x: Any, w: Any) -> Any:
        return torch.tanh(x @ w.T).softmax(-1)

    assert gradcheck(function, (drawn(3, 5, dtype=dtype), drawn(2, 5, dtype=dtype)))


def test_the_originals_arguments_are_taken_and_others_refused() -> None:
    x = drawn(3)
    # the original's tolerances, which are unused
    assert gradcheck(torch.exp, x, eps=1e-3, atol=1.0, rtol=1.0, nondet_tol=1.0, fast_mode=True, masked=False)
    with pytest.raises(InvalidInput, match="epsilon: expected an argument that torch.autograd.gradcheck has"):
        gradcheck(torch.exp, x, epsilon=1e-3)
    with pytest.raises(InvalidInput, match="requires_grad=True"):
        gradcheck(torch.exp, x.detach())


@pytest.mark.usefixtures("slow")
def test_a_wrong_backward_raises_what_the_originals_callers_catch() -> None:
    with pytest.raises(RuntimeError, match=r"(?s)input 1: 7 of 7 elements differ.*only the last element along axis 0"):
        gradcheck(Scale.apply, (drawn(5, 7), drawn(7)))
    assert gradcheck(Scale.apply, (drawn(5, 7), drawn(7)), raise_exception=False) is False


def test_the_users_line_is_shown() -> None:
    def function(x: Any) -> Any:
        return Halved.apply(x)

    text = str(rule_of(function, drawn(3, 5)))
    assert "test_torch_doors.py" in text
    assert "centred = x - x.mean(1, keepdim=True)" in text


class Halved(torch.autograd.Function):
    """The flow through the mean is left out."""

    @staticmethod
    def forward(ctx: Any, x: Any) -> Any:
        centred = x - x.mean(1, keepdim=True)
        return centred * 1

    @staticmethod
    def backward(ctx: Any, g: Any) -> Any:
        return g.clone()


@pytest.mark.usefixtures("slow")
def test_the_gradients_gradient() -> None:
    x = drawn(4)
    assert gradcheck(Square.apply, x)
    with pytest.raises(WrongRule, match="the backward of"):
        gradgradcheck(Square.apply, x)
    assert gradgradcheck(lambda x, w: F.gelu(F.linear(x, w)), (drawn(2, 3), drawn(5, 3)))


@pytest.mark.usefixtures("slow")
def test_forward_mode() -> None:
    class Exp(torch.autograd.Function):
        @staticmethod
        def forward(x: Any) -> Any:
            return x.exp()

        @staticmethod
        def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
            ctx.save_for_backward(output)
            ctx.save_for_forward(output)

        @staticmethod
        def backward(ctx: Any, g: Any) -> Any:
            return g * ctx.saved_tensors[0]

        @staticmethod
        def jvp(ctx: Any, t: Any) -> Any:
            return 2 * t * ctx.saved_tensors[0]

    assert gradcheck(Exp.apply, drawn(3))
    with pytest.raises(WrongRule, match="forward mode"):
        gradcheck(Exp.apply, drawn(3), check_forward_ad=True)
    assert gradcheck(torch.tanh, drawn(3), check_forward_ad=True)


def test_what_leaves_the_graph_is_answered_by_the_path_test_and_said_so() -> None:
    report = rule_of(SineByNumpy.apply, drawn(5))
    assert report.ok
    assert "numbers leave the graph at numpy (test_torch_doors.py" in str(report)
    SineByNumpy.factor = 1.01
    try:
        report = rule_of(SineByNumpy.apply, drawn(5))
    finally:
        SineByNumpy.factor = 1.0
    assert report.verdict == "wrong"


@pytest.mark.usefixtures("slow")
def test_a_gradient_that_pytorch_s_own_python_stops_has_to_be_declared_too() -> None:
    def choosing(x: Any) -> Any:
        return torch.nn.functional.gumbel_softmax(x, tau=0.7, hard=True) ** 2

    report = rule_of(choosing, drawn(3, 4))
    assert report.verdict == "undecided"
    assert "detach (test_torch_doors.py" in report.reason
    assert verify_network(choosing, drawn(3, 4), stopped=True).ok


WHOLE_POWERS = {
    "square": lambda x: (x.sigmoid() - x.sigmoid()) ** 2 * x,
    "itself": lambda x: (x.sigmoid() - x.sigmoid()) ** 1 * x,
    "cube of 1": lambda x: (x.sin() - x.sin() + 1) ** 3 * x,
    "by division": lambda x: (x.exp() - x.exp() + 2) ** -2 * x,
}


@pytest.mark.parametrize("name", WHOLE_POWERS)
def test_powers_of_what_cancels_are_numbers(name: str) -> None:
    """Such as the square of an error that is 0, but for roundings."""
    assert rule_of(WHOLE_POWERS[name], drawn(3)).verdict == "agrees"


@pytest.mark.usefixtures("slow")
def test_a_gradient_that_the_code_stops_has_to_be_declared() -> None:
    def straight_through(x: Any) -> Any:
        return x * 2 + (torch.round(x) - x).detach()

    report = rule_of(straight_through, drawn(3))
    assert report.verdict == "undecided"
    assert "detach (test_torch_doors.py" in report.reason
    with pytest.raises(NotDecided, match="the code itself stops a gradient"):
        gradcheck(straight_through, drawn(3))
    assert verify_network(straight_through, drawn(3), stopped=True).ok

    def stopped_and_wrong(x: Any) -> Any:
        return Scale.apply(x, x[0]) + x.detach()

    assert verify_network(stopped_and_wrong, drawn(4, 3), stopped=True).verdict == "wrong"


@pytest.mark.usefixtures("slow")
def test_under_no_grad_too() -> None:
    def function(x: Any) -> Any:
        with torch.no_grad():
            largest = x.abs().sum()
        return x * largest

    assert rule_of(function, drawn(3)).verdict == "undecided"

    def shifted(x: Any) -> Any:
        with torch.no_grad():
            largest = x.amax()
        return torch.exp(x - largest) / torch.exp(x - largest).sum()

    assert rule_of(shifted, drawn(3)).ok  # it makes no difference


@pytest.mark.usefixtures("slow")
def test_a_module_is_left_as_it_was() -> None:
    module = torch.nn.Sequential(torch.nn.Linear(3, 5), torch.nn.BatchNorm1d(5), torch.nn.Linear(5, 2))
    before = {name: x.clone() for name, x in module.state_dict().items()}
    report = bp.verify(module, torch.randn(7, 3), loss=lambda y: F.cross_entropy(y, torch.tensor([0, 1] * 3 + [1])))
    assert report.ok, str(report)
    assert report.names == ("input 0", "0.weight", "0.bias", "1.weight", "1.bias", "2.weight", "2.bias")
    assert all(torch.equal(x, before[name]) for name, x in module.state_dict().items())
    assert all(p.grad is None for p in module.parameters())


class Layer(torch.nn.Module):
    """A layer by hand, whose input's gradient is half of what it should be; its weight's is right."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.randn(3, 2))

    def forward(self, x: Any, scale: Any = None) -> Any:
        class Product(torch.autograd.Function):
            @staticmethod
            def forward(ctx: Any, x: Any, weight: Any) -> Any:
                ctx.save_for_backward(x, weight)
                return x @ weight

            @staticmethod
            def backward(ctx: Any, g: Any) -> Any:
                x, weight = ctx.saved_tensors
                return g @ weight.T / 2, x.T @ g

        return Product.apply(x, self.weight)


@pytest.mark.usefixtures("slow")
def test_a_module_s_inputs_are_differentiated_though_they_do_not_ask_for_it() -> None:
    report = bp.verify(Layer(), torch.randn(4, 3))
    assert report.verdict == "wrong"
    assert "right there: weight" in str(report)
    assert "keywords={…}" in str(report)


def written_over(x: Any) -> Any:
    x -= x.mean()
    return x


def without_a_graph(x: Any) -> Any:
    with torch.no_grad():
        return x - x.mean()


INTO_DATA: dict[str, tuple[Callable[[Any], Any], str]] = {
    "written over": (written_over, "it raised RuntimeError: a leaf Variable"),
    "stopped": (without_a_graph, "the code itself stops a gradient: mean"),
    "handed to NumPy": (lambda x: torch.from_numpy(2 * x.numpy()), "it raised RuntimeError: Can't call numpy"),
    "transformed": (lambda x: torch.linalg.svdvals(x.reshape(2, 2, 2)), "_linalg_svd is not covered"),
}


@pytest.mark.usefixtures("slow")
@pytest.mark.parametrize("way", INTO_DATA)
def test_where_inputs_cannot_have_a_gradient_the_parameters_are_verified_alone(way: str) -> None:
    prepared, why = INTO_DATA[way]

    class Network(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.linear = torch.nn.Linear(2 if way == "transformed" else 4, 2)

        def forward(self, x: Any) -> Any:
            return torch.tanh(self.linear(prepared(x)))

    report = bp.verify(Network(), torch.randn(2, 4), numbers=True)
    assert report.ok, report
    assert report.rule.names == ("linear.weight", "linear.bias")
    said = " ".join(str(report.rule).split())
    assert "not differentiated by its inputs, which require no gradient: " in said
    assert why in said


def test_what_is_given_by_name_is_not_differentiated() -> None:
    report = bp.verify(Layer(), (), keywords={"x": torch.randn(4, 3)})
    assert report.ok, str(report)
    assert report.names == ("weight",)


def test_an_input_that_asks_for_a_gradient_speaks_for_the_others() -> None:
    module = torch.nn.Bilinear(3, 2, 1)
    report = bp.verify(module, [torch.randn(4, 3, requires_grad=True), torch.randn(4, 2)])
    assert report.names == ("input 0", "weight", "bias")


def test_dropout_draws_the_same_every_time() -> None:
    module = torch.nn.Sequential(torch.nn.Linear(3, 5), torch.nn.Dropout(0.5), torch.nn.Linear(5, 2))
    assert verify_network(module, drawn(4, 3, dtype=torch.float32)).ok


@pytest.mark.usefixtures("slow")
def test_kinks_are_conventions() -> None:
    assert gradcheck(torch.relu, torch.zeros(3, requires_grad=True))
    assert gradcheck(torch.abs, torch.tensor([0.0, 1.0, -2.0], requires_grad=True))

    class OneAtZero(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: Any) -> Any:
            ctx.save_for_backward(x)
            return torch.where(x > 0, x, torch.zeros_like(x))

        @staticmethod
        def backward(ctx: Any, g: Any) -> Any:
            return g * (ctx.saved_tensors[0] >= 0)

    report = rule_of(OneAtZero.apply, drawn(5))
    assert report.ok
    assert any("a kink" in text for text in report.kinks)


def test_wrong_at_a_special_point_alone_is_wrong() -> None:
    """No kink is there: the gradient of x² at equal neighbours is like that beside them."""

    class Conditional(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: Any) -> Any:
            ctx.save_for_backward(x)
            return x * x

        @staticmethod
        def backward(ctx: Any, g: Any) -> Any:
            (x,) = ctx.saved_tensors
            return 2 * g * x * (3 if bool((x[1:] == x[:-1]).any()) else 1)

    report = rule_of(Conditional.apply, drawn(6))
    assert report.verdict == "wrong"
    assert "equal neighbours" in str(report)


def test_what_has_no_rule_is_named_with_its_line_and_gets_no_verdict() -> None:
    with pytest.raises(Unsupported, match=r"test_torch_doors.py"):
        gradcheck(lambda x: torch.linalg.eigvalsh(x + x.T), drawn(3, 3))


@pytest.mark.parametrize(
    ("function", "inputs", "words"),
    [
        (lambda x: x.log(), (-drawn(3).abs() - 1,), "a number there is not finite"),
        (lambda x: 1, (drawn(3),), "none of its outputs"),
        (torch.argmax, (drawn(3),), "none of its outputs"),
    ],
)
def test_where_nothing_can_be_said_it_is_said_why(function: Any, inputs: Any, words: str) -> None:
    report = rule_of(function, [x.detach().requires_grad_() for x in inputs])
    assert report.verdict == "undecided"
    assert words in report.reason


def test_empty_tensors_and_what_is_not_differentiated() -> None:
    assert gradcheck(lambda x, n, flag: x * n if flag else x, (drawn(0, 3), 3, True))
    assert gradcheck(lambda x, k: x[k], (drawn(5), torch.tensor([1, 1, 4])))


@pytest.mark.skipif(not torch.__version__.startswith("2.13"), reason="seen in 2.13; others may have repaired it")
@pytest.mark.usefixtures("slow")
@pytest.mark.filterwarnings("ignore")  # of the compiler's own, which it takes for errors of its
def test_a_custom_backward_that_the_compiler_drops() -> None:
    """pytorch #193279: under torch.func.grad, compiled code differentiates the forward as if there were no backward."""

    class Rounded(torch.autograd.Function):
        @staticmethod
        def forward(x: Any) -> Any:
            return torch.round(x)

        @staticmethod
        def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
            pass

        @staticmethod
        def backward(ctx: Any, g: Any) -> Any:
            return g

    def gradient(x: Any) -> Any:
        return torch.func.grad(lambda y: (Rounded.apply(y) * y).sum())(x)

    x = torch.tensor([0.3, 1.7, -2.2], dtype=torch.float64, requires_grad=True)
    assert "what runs by itself" not in rule_of(gradient, x).reason
    report = rule_of(torch.compile(gradient, backend="eager"), x)
    assert report.verdict == "undecided"
    assert "what runs by itself agrees with what was captured to 0 digits only: compiled code" in report.reason


class OverItsGradient(torch.autograd.Function):
    """tanh(x), whose backward writes over what arrives, as kernels that save memory do; right all the same."""

    @staticmethod
    def forward(ctx: Any, x: Any) -> Any:
        y = torch.tanh(x)
        ctx.save_for_backward(y)
        return y

    @staticmethod
    def backward(ctx: Any, g: Any) -> Any:
        (y,) = ctx.saved_tensors
        return g.mul_(1 - y * y)


def test_a_backward_may_write_over_the_gradient_that_arrives() -> None:
    assert gradcheck(OverItsGradient.apply, (drawn(3, 5),))


def test_an_input_without_axes_is_a_number() -> None:
    number = torch.tensor(0.7, dtype=torch.float64, requires_grad=True)
    assert gradcheck(lambda x, y: x * torch.sin(y), (number, drawn(5)))
    with pytest.raises(WrongRule, match=r"\[\]  by the chain rule"):
        gradcheck(lambda x: Halved.apply(x.reshape(1, 1)).sum(), (number,))


class ProductByDivision(torch.autograd.Function):
    """Its gradient is 0 / 0 where a factor is 0."""

    @staticmethod
    def forward(ctx: Any, x: Any) -> Any:
        ctx.save_for_backward(x)
        return x.prod()

    @staticmethod
    def backward(ctx: Any, g: Any) -> Any:
        (x,) = ctx.saved_tensors
        return g * x.prod() / x


def test_a_gradient_that_is_not_a_number_at_the_user_s_own_point_is_wrong() -> None:
    x = torch.tensor([2.0, 0.0, 3.0], dtype=torch.float64, requires_grad=True)
    with pytest.raises(WrongRule, match=r"(?s)1 of 3 elements.*by the chain rule 0.*seen +nan"):
        gradcheck(ProductByDivision.apply, (x,))
    assert gradcheck(torch.prod, (x.detach().requires_grad_(),))
    norm = torch.zeros(3, dtype=torch.float64, requires_grad=True)  # the chain rule's own is none there
    with pytest.raises(NotDecided, match=r"(?s)at the point given.*the gradient of input 0 is nan"):
        gradcheck(lambda x: (x * x).sum().sqrt() * 2, (norm,))


def test_a_function_that_refuses_zeros_is_looked_at_elsewhere() -> None:
    assert gradcheck(torch.linalg.inv, (drawn(3, 3),))


def test_a_backward_that_branches_by_its_cotangent_is_compared_with_the_same_one() -> None:
    """That of logcumsumexp adds up positive and negative cotangents by themselves, in logarithms."""
    report = rule_of(lambda x: torch.logcumsumexp(x, 0).log_softmax(0), drawn(5))
    assert (report.verdict, report.reason) == ("agrees", "")


def test_the_row_for_padding_is_no_contradiction_along_a_path() -> None:
    """Its numbers are used and get no gradient, by the module's own contract."""
    report = rule_of(lambda k, w: torch.tanh(F.embedding(k, w, padding_idx=1)), (torch.tensor([1, 2, 1]), drawn(4, 3)))
    assert report.verdict == "agrees"
    assert any("the row for padding, 1, gets no gradient" in note for note in report.notes)


def test_several_inputs_of_check_numbers_go_into_one_tuple() -> None:
    from backproof.torch import check_numbers

    with pytest.raises(InvalidInput, match=r"check_numbers\(func, \(x, w\)\)"):
        check_numbers(torch.mul, drawn(3), drawn(3))
    assert check_numbers(torch.mul, (drawn(3), drawn(3))).ok


@pytest.mark.parametrize("door", [gradcheck, gradgradcheck])
def test_that_a_backward_under_vmap_is_not_looked_at_is_said(door: Any) -> None:
    with pytest.warns(UserWarning, match="check_batched_grad: a backward under vmap is not looked at"):
        assert door(torch.tanh, drawn(3), check_batched_grad=True)
    assert door(torch.tanh, drawn(3), check_batched_grad=False)
