"""Which of JAX's primitives the adapter covers: python tests/adapters/jax_coverage.py prints a table in Markdown."""

from __future__ import annotations

import sys
from importlib import import_module
from pkgutil import iter_modules
from typing import Any

from backproof.adapters.jax_program import (
    complex_numbers,
    control_flow,
    elementwise,
    interpreter,
    linear_algebra,
    movement,
    sums,
)

COVERED, MOVED, RUN, NOT = "covered", "exact movement", "taken from the run", "not covered"

# Modules of which nothing is covered, and why.
MODULES = {
    "jax._src.lax.parallel": "several devices",
    "jax._src.shard_map": "several devices",
    "jax._src.custom_partitioning": "several devices",
    "jax._src.cudnn": "a kernel of the GPU",
    "jax._src.state": "references, which are written to",
    "jax._src.core": "references, which are written to",
    "jax._src.hijax": "types of the user's own",
    "jax._src.callback": "Python, called back",
    "jax._src.ffi": "foreign code",
    "jax._src.export": "shapes without numbers, exported code",
}
NAMES = {
    **dict.fromkeys(
        ("all_gather", "all_to_all", "pmax", "pmin", "ppermute", "ragged_all_to_all", "core_map"), "several devices"
    ),
    "call_hi_primitive": "types of the user's own", "check": "checkify's own", "unreachable": "never reached",
    "custom_lin": "gone when a gradient is traced", "custom_jvp_call_jaxpr": "gone when a gradient is traced",
    "eig": "no formula in our operations", "schur": "no formula in our operations",
    "eigh": "no formula in our operations", "svd": "no formula in our operations",
    "random_gamma": "its derivative is a loop", "nextafter": "JAX has no derivative",
    "householder_product": "JAX has no derivative", "symmetric_product": "JAX has no derivative",
    "scaled_dot": "narrow formats with scales",
    "hessenberg": "JAX has no derivative", "tridiagonal": "JAX has no derivative", "geqrf": "JAX has no derivative",
    "geqp3": "JAX has no derivative", "ormqr": "JAX has no derivative", "cholesky_update": "JAX has no derivative",
    "select_and_scatter": "JAX has no derivative", "reduce_window": "JAX has no derivative backwards",
}  # fmt: skip


def primitives() -> dict[str, str]:
    """Their names, and the module that each is in."""
    import jax
    from jax._src import lax
    from jax.extend.core import Primitive

    import_module("jax.experimental.custom_partitioning")
    for module in iter_modules(lax.__path__):
        import_module(f"{lax.__name__}.{module.name}")
    assert jax.__version__
    found: dict[str, str] = {}
    for name, loaded in sorted(sys.modules.items()):
        if name.startswith("jax._src"):
            members: list[Any] = list(vars(loaded).values())
            found |= {x.name: name for x in members if isinstance(x, Primitive) and x.name not in found}
    return found


def covered(name: str, module: str) -> tuple[str, str]:
    """Which way, and why not."""
    if name in elementwise.SAME or (name in movement.TABLE.entries and not name.startswith("scatter-")):
        return MOVED, ""
    if name in elementwise.FROM_RUN:
        return RUN, ""
    tables = (elementwise.TABLE, movement.TABLE, sums.TABLE, linear_algebra.TABLE)
    if name in control_flow.TABLE or name in complex_numbers.RULES or any(name in table.entries for table in tables):
        return COVERED, ""
    reason = NAMES.get(name) or next((why for start, why in MODULES.items() if module.startswith(start)), "")
    return NOT, reason or "not written yet"


def main() -> None:
    """Prints the table, and how many there are of each."""
    found = {name: covered(name, module) for name, module in sorted(primitives().items())}
    print("| primitive | how |\n| --- | --- |")
    for name, (how, reason) in found.items():
        print(f"| `{name}` | {how}{f' ({reason})' if reason else ''} |")
    print()
    for kind in (COVERED, MOVED, RUN, NOT):
        print(f"{kind}: {sum(how == kind for how, _ in found.values())}")
    assert set(interpreter.TABLE) & set(found)


if __name__ == "__main__":
    main()
