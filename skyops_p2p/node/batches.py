"""Several jobs that are submitted together: each after those that it depends on, by name. Pure.

A name means the job of the batch before any that was submitted earlier. Once submitted, jobs are named by id, so that
a later job of the same name changes nothing.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from graphlib import CycleError, TopologicalSorter

from skyops_p2p.core.jobs.spec import JobSpec
from skyops_p2p.errors import ConfigError

_JOB = "job:"


def in_order(specs: Sequence[JobSpec]) -> tuple[int, ...]:
    """Return the positions of the jobs in an order in which each comes after those that it depends on.

    Raises:
        ConfigError: `batch_circular`: jobs depend on each other in a circle; `batch_ambiguous`: one depends on a name
            that several of the batch have.
    """
    places = {spec.name: place for place, spec in enumerate(specs)}
    wanted = {
        place: {places[name] for name in needs(spec) if name in places} for place, spec in enumerate(specs)
    }
    counts = Counter(spec.name for spec in specs)
    named = {name for spec in specs for name in needs(spec)}
    if twice := sorted(name for name in named if counts[name] > 1):
        raise ConfigError(
            f"a job depends on {twice[0]}, and {counts[twice[0]]} jobs of this batch have that name",
            code="batch_ambiguous",
            hint="Give each a name of its own.",
        )
    try:
        return tuple(TopologicalSorter(wanted).static_order())
    except CycleError as error:
        circle = " needs ".join(specs[place].name for place in reversed(error.args[1]))
        raise ConfigError(
            f"the jobs depend on each other in a circle: {circle}",
            code="batch_circular",
            hint="Take one of them out of depends_on or inputs.",
        ) from error


def needs(spec: JobSpec) -> frozenset[str]:
    """Return the names, or ids, of the jobs that must have ended before a job begins."""
    uris = [item.uri for item in spec.inputs] + [spec.module]
    sources = {uri.removeprefix(_JOB).partition("/")[0] for uri in uris if uri.startswith(_JOB)}
    return frozenset({*spec.depends_on, *sources})


def naming_ids(spec: JobSpec, ids: Mapping[str, str]) -> JobSpec:
    """Return a job that names others by id.

    Args:
        spec: The job.
        ids: Name of each job of the batch that is submitted already -> its id.
    """
    return spec.model_copy(
        update={
            "depends_on": tuple(ids.get(name, name) for name in spec.depends_on),
            "inputs": tuple(
                item.model_copy(update={"uri": _naming_id(item.uri, ids)}) for item in spec.inputs
            ),
            "module": _naming_id(spec.module, ids),
        }
    )


def _naming_id(uri: str, ids: Mapping[str, str]) -> str:
    if not uri.startswith(_JOB):
        return uri
    name, slash, path = uri.removeprefix(_JOB).partition("/")
    return f"{_JOB}{ids.get(name, name)}{slash}{path}"
