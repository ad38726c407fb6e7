"""One result of one data test: `{"check": "not_null", "table": "shop.orders", "column": "id", "status": "fail"}`.

The converters of `collectors.quality` make these of what tools write; anybody may post them. It becomes a sample of the
series `quality_check`, which the rules of the kind `quality` watch.
"""

from datetime import datetime

from collectors.events.fields import Fields, Json, Unfit
from collectors.events.run_event import AHEAD, Naming
from collectors.identity import identifier
from watchtower.model.quality import QUALITY, verdict_of
from watchtower.model.run import JobRef
from watchtower.model.series import MAX_LABEL_VALUE, Sample, SeriesPatch, SeriesRef
from watchtower.ports import Received

SOURCE = "quality"  # of results that name neither a job nor, by their token, a source


def read_quality_event(said: Json, naming: Naming, received: Received) -> tuple[SeriesPatch, list[str]]:
    """The sample, and the fields that could not be read. Raises Unfit."""
    fields = Fields(said)
    check, word = fields.text("check", MAX_LABEL_VALUE), fields.text("status", 64)
    if check is None or word is None:
        raise Unfit("no_check", 'the result of a test has "check", its name, and "status": pass, warn or fail')
    verdict = verdict_of(word, fields.text("severity", 64) or "error")
    if verdict is None:
        raise Unfit("unknown_status", f"status {word!r} is not known; known: pass, warn, fail")
    at = _moment(fields, received.received_at)
    stats = {name: float(count) for name in ("failures", "rows") if (count := fields.whole(name)) is not None}
    old = (received.received_at - at).total_seconds() > received.max_age_s
    sample = Sample(at, float(verdict), fields.text("run", 512), stats or None, historical=received.replay or old)
    job = _job(fields, naming, received.source)
    told_by = received.source or (job.source if job else SOURCE)
    ref = SeriesRef(QUALITY, job, {"check": check, **_labels(fields)})
    return SeriesPatch(ref, told_by, (sample,)), fields.skipped


def _moment(fields: Fields, received_at: datetime) -> datetime:
    at = fields.moment("at") or received_at
    return received_at if at > received_at + AHEAD else at


def _labels(fields: Fields) -> dict[str, str]:
    said = {name: fields.text(name, MAX_LABEL_VALUE) for name in ("table", "column", "tool")}
    return {name: value for name, value in said.items() if value}


def _job(fields: Fields, naming: Naming, source: str | None) -> JobRef | None:
    name = fields.text("job", 512)
    if name is None:
        return None
    namespace = identifier(fields.text("namespace", 512) or naming.namespace)
    return JobRef(source or naming.source_of(namespace), namespace, identifier(name))
