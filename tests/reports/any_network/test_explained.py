"""Mistakes in backward code that are one edit of the right gradient: each is refused and named, its right twin is not."""

from __future__ import annotations

from typing import Any

import pytest

torch: Any = pytest.importorskip("torch")
np = pytest.importorskip("numpy")

import backproof as bp

F = torch.nn.functional
ROWS = torch.tensor([1, 2, 1, 0])
PLACES = torch.tensor([[0, 0], [1, 2], [2, 2]])


def drawn(*shape: int) -> Any:
    generator = torch.Generator().manual_seed(sum(shape))
    return torch.randn(*shape, dtype=torch.float64, generator=generator).requires_grad_()


def custom(forward: Any, backward: Any) -> Any:
    """An autograd.Function; backward(g, *inputs)."""

    class Custom(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, *inputs: Any) -> Any:
            ctx.save_for_backward(*inputs)
            return forward(*inputs)

        @staticmethod
        def backward(ctx: Any, g: Any) -> Any:
            return backward(g, *ctx.saved_tensors)

    return Custom.apply


def rows_one_by_one(g: Any, x: Any, added: bool) -> Any:
    gradient = torch.zeros_like(x)
    for k, row in enumerate(ROWS.tolist()):
        gradient[row] = g[k] + gradient[row] * added
    return gradient


