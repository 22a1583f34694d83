"""Protocol 1: how a process in any language is asked, and how it answers. docs/protocol.md is its description.

One JSON object per line on the process's stdin, one per line back on its stdout, in the same order.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
import numpy as np
from msgspec import Meta
from numpy.typing import NDArray

from ..reference.case import Case, Dense, InvalidInput
from ..reference.judging import Observation
from ..reference.numbers import array_of, numpy_dtype
from .adapter import Unanswered

PROTOCOL: Literal[1] = 1
SCHEMA_FILE = Path(__file__).with_name("protocol.schema.json")

# JSON has no word for these; a string stands for the number.
NOT_FINITE = {"NaN": float("nan"), "Infinity": float("inf"), "-Infinity": float("-inf")}
Number = float | Literal["NaN", "Infinity", "-Infinity"]
Matrix = Annotated[list[list[Number]], Meta(description="rows")]


class Layer(msgspec.Struct, frozen=True):
    """A layer, or what belongs to one: its gradient, its updated parameters."""

    weights: Annotated[list[list[float]], Meta(description="units × inputs: a row per unit")]
    biases: Annotated[list[float] | None, Meta(description="one per unit; null: the layer has none")]
    activation: str


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """What the process is asked: one network, one batch, one learning step."""

    protocol: Literal[1] = PROTOCOL
    id: int
    dtype: Annotated[str, Meta(description="the format to compute in; all numbers are exact in it")]
    layers: list[Layer]
    loss: str
    reduction: Annotated[str, Meta(description="sum, or mean: the loss divided by the number of samples")]
    inputs: Annotated[list[list[float]], Meta(description="samples × inputs: a row per sample")]
    targets: Annotated[list[list[float]], Meta(description="samples × outputs")]
    learning_rate: Annotated[float | None, Meta(description="for `updated`; null: no update is asked for")]
    online: Annotated[
        bool | msgspec.UnsetType,
        Meta(description="true: `updated` is after one step per sample, in order; it alone is judged. Absent: false"),
    ] = msgspec.UNSET


class Parameters(msgspec.Struct, frozen=True):
    """Numbers in the shape of a layer's parameters."""

    weights: Matrix
    biases: list[Number] | None = None


