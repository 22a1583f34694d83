"""Constants that people write are recognised, and chance is not taken for one."""

from __future__ import annotations

from random import Random

import pytest

np = pytest.importorskip("numpy")

from backproof.reference.diagnosis.steps.vocabulary import CHANCE, snapped


@pytest.mark.parametrize("short", [0.1, -0.1, 1.0, 1.0001, 1 / 3, -5 / 7, 2.5, 1e-8, 0.044715, 17 / 64])
def test_a_constant_that_people_write_is_recognised_but_for_roundings(short: float) -> None:
    for off in (-1e-13, 0.0, 1e-13):
        assert snapped(short * (1 + off), 1e-12) == short


def test_what_is_near_no_short_number_stays_as_it_is() -> None:
    assert snapped(np.pi, 1e-12) == np.pi
    assert snapped(float("nan"), 1e-12) == 0.0
    assert snapped(0.0, 1e-12) == 0.0


@pytest.mark.parametrize("nearly", [0.3, 1e-1, 1e-2, 1e-3, 1e-4, 1e-6, 1e-9])
def test_any_number_is_taken_for_a_short_one_less_than_one_time_in_ten(nearly: float) -> None:
    """However few digits there are: then a number near a short one says nothing."""
    rng = Random(f"snapping {nearly}")
    numbers = [10 ** rng.uniform(-3, 1) for _ in range(4000)]
    taken = sum(snapped(number, nearly) != number for number in numbers)
    assert taken < CHANCE * len(numbers)


def test_with_few_digits_a_short_number_of_few_digits_is_still_recognised() -> None:
    assert snapped(0.50001, 1e-4) == 0.5
    assert snapped(0.33334, 1e-4) == 1 / 3
    assert snapped(0.123456, 1e-2) == 0.123456  # in two digits, any number is near 0.12
