"""The message models in the words of protocol/messages.toml, and the tables of fields in protocol/*.md.

`describe` reads the models, `load` the file of record; a test compares the two. The tables stand between the
markers `<!-- fields: NAME -->` and `<!-- end -->`; `make vectors` writes them from messages.toml.
"""

import re
import tomllib
from pathlib import Path
from typing import Any

from skyops_p2p.wire.model import Message, Part
from skyops_p2p.wire.registry import MESSAGES

PROTOCOL = Path(__file__).parents[2] / "protocol"
TABLE = re.compile(r"<!-- fields: (?P<name>[a-z-]+) -->\n.*?<!-- end -->", re.DOTALL)
LIST = re.compile(r"<!-- messages -->\n.*?<!-- end -->", re.DOTALL)

_AUCTION_PARTS = (
    *("needs", "weights", "bid", "observation", "exclusion", "score", "reveal"),
    *("proofrow", "proofblock", "proofplace"),
)
_EXECUTION_PARTS = (
    *("bundleref", "input", "secret", "holder", "gang", "gangmember"),
    *("metric", "gpuload", "usage", "log"),
)
PARTS_IN = {
    "peer": "03-peering.md",
    **dict.fromkeys(_AUCTION_PARTS, "04-auction.md"),
    **dict.fromkeys(_EXECUTION_PARTS, "05-execution.md"),
    "probed": "08b-probes.md",
    "copy": "05b-content.md",
    **dict.fromkeys(("candidate", "answer", "comparison", "stretch"), "06-verification.md"),
    **dict.fromkeys(("counts", "half", "voucheritem"), "07-settlement.md"),
}
"""The chapter with a part's table, where it is not 01-identity.md."""

LIMITS = ("bytes_max", "items_max")
"""Said of a message where they are not those of CNV-4."""

Entry = dict[str, Any]


def load() -> dict[str, dict[str, Entry]]:
    """Read protocol/messages.toml."""
    return tomllib.loads((PROTOCOL / "messages.toml").read_text(encoding="utf-8"))


def describe() -> dict[str, dict[str, Entry]]:
    """Say of every registered message, and of every part inside one, what messages.toml says of it."""
    messages: dict[str, Entry] = {}
    parts: dict[str, Entry] = {}
    for kind in MESSAGES.values():
        longer = {
            name: getattr(kind, name) for name in LIMITS if getattr(kind, name) != getattr(Message, name)
        }
        messages[kind.name] = {"number": kind.number, **longer, "fields": _fields(kind, parts)}
    return {"messages": messages, "parts": dict(sorted(parts.items()))}


def part_name(class_name: str) -> str:
    return class_name.removesuffix("Part").lower()


def _fields(kind: type[Part], parts: dict[str, Entry]) -> Entry:
    schema = kind.model_json_schema()
    for name, definition in schema.get("$defs", {}).items():
        parts[part_name(name)] = {"fields": _numbered(_class(kind, name), definition)}
    return _numbered(kind, schema)


def _numbered(kind: type[Part], schema: Entry) -> Entry:
    numbers = {field.name: number for number, field in kind._by_number.items()}
    entries = {}
    for name, number in sorted(numbers.items(), key=lambda pair: pair[1]):
        entries[name] = {"number": number, **_value(schema["properties"][name])}
        if name not in schema.get("required", []):
            entries[name]["optional"] = True
    return entries


def _class(kind: type[Part], name: str) -> type[Part]:
    todo = [kind]
    for candidate in todo:
        if candidate.__name__ == name:
            return candidate
        todo += [field.part for field in candidate._by_number.values() if field.part is not None]
    raise AssertionError(f"{name} is not inside {kind.__name__}")


