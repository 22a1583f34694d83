"""Compiled code, judged as a whole: what a right compiler gives agrees, what a wrong one gives is seen."""

from __future__ import annotations

from typing import Any

import pytest

np = pytest.importorskip("numpy")
pytest.importorskip("flint")

from backproof.reference.judging.verdict import Verdict


def of_the_compiled(report: Any) -> list[Any]:
    return [r for r in report.run.results if r.origin.name.startswith("compiled: ")]


def numbers(*shape: int) -> Any:
    return np.random.default_rng(3).standard_normal(shape)


class TestTorch:
    """What `torch.compile` gave."""

    @pytest.fixture(autouse=True)
    def _torch(self) -> None:
        self.torch = pytest.importorskip("torch")

    def network(self, dropout: float = 0.0) -> Any:
        torch = self.torch
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(1)
            return torch.nn.Sequential(
                torch.nn.Linear(16, 32), torch.nn.GELU(), torch.nn.LayerNorm(32), torch.nn.Dropout(dropout),
                torch.nn.Linear(32, 5),
            )  # fmt: skip

    def report(self, network: Any) -> Any:
        import backproof.torch as checks

        x = self.torch.tensor(numbers(7, 16), dtype=self.torch.float32)
        return checks.check_numbers(network, x, loss=lambda y: (y**2).mean())

    @pytest.mark.usefixtures("slow")
    def test_a_right_compiler_agrees(self) -> None:
        report = self.report(self.torch.compile(self.network(), backend="aot_eager"))
        assert report.verdict is Verdict.AGREES, str(report)
        results = of_the_compiled(report)
        assert [r.origin.name for r in results][:2] == [
            "compiled: output 0",
            "compiled: gradient of _orig_mod.0.weight",
        ]
        assert len(results) == 1 + 6
        assert all(r.verdict is Verdict.AGREES and not r.zeroable for r in results)

    def pooled(self, x: list[float], compiled: Any) -> Any:
        import backproof.torch as checks

        torch = self.torch
        function = torch.compile(
            lambda x: 2 * torch.nn.functional.max_pool1d(1.0007 * x, 2), backend=lambda graph, inputs: compiled
        )
        given = torch.tensor([[x]], dtype=torch.float16, requires_grad=True)
        return of_the_compiled(checks.check_numbers(function, given))

    @pytest.mark.usefixtures("slow")
    def test_where_rounding_decides_which_is_the_largest_another_may_be_chosen(self) -> None:
        def other(x: Any) -> Any:
            """Of 1 and its neighbour the first: their products are rounded to either order."""
            sides = self.torch.tensor([1.001, 0.999, 1, 1], dtype=x.dtype)
            return (2 * self.torch.nn.functional.max_pool1d(1.0007 * (x * sides), 2),)

        output, gradient = self.pooled([1.0, 1.0009765625, 0.5, 2.0], other)
        assert (output.verdict, gradient.verdict) == (Verdict.AGREES, Verdict.UNDECIDED)
        assert gradient.reason.startswith("roundings decide what is chosen by numbers here")
        output, gradient = self.pooled([1.0, 1.0, 0.5, 2.0], lambda x: (2 * (1.0007 * x)[..., 1::2],))
        assert gradient.verdict is Verdict.UNDECIDED, "of equal ones either"
        assert output.verdict is Verdict.AGREES

    @pytest.mark.usefixtures("slow")
    def test_a_wrong_choice_is_seen_where_rounding_does_not_decide(self) -> None:
        smallest = self.pooled([1.0, 1.5, 0.5, 2.0], lambda x: (2 * (1.0007 * x)[..., ::2],))
        assert [call.verdict for call in smallest] == [Verdict.WRONG, Verdict.WRONG]

    @pytest.mark.usefixtures("slow")
    def test_a_wrong_compiler_is_seen_in_what_it_compiled(self) -> None:
        def backend(graph: Any, inputs: Any) -> Any:
            return lambda *given: tuple(y * 1.01 for y in graph(*given))

        report = self.report(self.torch.compile(self.network(), backend=backend))
        assert report.verdict in (Verdict.WRONG, Verdict.SUSPECT)
        alarms = {r.origin.name for r in report.run.results if r.verdict is not Verdict.AGREES}
        assert alarms == {r.origin.name for r in of_the_compiled(report)}, "the eager run is right"

    def test_an_uncompiled_network_has_no_such_results(self) -> None:
        assert not of_the_compiled(self.report(self.network()))

    def test_random_numbers_are_others_there_and_it_is_said(self) -> None:
        report = self.report(self.torch.compile(self.network(0.5), backend="aot_eager"))
        assert not of_the_compiled(report)
        assert "compiled code draws other random numbers" in str(report)

    @pytest.mark.usefixtures("slow")
    def test_a_compiler_that_fails_is_said(self) -> None:
        def backend(graph: Any, inputs: Any) -> Any:
            raise OSError("no C++ compiler")

        report = self.report(self.torch.compile(self.network(), backend=backend))
        assert not of_the_compiled(report)
        assert "compiled code did not run (" in " ".join(str(report).split())
        assert "no C++ compiler" in " ".join(str(report).split())

    @pytest.mark.usefixtures("slow")
    def test_where_nothing_could_be_seen_it_is_undecided(self) -> None:
        torch = self.torch
        network = torch.compile(self.network().bfloat16(), backend="aot_eager")
        import backproof.torch as checks

        report = checks.check_numbers(network, torch.tensor(numbers(7, 16)).bfloat16())
        undecided = [r for r in of_the_compiled(report) if r.verdict is Verdict.UNDECIDED]
        assert undecided
        assert all("as large as the numbers themselves" in r.reason for r in undecided)


