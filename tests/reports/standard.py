"""The standard cases, generated once in each process that tests them: it takes a second or two."""

from __future__ import annotations

from backproof.reference.cases import standard_cases

CASES = {(case.name, case.dtype): case for case in standard_cases()}
