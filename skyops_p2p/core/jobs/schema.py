"""The JSON Schema of a job specification, as editors and other programs use it. Pure."""

from typing import Any

from skyops_p2p.core.jobs import parts
from skyops_p2p.core.jobs.fields import Section
from skyops_p2p.core.jobs.spec import JobSpec

SCHEMA_DIALECT = "https://json-schema.org/draft/2020-12/schema"
_WITH_DEFAULTS: tuple[type[Section], ...] = (
    parts.GpuNeed,
    parts.Resources,
    parts.Mode,
    parts.Price,
    parts.Timeouts,
    parts.Retry,
    parts.Checkpoint,
    parts.Verification,
    parts.Placement,
    parts.Award,
)
_SHORT_FORM: dict[str, dict[str, Any]] = {
    "input_data": {
        "anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}],
        "description": "Short for inputs: one URI is put at /input, several at /input/0 and so on.",
    },
    "output_dest": {
        "type": "string",
        "description": "Short for outputs: a path of the job, or a URI that /results goes to.",
    },
}


def job_schema() -> dict[str, Any]:
    """Return the schema of what a person may write: short forms included, defaults as they are written."""
    schema = JobSpec.model_json_schema()
    properties, definitions = schema["properties"], schema["$defs"]
    _write_defaults(properties, _as_written(JobSpec(image="x")))
    for section in _WITH_DEFAULTS:
        _write_defaults(definitions[section.__name__]["properties"], _as_written(section()))
    definitions["Secret"]["properties"].pop("value")
    properties |= _SHORT_FORM
    return {"$schema": SCHEMA_DIALECT, **schema}


def _as_written(section: Section) -> dict[str, Any]:
    return section.model_dump(mode="json", by_alias=True)


def _write_defaults(properties: dict[str, Any], defaults: dict[str, Any]) -> None:
    """Replace the defaults, which pydantic gives as the integers that a model holds."""
    for name, description in properties.items():
        if "default" in description:
            description["default"] = defaults[name]
