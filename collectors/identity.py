"""The names by which different sources know the same run, so that a stream, a poller and a trace meet in one row.

Each name is opaque text: a prefix that says which kind it is, then its parts, separated by `|`. A poller that builds
the same parts gets the same text. Parts come from outside, so a `|` inside one is escaped, and an over-long name is
cut to a fixed length with a digest of the whole: two different runs never get one name, and it always fits an index.
"""

from hashlib import blake2b

# PostgreSQL refuses index rows beyond 2,704 bytes; the widest index holds three identifiers.
IDENTIFIER_BYTES = 512
ALIAS_BYTES = 1024


def openlineage_alias(namespace: str, job: str, run_id: str) -> str:
    """One run of one job. The job's name is part of it: Dagster uses one runId for several jobs."""
    return _join("ol", namespace, job, run_id)


def run_alias(source: str, namespace: str, pipeline: str, run_id: str, generation: int = 0) -> str:
    """A run by its orchestrator's own id. generation: how often it was cleared or re-driven under the same id."""
    return _join("native", source, namespace, pipeline, run_id, str(generation))


def task_alias(
    source: str, namespace: str, pipeline: str, run_id: str, *, task: str, map_index: int | None, attempt: int
) -> str:
    """One attempt (1-based) of one task, or of one of its mapped instances (`map_index` from 0; None is written -1)."""
    index = -1 if map_index is None else map_index
    return _join("native", source, namespace, pipeline, run_id, task, str(index), str(attempt))


def identifier(text: str, limit: int = IDENTIFIER_BYTES) -> str:
    """text, or its beginning and a digest of the whole where it is longer than limit (bytes of UTF-8)."""
    if len(text) * 4 <= limit:
        return text
    raw = text.encode("utf-8", "replace")
    if len(raw) <= limit:
        return text
    return raw[: limit - 17].decode("utf-8", "ignore") + "~" + blake2b(raw, digest_size=8).hexdigest()


def _join(*parts: str) -> str:
    text = "|".join(parts)
    if "%" in text or text.count("|") != len(parts) - 1:
        text = "|".join(part.replace("%", "%25").replace("|", "%7C") for part in parts)
    return identifier(text, ALIAS_BYTES)
