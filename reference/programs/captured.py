"""What an adapter hands over: somebody's forward and backward at one point, in one program."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

from .origins import Origin
from .program import Program, Value


class Unsupported(Exception):
    """An operation that we have no rule for. The message says which one, where it stands, and what to do."""


class NoGraph(Unsupported):
    """No program can be had of a function, though it runs. The message says where it is that nothing is seen."""


WHAT_TO_DO = (
    "no verdict. Check the parts before and after it by themselves, or the numbers that run with backproof.check_path"
)
SYMMETRIC = "for changes that leave the matrix symmetric"  # what a framework declares of a derivative, in a note


@dataclass(frozen=True)
class Border:
    """One call of a custom function (PyTorch's autograd.Function, JAX's custom_vjp): what went in and out, both ways.

    arrived: the cotangents of its outputs, None where none came
    gradients: what its backward returned for each input, None where it returned none;  seen: whether it ran
    again: the outputs as its rule's own forward pass computes them, where that is another function (JAX)
    own: whether it is the framework's own
    """

    name: str
    origin: Origin
    inputs: tuple[Value, ...]
    outputs: tuple[Value, ...]
    arrived: tuple[Value | None, ...] = ()
    gradients: tuple[Value | None, ...] = ()
    seen: bool = False
    again: tuple[Value, ...] = ()
    own: bool = False


@dataclass(frozen=True)
class Captured:
    """Forward and backward of one call.

    inputs, outputs: values;  cotangents: one for each output;  gradients: for each input, None where there is none
    given: the numbers of the inputs and cotangents, by line
    ran: the numbers that the framework computed for the outputs and then the gradients
    borders: its custom functions;  notes: what a reader has to know
    left: where numbers left the graph (to NumPy, to Python), so that what they do there was not seen
    stops: where the code itself stops a gradient (detach, stop_gradient), which the chain rule does not
    conventions: gradients that the framework declares to be others (embedding's padding), and the program follows
    surrogates: the names of custom functions whose backward is declared to be meant as it is
    roundoff: of the coarsest format that any of its numbers came in, where that is coarser than its inputs'
    undefined: what the code says of its numbers, and is not so here: nothing is promised at such a point
    """

    program: Program
    inputs: tuple[Value, ...]
    outputs: tuple[Value, ...]
    cotangents: tuple[Value, ...]
    gradients: tuple[Value | None, ...]
    given: Mapping[int, NDArray[Any]]
    ran: tuple[NDArray[Any] | None, ...]
    borders: tuple[Border, ...] = ()
    notes: tuple[str, ...] = ()
    left: tuple[Origin, ...] = ()
    stops: tuple[Origin, ...] = ()
    conventions: tuple[str, ...] = ()
    surrogates: frozenset[str] = frozenset()
    roundoff: float = 0.0
    undefined: str = ""
