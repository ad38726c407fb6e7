"""An error budget from the file to the message: the example's own SLOs, events over HTTP, a webhook that is told."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

from tests.app.house import House, running, step_until
from tests.simulators.webhook import WebhookSimulator
from watchtower.clock import ManualClock

EXAMPLE = (Path(__file__).parents[2] / "examples" / "slos.yaml").read_text(encoding="utf-8")
FIRST = datetime(2026, 11, 1, 5, tzinfo=UTC)
DAY = timedelta(days=1)
NAME = "orders-daily-success"


def run_daily(house: House, clock: ManualClock, day: int, *, good: bool) -> None:
    """A run of ten minutes; then all that is due at its end, and within the group's wait."""
    begin = FIRST + day * DAY
    step_until(house, clock, begin)
    started = house.event("START", "orders_daily", run_id(day))
    clock.set(begin + timedelta(minutes=10))
    ended = house.event("COMPLETE" if good else "FAIL", "orders_daily", run_id(day))
    house.store(started, ended)
    step_until(house, clock, clock.now() + timedelta(hours=1))


def run_id(day: int) -> str:
    return f"00000000-0000-4000-8000-{day:012d}"


def told(hook: WebhookSimulator) -> list[tuple[str, str, str]]:
    return [
        (alert["status"], alert["labels"]["severity"], alert["annotations"]["summary"])
        for request in hook.requests
        for alert in request.json["alerts"]
        if alert["labels"].get("slo") == NAME
    ]


def test_two_failures_in_a_row_of_a_daily_job_are_told_with_what_is_used(database_url: str, tmp_path: Path) -> None:
    clock = ManualClock(FIRST)
    with WebhookSimulator(FIRST) as hook:
        text = EXAMPLE.replace("http://10.20.0.7:9000/hook", hook.url).replace("10.20.0.0/16", "127.0.0.0/8")
        with running(tmp_path, f"store: {database_url!r}\n{text}", clock=clock, live=False) as house:
            for day in range(5):
                run_daily(house, clock, day, good=True)
            run_daily(house, clock, 5, good=False)
            assert told(hook) == [], "one failure is within the budget"
            run_daily(house, clock, 6, good=False)
            summary = (
                "orders-daily-success: 2 of the newest 2 runs failed; 2 of 1.5 allowed failures used (95% over 30d)"
            )
            assert told(hook) == [("firing", "page", summary)]
            (alert,) = [each for each in house.items("/api/v1/alerts") if each["labels"].get("slo") == NAME]
            assert (alert["labels"]["team"], alert["labels"]["owner"]) == ("shop", "lea")
            assert alert["evidence"]["about"] == "what the shop opens with"
        with running(tmp_path, f"store: {database_url!r}\n{text}", clock=clock, live=False) as house:
            run_daily(house, clock, 7, good=True)
            assert ("resolved", "page") in [each[:2] for each in told(hook)], "also after a restart"
