"""Documents of Prefect's API, and its events, → facts. Pure, and never raises for what they hold.

A body holds what `collectors.prefect.api` makes of the API's answers, the events of `events/filter`, or the event that
an automation posts (docs/prefect.md).
"""

from collections.abc import Sequence

from collectors.documents import Document, Place, decode_documents
from collectors.openlineage.reading import mend
from collectors.prefect import names
from collectors.prefect.config import PrefectSource
from collectors.prefect.events import event_facts
from collectors.prefect.runs import deployment_fact, flow_run_facts, task_run_facts
from collectors.prefect.wire import Event, Item
from watchtower.model.fact import Fact
from watchtower.model.run import Authority
from watchtower.ports import Decoded, Received

KIND = "prefect"
SOURCE = "prefect"  # of a token that may write for any source
_EXPECTED = "an event of Prefect with `event`, `resource` and `occurred`"


def decode_of(source: PrefectSource | None, body: bytes, received: Received) -> Decoded:
    """source: None where nobody configured the one that it came from."""
    name = received.source or SOURCE
    namespace = source.of_jobs if source else name
    ui_url = source.ui_url or names.ui_of(source.base_url) if source else None

    def read(document: Document, text: bytes, skipped: list[str]) -> Sequence[Fact] | None:
        is_event = "event" in document and "resource" in document
        authority = Authority.STREAM if is_event else Authority.API
        place = Place(KIND, name, namespace, ui_url, text, received, authority)
        return _event(document, place, skipped) if is_event else _item(document, place, skipped)

    return decode_documents(body, read, _EXPECTED)


def _event(document: Document, place: Place, skipped: list[str]) -> Sequence[Fact] | None:
    event = mend(Event, document, "", skipped)
    return event_facts(event, place, skipped) if event and event.event else None


def _item(document: Document, place: Place, skipped: list[str]) -> Sequence[Fact] | None:
    """An item without an id is nothing: the API always gives one."""
    item = mend(Item, document, "", skipped)
    if item is None:
        return None
    if item.flow_run:
        return flow_run_facts(item, item.flow_run, place)
    if item.task_run:
        return task_run_facts(item, item.task_run, place)
    if item.deployment:
        fact = deployment_fact(item, item.deployment, place)
        return [fact] if fact else None
    return None