class Answer(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What it answers: at least one of outputs, loss, gradients and updated; or why there is none."""

    id: Annotated[int, Meta(description="the request's")]
    outputs: Matrix | None = None
    loss: Number | None = None
    gradients: Annotated[list[Parameters] | None, Meta(description="per layer, ∂E/∂weights and ∂E/∂biases")] = None
    updated: Annotated[list[Parameters] | None, Meta(description="per layer, after one step of the delta rule")] = None
    error: Annotated[str | None, Meta(description="why this request is not answered, for a person")] = None


class Hello(msgspec.Struct, frozen=True, kw_only=True):
    """The optional first line: what can you do?"""

    protocol: Literal[1] = PROTOCOL
    id: Literal[0] = 0
    hello: Literal["backproof"] = "backproof"


class Capabilities(msgspec.Struct, frozen=True, kw_only=True):
    """The answer to it."""

    id: Literal[0] = 0
    name: str
    activations: list[str]
    losses: list[str]
    dtypes: list[str] = msgspec.field(default_factory=lambda: ["float64"])


def request(case: Case, number: int) -> Request:
    """A case as a request."""
    layers = [
        Layer(_rows(layer.weights), None if layer.biases is None else _rows([layer.biases])[0], _name_of(layer))
        for layer in case.layers
    ]
    return Request(
        id=number, dtype=case.dtype, layers=layers, loss=case.loss, reduction=case.reduction,
        inputs=_rows(case.inputs), targets=_rows(case.targets), learning_rate=case.learning_rate,
        online=case.online or msgspec.UNSET,
    )  # fmt: skip


def line_of(message: Any) -> bytes:
    """A message as one line; numbers are the shortest decimals that give them back."""
    return msgspec.json.encode(message) + b"\n"


def case_of(asked: Request, name: str) -> Case:
    """A request as a case. Raises InvalidInput where it makes none."""

    layers = tuple(
        Dense(array_of(x.weights, asked.dtype), None if x.biases is None else tuple(x.biases), x.activation)
        for x in asked.layers
    )
    inputs, targets = array_of(asked.inputs, asked.dtype), array_of(asked.targets, asked.dtype)
    online = asked.online is True
    return Case(
        name, layers, inputs, targets, asked.loss, asked.reduction, asked.learning_rate, asked.dtype, online=online
    )


def _name_of(layer: Dense) -> str:
    if not isinstance(layer.activation, str):
        raise InvalidInput(f"activation {layer.activation}: it is your own, and a process is told a name only.")
    return layer.activation


def _rows(rows: Any) -> list[list[float]]:
    return np.array(rows, np.float64, ndmin=2).tolist()


# ----------------------------------------------------------------------------------------------- answers


def observation_of(line: bytes | str, case: Case, number: int, version: str = "") -> Observation:
    """An answer line to a case. Raises Unanswered, with what is wrong with it, where it cannot be used."""
    answer = parsed(line)
    if not isinstance(answer, dict):
        raise Unanswered(f"expected a JSON object, got {shortened(answer)}")
    if isinstance(answer.get("id"), bool) or answer.get("id") != number:  # 7.0 will do: some languages have floats only
        came = shortened(answer["id"]) if "id" in answer else "none"
        raise Unanswered(f"id: expected {number}, the request's; got {came}")
    if answer.get("error") is not None:
        raise Unanswered(f"it says: {printable(str(answer['error']))}")
    return observation_from(answer, case, version)


def observation_from(answer: dict[str, Any], case: Case, version: str = "") -> Observation:
    """The numbers of a parsed answer. Raises Unanswered."""
    sizes, depth = case.sizes, len(case.layers)
    outputs, loss = answer.get("outputs"), answer.get("loss")
    found: dict[str, Any] = {}
    if outputs is not None:
        array = _array("outputs", outputs, (case.batch, sizes[-1]), "samples × outputs", case.dtype)
        found["activations"] = (*(None,) * (depth - 1), array)
    if loss is not None:
        found["loss"] = _array("loss", [[loss]], (1, 1), "one number", case.dtype)[0, 0:1]
    for kind, weights, biases in (
        ("gradients", "weight_gradients", "bias_gradients"),
        ("updated", "updated_weights", "updated_biases"),
    ):
        if answer.get(kind) is not None:
            found[weights], found[biases] = _parameters(kind, answer[kind], case)
    if not found:
        raise Unanswered("expected at least one of outputs, loss, gradients and updated; got none of them")
    if case.learning_rate is None and "updated_weights" in found:
        raise Unanswered("updated: the request has no learning_rate, so there is no update to answer")
    if case.online:
        found = {name: arrays for name, arrays in found.items() if name.startswith("updated_")}
        if not found:
            raise Unanswered('updated: the request says "online": true, so the weights after all steps are asked for')
    return Observation("process", version, "", case.dtype, **found)


def _parameters(kind: str, given: Any, case: Case) -> tuple[tuple[NDArray[Any], ...], tuple[NDArray[Any] | None, ...]]:
    if not isinstance(given, list) or len(given) != len(case.layers):
        came = f"{len(given)}" if isinstance(given, list) else shortened(given)
        raise Unanswered(f"{kind}: expected a list of {len(case.layers)}, one per layer; got {came}")
    weights: list[NDArray[Any]] = []
    biases: list[NDArray[Any] | None] = []
    for k, (layer, part) in enumerate(zip(case.layers, given, strict=True)):
        place = f"{kind}[{k}]"
        if not isinstance(part, dict) or "weights" not in part:
            raise Unanswered(f"{place}: expected an object with weights and biases, got {shortened(part)}")
        units, inputs = case.sizes[k + 1], case.sizes[k]
        weights.append(_array(f"{place}.weights", part["weights"], (units, inputs), "units × inputs", case.dtype))
        bias = part.get("biases")
        if layer.biases is None:
            if bias not in (None, []):
                raise Unanswered(f"{place}.biases: the layer has no biases; expected null, got {shortened(bias)}")
            biases.append(None)
            continue
        if not isinstance(bias, list):
            raise Unanswered(f"{place}.biases: expected {units} numbers, got {shortened(bias)}")
        biases.append(_array(f"{place}.biases", [bias], (1, units), "one per unit", case.dtype)[0])
    return tuple(weights), tuple(biases)


def _array(place: str, rows: Any, shape: tuple[int, int], meaning: str, dtype: str) -> NDArray[Any]:
    wanted = f"{shape[0]} × {shape[1]} ({meaning})" if place != "loss" else meaning
    if not isinstance(rows, list) or not all(isinstance(row, list) for row in rows):
        raise Unanswered(f"{place}: expected {wanted}, got {shortened(rows)}")
    widths = sorted({len(row) for row in rows})
    if len(rows) != shape[0] or widths != [shape[1]]:
        came = (
            f"{len(rows)} × {widths[0]}" if len(widths) == 1 else f"rows of {', '.join(map(str, widths)) or 'nothing'}"
        )
        raise Unanswered(f"{place}: expected {wanted}, got {came}")
    numbers = [[_number(place, i, j, x) for j, x in enumerate(row)] for i, row in enumerate(rows)]
    with np.errstate(all="ignore"):  # a number beyond the format is infinite in it
        return np.array(numbers, np.float64).astype(numpy_dtype(dtype))


def _number(place: str, i: int, j: int, x: Any) -> float:
    if type(x) is float or type(x) is int:
        return x
    if isinstance(x, str) and x in NOT_FINITE:
        return NOT_FINITE[x]
    raise Unanswered(f"{place}[{i}][{j}]: expected a number, got {shortened(x)}")


class _Repeated(ValueError):
    pass


def parsed(line: bytes | str) -> Any:
    """JSON, strictly: no key twice, no NaN. Raises Unanswered with what is wrong and where."""
    try:
        text = line if isinstance(line, str) else line.decode()
    except UnicodeDecodeError as error:
        raise Unanswered(
            f"expected UTF-8 text, got the byte 0x{error.object[error.start]:02x} at {error.start}"
        ) from None
    try:
        return json.loads(text, object_pairs_hook=_once, parse_constant=_no_constant, parse_int=_integer)
    except _Repeated as error:
        raise Unanswered(str(error)) from None
    except RecursionError:
        raise Unanswered("the JSON is nested too deeply") from None
    except ValueError as error:
        said = error.msg if isinstance(error, json.JSONDecodeError) else "a number that cannot be read"
        where = error.pos if isinstance(error, json.JSONDecodeError) else 0
        near = shortened_text(text[max(0, where - 10) : where + 30])
        raise Unanswered(f"not JSON: {said} at character {where}, near {near}") from None


def _once(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        ((twice, _),) = Counter(key for key, _ in pairs).most_common(1)
        raise _Repeated(f"the key {shortened_text(twice)} stands there twice")
    return found


def _no_constant(name: str) -> Any:
    raise _Repeated(f'{name} is not JSON; a number that is not finite is written as the string "{name}"')


def _integer(digits: str) -> int | float:
    return int(digits) if len(digits) <= LONGEST_INTEGER else float(digits)


LONGEST_INTEGER = 18  # digits; longer ones are floats, as all numbers here are


# --------------------------------------------------------------------------- other people's words, made safe


def printable(text: str, longest: int = 400) -> str:
    """Text from outside, without what a terminal would obey: control characters are shown as escapes."""
    safe = "".join(c if c.isprintable() else repr(c)[1:-1] for c in text[: longest + 1])
    return safe if len(safe) <= longest else safe[: longest - 1] + "…"


def shortened(value: Any) -> str:
    """A value in a few words."""
    try:
        return shortened_text(value) if isinstance(value, str) else printable(json.dumps(value), 60)
    except (TypeError, ValueError, RecursionError):
        return type(value).__name__


def shortened_text(text: str) -> str:
    """A text in quotes, cut."""
    return '"' + printable(text, 60) + '"'


def schema() -> dict[str, Any]:
    """The JSON Schema of all four messages. `protocol.schema.json` is its published copy."""
    schemas, definitions = msgspec.json.schema_components([Request, Answer, Hello, Capabilities])
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "backproof protocol 1",
        "anyOf": [{"$ref": s["$ref"].replace("#/components/schemas", "#/$defs")} for s in schemas],
        "$defs": json.loads(json.dumps(definitions).replace("#/components/schemas", "#/$defs")),
    }


if __name__ == "__main__":
    SCHEMA_FILE.write_text(json.dumps(schema(), indent=1, ensure_ascii=False) + "\n")
