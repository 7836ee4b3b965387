"""What a JSON schema lets stand, in words."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

Schema = Mapping[str, Any]


def allowed(field: Schema, whole: Schema) -> str:
    """What may stand in a field.

    Args:
        field: its part of the schema.
        whole: the schema, which holds what the part refers to.

    Returns:
        Markdown, such as: a whole number, at least 1.

    Raises:
        KeyError: the schema has something in it for which there are no words yet.
    """
    if "$ref" in field:
        return allowed(whole["$defs"][field["$ref"].rpartition("/")[2]], whole)
    if "anyOf" in field:
        return " or ".join(allowed(each, whole) for each in field["anyOf"])
    if "enum" in field:
        return ", ".join(f"`{each}`" for each in field["enum"])
    kind = field.get("format") or field["type"]
    return WORDS.get(kind) or PHRASES[kind](field, whole)


def _number(field: Schema, _: Schema) -> str:
    noun = "a whole number" if field["type"] == "integer" else "a number"
    low, above, high = (field.get(key) for key in ("minimum", "exclusiveMinimum", "maximum"))
    if low is not None and high is not None:
        return f"{noun} from {low:g} to {high:g}"
    if low is not None:
        return f"{noun}, at least {low:g}"
    return noun if above is None else f"{noun} above {above:g}"


def _list(field: Schema, whole: Schema) -> str:
    return f"a list, each: {allowed(field['items'], whole)}"


def _object(field: Schema, whole: Schema) -> str:
    keys = field.get("propertyNames")
    names = allowed(keys, whole) if keys else "any names"
    return f"{names}; of each: {allowed(field['additionalProperties'], whole)}"


WORDS = {
    "boolean": "`true`, `false`",
    "date": "a date in quotes",
    "null": "`null`",
    "path": "a path",
    "string": "text",
}
PHRASES: dict[str, Callable[[Schema, Schema], str]] = {
    "array": _list,
    "integer": _number,
    "number": _number,
    "object": _object,
}