@pytest.mark.usefixtures("slow")
def test_in_jax_too(monkeypatch: pytest.MonkeyPatch) -> None:
    jax = pytest.importorskip("jax")
    import backproof.jax as checks
    from backproof.adapters.jax_program.subject import JaxSubject

    def network(w: Any, x: Any) -> Any:
        return (jax.numpy.tanh(x @ w) ** 2).mean()

    w, x = (jax.numpy.asarray(numbers(*shape), dtype="float32") for shape in ((16, 5), (7, 16)))
    report = checks.check_numbers(jax.jit(network), (w, x))
    assert report.verdict is Verdict.AGREES, str(report)
    results = of_the_compiled(report)
    assert [r.origin.name for r in results] == [
        "compiled: output 0", "compiled: gradient of input 0", "compiled: gradient of input 1",
    ]  # fmt: skip
    assert not of_the_compiled(checks.check_numbers(network, (w, x)))
    right = JaxSubject.run

    def wrong(self: Any, differentiated: Any, cotangents: Any) -> Any:
        outputs, gradients = right(self, differentiated, cotangents)
        return outputs, [g * 1.001 for g in gradients]

    monkeypatch.setattr(JaxSubject, "run", wrong)
    report = checks.check_numbers(jax.jit(network), (w, x))
    alarms = {r.origin.name for r in report.run.results if r.verdict in (Verdict.WRONG, Verdict.SUSPECT)}
    assert alarms == {"compiled: gradient of input 0", "compiled: gradient of input 1"}


@pytest.mark.usefixtures("slow")
@pytest.mark.parametrize(("x", "verdict"), [([1.0, 1.0009765625], Verdict.UNDECIDED), ([1.0, 1.5], Verdict.WRONG)])
def test_in_jax_too_another_of_two_that_rounding_makes_equal_may_be_chosen(
    x: list[float], verdict: Verdict, monkeypatch: pytest.MonkeyPatch
) -> None:
    jax = pytest.importorskip("jax")
    import backproof.jax as checks
    from backproof.adapters.jax_program.subject import JaxSubject

    def other(self: Any, differentiated: Any, cotangents: Any) -> Any:
        outputs, (gradient,) = right(self, differentiated, cotangents)
        return outputs, [gradient[::-1]]

    right = JaxSubject.run
    monkeypatch.setattr(JaxSubject, "run", other)
    function = jax.jit(lambda x: 2 * (x * 1.0007)[jax.numpy.argmax(x * 1.0007)])
    output, gradient = of_the_compiled(checks.check_numbers(function, (np.array(x, np.float16),)))
    assert (output.verdict, gradient.verdict) == (Verdict.AGREES, verdict)
