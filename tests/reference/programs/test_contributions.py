"""Which edges may explain a wrong gradient: none that does is passed over, and most others are."""

from __future__ import annotations

from typing import Any

import pytest

torch: Any = pytest.importorskip("torch")
from backproof.adapters.torch_program.capture import capture
from backproof.reference.programs.contributions import Contributions, contributions
from backproof.reference.programs.edits import _edge_sets, _factor_of
from backproof.reference.programs.flow import Trial, first_wrong


def trial(factor: float, through: str) -> Trial:
    """Of x · s(x) · w with s the sigmoid, where what goes back through s, or through the product, is times a factor."""

    class Gated(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: Any, w: Any) -> Any:
            ctx.save_for_backward(x, w)
            return (x * torch.sigmoid(x)) * w + x

        @staticmethod
        def backward(ctx: Any, g: Any) -> Any:
            x, w = ctx.saved_tensors
            s = torch.sigmoid(x)
            by_gate = x * s * (1 - s) * (factor if through == "the gate" else 1)
            by_product = (s + by_gate) * w * (factor if through == "the product" else 1)
            return g * (by_product + 1), (g * x * s).sum(0)

    drawn = torch.Generator().manual_seed(0)
    x, w = (torch.randn(*shape, dtype=torch.float64, generator=drawn).requires_grad_() for shape in ((3, 4), (4,)))
    captured = capture(Gated.apply, (x, w))
    ((segment, wrong),) = first_wrong(captured)
    return Trial(segment, wrong)


@pytest.mark.parametrize("through", ["the gate", "the product"])
@pytest.mark.parametrize("factor", [0.0, -1.0, 1.25])
def test_what_explains_is_kept_and_most_of_the_rest_is_not(factor: float, through: str) -> None:
    one = trial(factor, through)
    found = contributions(one)
    assert isinstance(found, Contributions)
    kept = {edges for edges, *_ in _edge_sets(one) if found.may_explain(edges)}
    explaining = {edges for edges, *_ in _edge_sets(one) if _factor_of(one, edges) is not None}
    assert explaining, "an edge explains it"
    assert explaining <= kept
    assert len(kept) < len(list(_edge_sets(one))) / 2


def test_its_lines_are_taken_off_the_program_again() -> None:
    one = trial(0.0, "the gate")
    before = len(one.segment.captured.program.nodes)
    assert contributions(one) is not None
    assert len(one.segment.captured.program.nodes) == before


def test_two_that_are_missing_are_kept_whether_or_not_one_is_on_the_other_s_way() -> None:
    one = trial(0.0, "the gate")
    found = contributions(one)
    assert found is not None
    sets = [edges for edges, *_ in _edge_sets(one)]
    missing = next(edges for edges in sets if found.may_explain(edges, factor=0.0))
    nothing = [edges for edges in sets if not found.may_explain(edges)]
    assert any(found.may_explain_both(missing, other) for other in sets)
    assert not all(found.may_explain_both(one, other) for one in nothing for other in nothing)
