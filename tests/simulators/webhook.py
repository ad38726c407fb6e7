"""A webhook receiver that follows Standard Webhooks: it folds repeats of one `webhook-id`."""

from datetime import datetime

from tests.simulators.http import HttpSimulator, Recorded, Reply


class WebhookSimulator(HttpSimulator):
    """ledger: the `webhook-id` of each message acted upon, once."""

    ledger: list[str]

    def __init__(self, now: datetime) -> None:
        super().__init__(now)
        self._seen: set[str] = set()

    def answer(self, request: Recorded) -> Reply:
        webhook_id = request.headers.get("webhook-id", "")
        if webhook_id not in self._seen:
            self._seen.add(webhook_id)
            self.ledger.append(webhook_id)
        return Reply.of_json({"taken": True})
