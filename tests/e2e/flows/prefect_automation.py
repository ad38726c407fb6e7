"""An automation that posts every event of flow and task runs to Watchtower. Arguments: its URL and a token."""

import sys

from prefect.automations import Automation
from prefect.blocks.webhook import Webhook
from prefect.events.actions import CallWebhook
from prefect.events.schemas.automations import EventTrigger

url, token = sys.argv[1:]
block = Webhook(method="POST", url=url, headers={"Authorization": f"Bearer {token}"})
RUNS = {"prefect.flow-run.*", "prefect.task-run.*"}
Automation(
    name="tell Watchtower",
    trigger=EventTrigger(expect=RUNS, match={"prefect.resource.id": sorted(RUNS)}, posture="Reactive", threshold=1),
    actions=[CallWebhook(block_document_id=block.save("watchtower", overwrite=True), payload="{{ event | tojson }}")],
).create()
