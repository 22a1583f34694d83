"""`[tool.backproof]` of the nearest pyproject.toml: a project's defaults for `backproof verify`.

What the command line says comes before them; what neither says is the program's own default.
"""

from __future__ import annotations

import tomllib
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec

from ..adapters.protocol import printable
from ..reference.case import InvalidInput

Names = str | list[str]
FILE, TABLE = "pyproject.toml", "[tool.backproof]"


class Settings(msgspec.Struct, forbid_unknown_fields=True, rename="kebab", omit_defaults=True):
    """The keys, each the option of its name; a list where the option takes a list by commas."""

    returns: Literal["gradients", "updated", "outputs"] | None = None
    sizes: list[Annotated[int, msgspec.Meta(ge=1)]] | None = None
    activations: Names | None = None
    loss: str | None = None
    reduction: str | None = None
    bias: str | None = None
    orientation: Literal["units_by_inputs", "inputs_by_units"] | None = None
    updates: Literal["batch", "online"] | None = None
    sign: Literal["positive", "negative"] | None = None
    decay: float | None = None
    optimizer: str | None = None
    batch: Annotated[int, msgspec.Meta(ge=1)] | None = None
    dtype: Literal["float64", "float32", "float16", "bfloat16"] | None = None
    learning_rate: float | None = None
    cases: Annotated[int, msgspec.Meta(ge=1)] | Literal["few", "standard", "many"] | None = None
    timeout: Annotated[float, msgspec.Meta(ge=0.01)] | None = None
    jobs: Annotated[int, msgspec.Meta(ge=1)] | None = None
    strict: bool | None = None


def defaults_of_verify(folder: Path) -> dict[str, Any]:
    """The options of `verify` that the project of this folder declares, by parameter, as the command line writes them.

    Raises InvalidInput where the nearest pyproject.toml is none, or a key or its value is not one of `Settings`.
    """
    found = next((path for path in (at / FILE for at in (folder, *folder.parents)) if path.is_file()), None)
    if found is None:
        return {}
    try:
        tool = tomllib.loads(found.read_text(encoding="utf-8")).get("tool")
        table = tool.get("backproof", {}) if isinstance(tool, dict) else {}
        settings = msgspec.convert(table, Settings)
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InvalidInput(f"{printable(str(found))}: expected TOML; {printable(str(error))}.") from None
    except OSError as error:
        raise InvalidInput(f"{printable(str(found))}: cannot be read: {error.strerror}.") from None
    except msgspec.ValidationError as error:
        raise InvalidInput(f"{printable(str(found))}, {TABLE}: {_said(table, error)}") from None
    values = {name: getattr(settings, name) for name in settings.__struct_fields__}
    return {name: _as_written(value) for name, value in values.items() if value is not None}


def _as_written(value: Any) -> Any:
    """As an option would be given: lists by commas."""
    if isinstance(value, list):
        return ",".join(map(str, value))
    return value if isinstance(value, bool) else str(value)


def _said(table: Any, error: msgspec.ValidationError) -> str:
    """What is wrong with the table, in a line, and what would be right."""
    names = [field.encode_name for field in msgspec.structs.fields(Settings)]
    unknown = next((name for name in table if name not in names), None) if isinstance(table, dict) else None
    if unknown is None:
        said = printable(str(error)).replace(" | null`", "`").replace(" - at `$.", " at `").replace(" - at `$`", "")
        return f"{said[0].lower()}{said[1:]}."
    near = get_close_matches(unknown, names, 1)
    meant = f"did you mean {near[0]}?" if near else f"expected one of {', '.join(names)}."
    return f"there is no {printable(str(unknown))}; {meant}"