def _value(schema: Entry) -> Entry:
    if "anyOf" in schema:
        (schema,) = [option for option in schema["anyOf"] if option.get("type") != "null"]
    if "$ref" in schema:
        return {"type": "map", "part": part_name(schema["$ref"].rsplit("/", 1)[1])}
    if "const" in schema or "enum" in schema:
        return {"type": "text", "one_of": schema.get("enum") or [schema["const"]]}
    match schema["type"]:
        case "boolean":
            return {"type": "bool"}
        case "integer":
            return {"type": "int", "min": schema["minimum"], "max": schema["maximum"]}
        case "array":
            bounds = {"min": schema.get("minItems", 0), "max": schema["maxItems"]}
            return {"type": "array", **bounds, "of": _value(schema["items"])}
        case "string":
            kind = "bytes" if schema.get("format") == "binary" else "text"
            return {"type": kind, **_length(schema)}
    raise AssertionError(schema)


def _length(schema: Entry) -> Entry:
    entry: Entry = {"min": schema.get("minLength", 0)}
    if "maxLength" in schema:
        entry["max"] = schema["maxLength"]
    if "pattern" in schema:
        entry["pattern"] = schema["pattern"]
    return entry


def to_toml(document: dict[str, dict[str, Entry]]) -> str:
    """Write the tables in the one layout that messages.toml has."""
    lines: list[str] = []
    for section in ("messages", "parts"):
        for name, entry in document[section].items():
            lines += ["", f"[{section}.{name}]"]
            if "number" in entry:
                lines.append(f"number = {entry['number']}")
            lines += [f"{name} = {entry[name]}" for name in LIMITS if name in entry]
            lines += [f"fields.{field} = {_inline(value)}" for field, value in entry["fields"].items()]
            lines += [] if entry["fields"] else ["fields = {}"]
    return "\n".join(lines) + "\n"


def _inline(value: Any) -> str:
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{key} = {_inline(item)}" for key, item in value.items()) + " }"
    if isinstance(value, list):
        return "[" + ", ".join(_inline(item) for item in value) + "]"
    if isinstance(value, bool):
        return str(value).lower()
    return f"'{value}'" if isinstance(value, str) else str(value)


def with_tables(text: str, document: dict[str, dict[str, Entry]]) -> str:
    """Return a specification text with all its generated tables written anew."""
    text = LIST.sub(lambda _: f"<!-- messages -->\n{_message_list(document)}<!-- end -->", text)
    return TABLE.sub(lambda match: _table(match["name"], document), text)


def _message_list(document: dict[str, dict[str, Entry]]) -> str:
    rows = [f"| {entry['number']} | `{name}` |" for name, entry in document["messages"].items()]
    return "\n".join(["| number | message |", "|---|---|", *rows]) + "\n"


def _table(name: str, document: dict[str, dict[str, Entry]]) -> str:
    entry = document["messages"].get(name) or document["parts"][name]
    rows = [f"| {field['number']} | `{key}` | {_words(field)} |" for key, field in entry["fields"].items()]
    table = "\n".join(["| number | field | value |", "|---|---|---|", *rows]) if rows else "No fields."
    return f"<!-- fields: {name} -->\n{table}\n<!-- end -->"


def _words(field: Entry) -> str:
    lead = "optional; " if field.get("optional") else ""
    low, high = field.get("min"), field.get("max")
    span = f"{low}" if low == high else f"{low} to {high}"
    match field["type"]:
        case "bool":
            return lead + "bool"
        case "int":
            return lead + f"int, {low} to {_power(high)}"
        case "bytes":
            return lead + f"bytes, {span} long"
        case "map":
            return (
                lead
                + f"map: [{field['part']}]({PARTS_IN.get(field['part'], '01-identity.md')}#part-{field['part']})"
            )
        case "array":
            return lead + f"array of {span}: {_words(field['of'])}"
    if "one_of" in field:
        return lead + "text: " + " or ".join(f"`{choice}`" for choice in field["one_of"])
    length = "" if high is None else f", {span} characters"
    pattern = f", pattern `{field['pattern']}`" if "pattern" in field else ""
    return lead + "text" + length + pattern


def _power(value: int) -> str:
    if value == 2**53 - 1:
        return "2^53-1"
    return f"2^{value.bit_length() - 1}" if value >= 2**20 and value & (value - 1) == 0 else str(value)


def kind_of(name: str) -> type[Message]:
    """Return the class of a message name."""
    (kind,) = [kind for kind in MESSAGES.values() if kind.name == name]
    return kind