def windows_one_by_one(g: Any, x: Any, added: bool) -> Any:
    gradient = torch.zeros_like(x)
    for k in range(9):
        place = (..., slice(k // 3, k // 3 + 2), slice(k % 3, k % 3 + 2))
        gradient[place] = g[..., k].reshape(*x.shape[:2], 2, 2) + gradient[place] * added
    return gradient


# the forward, a backward that adds up, one that writes, and the input
USES: dict[str, tuple[Any, Any, Any, Any]] = {
    "rows of a table": (
        lambda x: x[ROWS],
        lambda g, x: torch.zeros_like(x).index_add(0, ROWS, g),
        lambda g, x: torch.zeros_like(x).index_put((ROWS,), g),
        drawn(4, 3),
    ),
    "rows, in a loop": (
        lambda x: F.embedding(ROWS, x),
        lambda g, x: rows_one_by_one(g, x, added=True),
        lambda g, x: rows_one_by_one(g, x, added=False),
        drawn(4, 3),
    ),
    "elements along an axis": (
        lambda x: x.gather(1, PLACES),
        lambda g, x: torch.zeros_like(x).scatter_add(1, PLACES, g),
        lambda g, x: torch.zeros_like(x).scatter(1, PLACES, g),
        drawn(3, 3),
    ),
    "windows of an image": (
        lambda x: F.unfold(x, 2),
        lambda g, x: windows_one_by_one(g, x, added=True),
        lambda g, x: windows_one_by_one(g, x, added=False),
        drawn(2, 1, 4, 4),
    ),
}


@pytest.mark.sampled(4)
@pytest.mark.parametrize("name", USES)
def test_what_is_written_where_it_is_to_be_added_is_named(name: str) -> None:
    forward, right, wrong, x = USES[name]
    report: Any = bp.verify(custom(forward, wrong), x)
    assert report.verdict == "wrong"
    assert "gets the gradient of one use alone: it is written where it is to be added" in " ".join(str(report).split())
    assert not report.notes, "what a backward writes is not differentiated"
    assert bp.verify(custom(forward, right), x).verdict == "agrees"


def softmax_back(s: Any, g: Any, inner: Any) -> Any:
    return s * g - s * inner(s * g)


def convolved_back(g: Any, x: Any, kernel: Any, turned: bool) -> Any:
    """Of a kernel of odd size, padded by half of it: the convolution of what arrives with the kernel, turned by 180°."""
    towards = kernel.transpose(0, 1)
    into_x = F.conv2d(g, towards.flip(2, 3) if turned else towards, padding=1)
    return into_x, torch.nn.grad.conv2d_weight(x, kernel.shape, g, padding=1)


# the forward, a right backward, a wrong one, the inputs, and what a right explanation says
MISTAKES: dict[str, tuple[Any, Any, Any, tuple[Any, ...], str]] = {
    "softmax, its diagonal alone": (
        lambda x: x.softmax(-1),
        lambda g, x: softmax_back(x.softmax(-1), g, lambda each: each.sum(-1, keepdim=True)),
        lambda g, x: g * x.softmax(-1) * (1 - x.softmax(-1)),
        (drawn(3, 5),),
        "every element gets the gradient of its own result alone: those of the others along axis 1 are missing",
    ),
    "normalised, its diagonal alone": (
        lambda x: x - x.mean(0),
        lambda g, x: g - g.mean(0),
        lambda g, x: g * (1 - 1 / len(x)),
        (drawn(4, 3),),
        "every element gets the gradient of its own result alone: those of the others along axis 0 are missing",
    ),
    "softmax, passed through": (
        lambda x: x.softmax(-1),
        lambda g, x: softmax_back(x.softmax(-1), g, lambda each: each.sum(-1, keepdim=True)),
        lambda g, x: g.clone(),
        (drawn(3, 5),),
        "is no gradient: the incoming gradient itself is returned",
    ),
    "softmax, a factor left out of the sum": (
        lambda x: x.softmax(-1),
        lambda g, x: softmax_back(x.softmax(-1), g, lambda each: each.sum(-1, keepdim=True)),
        lambda g, x: (s := x.softmax(-1)) * g - (s * g).sum(-1, keepdim=True),
        (drawn(3, 5),),
        "lacks a factor",
    ),
    "sums from the left again": (
        lambda x: x.cumsum(-1) * x.cumsum(-1),
        lambda g, x: (2 * g * x.cumsum(-1)).flip(-1).cumsum(-1).flip(-1),
        lambda g, x: 2 * g.cumsum(-1) * x.cumsum(-1),
        (drawn(2, 5),),
        "the derivative by input 0 is applied to the incoming gradient, and not its transpose",
    ),
    "a kernel that is not turned": (
        lambda x, kernel: F.conv2d(x, kernel, padding=1),
        lambda g, x, kernel: convolved_back(g, x, kernel, turned=True),
        lambda g, x, kernel: convolved_back(g, x, kernel, turned=False),
        (drawn(2, 3, 5, 5), drawn(2, 3, 3, 3)),
        "it is computed with input 1 reversed along axes 2 and 3",
    ),
}


@pytest.mark.sampled(4)
@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_is_named(name: str) -> None:
    forward, right, wrong, inputs, words = MISTAKES[name]
    report: Any = bp.verify(custom(forward, wrong), inputs)
    assert report.verdict == "wrong"
    assert words in " ".join(str(report).split()), str(report)
    assert bp.verify(custom(forward, right), inputs).verdict == "agrees"


@pytest.mark.usefixtures("slow")
def test_of_several_custom_functions_the_one_that_is_wrong_is_told_though_nothing_explains_it() -> None:
    """A derivative that was replaced by another function, as YOSO's attention does it."""
    right = custom(
        lambda x, w: torch.tanh(x) * w, lambda g, x, w: (g * w * (1 - torch.tanh(x) ** 2), g * torch.tanh(x))
    )
    replaced = custom(lambda x, w: torch.acos(x) * w, lambda g, x, w: (-g * w * (1.5 + 0.3 * x**4), g * torch.acos(x)))

    def network(x: Any, w: Any) -> Any:
        return right(replaced(torch.tanh(x) / 2, w).sin(), w)

    report = bp.verify(network, [drawn(4), drawn(4)])
    assert report.verdict == "wrong"
    ((border, inputs),) = [(found.border, found.inputs) for found in report.unexplained]
    assert (border.name, inputs) == ("Custom", (0,))
    said = " ".join(str(report).split())
    assert "it is in the backward of Custom (test_explained.py:" in said
    assert "there the gradient of input 0 differs from the chain rule's, here and at another point" in said
    assert "because" not in said


def test_what_an_edit_explains_is_not_called_unexplained() -> None:
    doubled = custom(lambda x, w: x * w, lambda g, x, w: (2 * g * w, g * x))
    report = bp.verify(lambda x, w: doubled(x.sin(), w), [drawn(4), drawn(4)])
    assert report.explanations
    assert report.unexplained == ()
