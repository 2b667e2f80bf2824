"""How values are written in the vectors' JSON. Described in protocol/vectors/README.md."""

from typing import Any


def written(value: Any) -> Any:
    """Write a canonical value with its type: {"int": "5"}, {"bytes": "00ff"}, {"map": [[0, …]]}."""
    if isinstance(value, bool):
        return {"bool": value}
    if isinstance(value, int):
        return {"int": str(value)}
    if isinstance(value, bytes):
        return {"bytes": value.hex()}
    if isinstance(value, str):
        return {"text": value}
    if isinstance(value, dict):
        return {"map": [[key, written(item)] for key, item in value.items()]}
    return {"array": [written(item) for item in value]}


def fields_written(value: Any) -> Any:
    """Write a message's named fields: bytes as {"hex": …}, all else as JSON has it."""
    if isinstance(value, bytes):
        return {"hex": value.hex()}
    if isinstance(value, dict):
        return {name: fields_written(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [fields_written(item) for item in value]
    return value


def named_fields(message: Any) -> dict[str, Any]:
    """Return a message's fields by name, absent ones left out."""
    return dict(message.model_dump(exclude_none=True))
