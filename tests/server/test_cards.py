"""What a card of an incident says about the present."""

import pytest

from tests.alerting import notices
from watchtower.model.alert import Alert, Incident, IncidentStatus, Severity
from watchtower.server.pages.parts import card

FIRING, OVER = notices.alert(), notices.resolved(notices.alert())


@pytest.mark.parametrize(
    ("status", "alerts", "says"),
    [
        (IncidentStatus.TRIGGERED, [], True),
        (IncidentStatus.ACKNOWLEDGED, [OVER], True),
        (IncidentStatus.TRIGGERED, [OVER, FIRING], False),
        (IncidentStatus.RESOLVED, [OVER], False),
    ],
    ids=["open, nothing fires", "somebody has it", "something fires", "over"],
)
def test_what_flaps_and_is_clear_at_the_moment_is_said_to_be_so(
    status: IncidentStatus, alerts: list[Alert], says: bool
) -> None:
    incident = Incident("i", status, Severity.PAGE, "RunFailed", "it failed", {}, notices.BEGAN, None, None, None, None)
    facts = [fact.name for fact in card(incident, alerts, {}, {}).facts]
    assert ("At the moment" in facts) is says
