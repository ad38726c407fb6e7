"""Events of EventBridge that say too little to be facts: they are a reason to ask for what they name, at once.

What is asked for is read whole, so an event and a poll of the same state are one record. What the API has forgotten
meanwhile is left; what cannot be understood is kept in quarantine, as in any queue.
"""

from abc import abstractmethod
from collections.abc import Iterator, Sequence
from typing import TypeVar

import msgspec

from collectors.aws.source import QueuedAwsSource, QueuedSourceOf
from collectors.documents import Document
from collectors.source import ListedSource
from watchtower.model.source import Page

Q = TypeVar("Q", bound=QueuedAwsSource)
Hint = Sequence[str] | None  # references of what to ask for; None: it is no event of this service


class HintedSourceOf(QueuedSourceOf[Q], ListedSource[Q]):
    """ports.PolledSource for a service of AWS whose events are hints."""

    @abstractmethod
    def hint(self, event: Document) -> Hint:
        """What an event is about."""

    def beside(self) -> Iterator[Page]:
        for page in super().beside():
            yield Page(tuple(each for body in page.records for each in self._asked(body)))

    def _asked(self, body: bytes) -> list[bytes]:
        try:
            references = self.hint(msgspec.json.decode(body, type=dict[str, object]))
        except (msgspec.DecodeError, UnicodeDecodeError):
            references = None
        if references is None:
            return [body]
        found = (self.again(reference) for reference in references)
        return [seen.record for seen in found if seen is not None and seen.record is not None]
