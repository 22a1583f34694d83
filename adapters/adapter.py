"""What an adapter is, and which ones there are."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, entry_points, version
from importlib.util import find_spec
from shlex import quote
from typing import Any

from numpy.typing import NDArray

from ..reference.backprop import Rules
from ..reference.case import Case, Dense, InvalidInput, one_of
from ..reference.judging import QUANTITIES, Observation

# What the atlas measures: the chapter's activations that are not exact, and what losses and others are made of.
ELEMENTARY = ("sigmoid", "tanh", "softplus", "leaky_relu", "exp", "expm1", "log", "log1p", "erf", "gelu_gate")
# And what programs of any network are made of. pow: of x and x.
OF_PROGRAMS = (
    "sin", "cos", "tan", "asin", "acos", "atan", "sinh", "cosh", "asinh", "acosh", "atanh", "erfc", "erfinv", "cbrt",
    "pow",
)  # fmt: skip


class Unanswered(Exception):
    """An implementation gave no usable answer; the message says why."""


@dataclass(frozen=True, eq=False)
class Trajectory:
    """What training did. losses: before each update; layers: what it arrived at"""

    losses: tuple[float, ...]
    layers: tuple[Dense, ...]


def every_case(case: Case) -> None:
    """Nothing speaks against it: what `cannot` is, unless an adapter says otherwise."""
    del case


@dataclass(frozen=True)
class Adapter:
    """One way to run a case.

    Attributes:
        name: what people type
        summary: what it is, in a few words
        package: the import name of what it needs; None for plain Python
        run: a case to an observation; imports the framework only when called
        rank: where it stands in lists; the reference first, then what is written by hand, then frameworks, then others'
        distributions: what pip calls the package, where that is not its import name; the first is the one to install
        dtypes: the dtypes of the cases that it can run
        shows: the quantities that its observations have, of `QUANTITIES`; the judge bridges what is missing
        limits: what it can neither run nor show, in words; empty where that is nothing
        cannot: why it cannot run a case, in words; None where it can. What it has no way to say is no answer to judge
        evaluate: one elementary function of the framework on an array, elementwise, for the accuracy atlas; functions
            have the names of `ELEMENTARY` and `OF_PROGRAMS`; what it raises, it does not have
        plant: a case with other rules, wrong ones, in the way in which users of the framework write their own
            gradients
        train: so many updates by one of `UPDATE_RULES`, by the framework's own optimizer where it has one
    """

    name: str
    summary: str
    package: str | None
    run: Callable[[Case], Observation]
    rank: int = 5
    distributions: tuple[str, ...] = ()
    dtypes: tuple[str, ...] = ("float64", "float32")
    shows: tuple[str, ...] = QUANTITIES
    limits: str = ""
    cannot: Callable[[Case], str | None] = every_case
    evaluate: Callable[[str, NDArray[Any]], NDArray[Any]] | None = None
    plant: Callable[[Case, Rules], Observation] | None = None
    train: Callable[[Case, str, int], Trajectory] | None = None

    @property
    def present(self) -> bool:
        return self.package is None or find_spec(self.package) is not None

    @property
    def version(self) -> str | None:
        """The installed version of the package; None where there is no package, or no record of it."""
        if self.package is None:
            return None
        for name in self.distributions or (self.package,):
            try:
                return version(name)
            except PackageNotFoundError:
                continue
        return None

    @property
    def install(self) -> str:
        """The command that brings the package."""
        return f"python -m pip install {quote(next(iter(self.distributions), self.package) or '')}"

    def refusal(self, case: Case) -> str | None:
        """Why the case is not for this adapter, its dtype among the reasons; None where it runs it."""
        if case.dtype not in self.dtypes:
            return f"{case.dtype}: it computes in {', '.join(self.dtypes)}"
        return self.cannot(case)


def known_adapters() -> dict[str, Adapter]:
    """All adapters by name, whether their framework is installed or not, in the order of lists.

    Raises:
        InvalidInput: where a third party's entry point cannot be loaded, or takes a name that is taken.
    """
    found: dict[str, Adapter] = {}
    package = __name__.rpartition(".")[0]
    for module in pkgutil.iter_modules(importlib.import_module(package).__path__):
        adapter = getattr(importlib.import_module(f"{package}.{module.name}"), "ADAPTER", None)
        if adapter is not None:
            found[adapter.name] = adapter
    for entry in entry_points(group="backproof.adapters"):
        if entry.name in found:
            raise InvalidInput(
                f"adapter {entry.name}: two installed packages offer an adapter of this name. Uninstall one."
            )
        found[entry.name] = _load(entry.name, entry.load)
    return dict(sorted(found.items(), key=lambda item: (item[1].rank, item[0])))


def chosen(names: Sequence[str] = ()) -> tuple[Adapter, ...]:
    """The adapters of these names, or all that are installed if none is named.

    Raises:
        InvalidInput: for a name that is unknown or whose framework is absent.
    """
    known = known_adapters()
    if not names:
        return tuple(adapter for adapter in known.values() if adapter.present)
    for name in names:
        one_of("adapter", name, known)
        if not known[name].present:
            raise InvalidInput(
                f"adapter {name}: {known[name].package} is not installed. To bring it: {known[name].install}"
            )
    return tuple(known[name] for name in dict.fromkeys(names))


def _load(name: str, load: Callable[[], object]) -> Adapter:
    try:
        adapter = load()
    except (
        Exception
    ) as error:  # a third party's import may fail in any way; it must not take the others down unexplained
        raise InvalidInput(
            f"adapter {name}: its entry point failed to load: {error}. Repair or uninstall it."
        ) from error
    if not isinstance(adapter, Adapter):
        raise InvalidInput(f"adapter {name}: its entry point must name an Adapter, got {type(adapter).__name__}.")
    return adapter
