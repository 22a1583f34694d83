"""The teachers' pages: each equation holds to its last printed digit, in the text and in the pictures, in both languages."""

from __future__ import annotations

import re
from math import exp, floor
from pathlib import Path

import pytest
from backproof.reference.case import run
from backproof.reference.numbers.plain import PLAIN
from backproof.reference.worked_example import worked_example

DOCS = Path(__file__).parents[1] / "docs"
PAGES = ("teachers.md", "professores.md")
NUMBER = re.compile(r"−?\d+(?:\.\d+)?")


def equations(page: str) -> list[str]:
    text = (DOCS / page).read_text(encoding="utf-8")
    return re.findall(r"^\w+ = .*$", "\n".join(re.findall(r"```equations\n(.*?)```", text, re.DOTALL)), re.MULTILINE)


def value(expression: str, names: dict[str, float]) -> float:
    python = expression.replace("·", "*").replace("−", "-").replace("½", "0.5").replace("²", "**2")
    found = eval(python, {"σ": lambda z: 1 / (1 + exp(-z))}, names)  # noqa: S307 — our own page
    assert isinstance(found, float)
    return found


def worked_out(page: str) -> dict[str, float]:
    """Every equation's left side, from the exact first form of its right side; the others must print the same."""
    names: dict[str, float] = {}
    for line in equations(page):
        name, first, *others = line.split(" = ")
        names[name] = value(first, names)
        assert others, line
        assert NUMBER.fullmatch(others[-1]), line
        for other in others:
            printed = re.findall(r"\d+\.(\d+)", other)[-1]
            if other is not others[-1]:  # σ of a sum that is printed: the sum must print so
                inner = first.removeprefix("σ(").removesuffix(")")
                assert as_printed(value(inner, names), len(printed)) == other.removeprefix("σ(").removesuffix(")"), line
            else:
                assert as_printed(names[name], len(printed)) == other, line
    return names


def as_printed(number: float, decimals: int) -> str:
    return f"{number:.{decimals}f}".replace("-", "−")


@pytest.mark.parametrize("page", PAGES)
def test_each_equation_holds_to_its_last_digit(page: str) -> None:
    assert len(worked_out(page)) == 21


def test_both_languages_have_the_same_equations() -> None:
    assert equations(PAGES[0]) == equations(PAGES[1])


def test_they_are_what_the_reference_gives() -> None:
    names = worked_out(PAGES[0])
    step = run(worked_example(), PLAIN)
    hidden, (output,) = (layer[0] for layer in step.forward.activations[-2:])
    assert [names["h1"], names["h2"], names["h3"], names["o"]] == pytest.approx([*hidden, output], rel=1e-14)
    deltas, (last,) = (layer[0] for layer in step.backward.deltas)
    assert [names["δ1"], names["δ2"], names["δ3"], names["δ"]] == pytest.approx([*deltas, last], rel=1e-14)
    gradients = step.backward.weight_gradients[1][0]
    assert [names["g1"], names["g2"], names["g3"]] == pytest.approx(gradients, rel=1e-14)


@pytest.mark.parametrize("page", PAGES)
def test_what_the_text_says_of_the_print_is_so(page: str) -> None:
    names = worked_out(page)
    text = " ".join((DOCS / page).read_text(encoding="utf-8").split())
    cut = [f"{floor(names[name] * 1000) / 1000:.3f}" for name in ("h1", "h2", "h3", "o")]
    assert re.search(rf"{cut[0]}, {cut[1]}, {cut[2]} (?:and|e) {cut[3]}", text)
    hidden = [names["h1"], value("σ(0.165 + 0.542)", {}), value("σ(0.165 + 0.331)", {})]
    assert value("σ(0.383*a - 0.327*b - 0.329*c)", dict(zip("abc", hidden, strict=True))) < 0.5


@pytest.mark.parametrize("picture", ["forward.svg", "backward.svg"])
def test_the_pictures_have_the_same_numbers(picture: str) -> None:
    names = worked_out(PAGES[0])
    drawn = (DOCS / "pictures" / picture).read_text(encoding="utf-8")
    named = re.findall(r'data-is="([^"]+)"[^>]*>([^<]+)<', drawn)
    assert len(named) == {"forward.svg": 4, "backward.svg": 16}[picture]
    for name, text in named:
        decimals = len(text.partition(".")[2])
        assert text == ("0" if name == "0" else as_printed(names[name], decimals)), name
    plain = re.findall(r'<text class="w" x="\d+" y="\d+">([^<]+)<', drawn)  # the weights
    case = worked_example()
    weights = [as_printed(w, 3) for row in zip(*case.layers[0].weights, strict=True) for w in row]
    assert plain == ([*weights, *(as_printed(w, 3) for w in case.layers[1].weights[0])] if plain else [])
    assert bool(plain) == (picture == "forward.svg")
