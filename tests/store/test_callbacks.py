"""What providers call back is written once, whoever writes it, and tells later what belongs to which notice."""

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from functools import partial
from threading import Barrier

import pytest
from sqlalchemy import Connection, select, update

from alerting import incidents
from alerting.outbox import Outbox
from tests.alerting.builders import fires, firing_alert, resolved_alert, resolves
from tests.alerting.routes import node, pipeline
from tests.conftest import START
from tests.simulators.provider import Provider
from watchtower.clock import ManualClock
from watchtower.model.alert import IncidentStatus
from watchtower.model.hook import Acknowledge, Outcome, Reply, Report, reference
from watchtower.model.incident import IncidentEdit
from watchtower.store import alerts, callbacks
from watchtower.store import incidents as incident_store
from watchtower.store.alerting import SqlAlertingStore
from watchtower.store.callbacks import Acted, SqlProofs, receipt_id
from watchtower.store.database import Database
from watchtower.store.retention import Retention, delete_old
from watchtower.store.schema.alerting import notices

DESTINATION = "team/webhook[0]"
POLICY = pipeline(node("team", wait=0))
LATER = START + timedelta(minutes=1)


def change(actor: str) -> IncidentEdit:
    return lambda incident: incidents.acknowledge(incident, actor, LATER)


def press(connection: Connection, notice_id: str, event: str = "CA1/acknowledged") -> Acted:
    return callbacks.acknowledge(connection, Acknowledge(event, "phone:+49*", "by key 1", notice_id), LATER, change)


def tell(database: Database, name: str) -> tuple[str, str]:
    """Id and key of the notice that told of a pipeline's failure."""
    clock = ManualClock(START)
    alert = firing_alert(START, pipeline=name, severity="page")
    database.write(lambda connection: alerts.write_outcome(connection, fires(POLICY, alert), START))
    provider = Provider.like(clock, rings=True)
    Outbox(SqlAlertingStore(database), {DESTINATION: provider}, POLICY, clock).step()
    [effect] = provider.effects
    with database.read() as connection:
        row = connection.execute(select(notices).where(notices.c.key == effect.key)).one()
    return row.id, row.key


def acknowledged_lines(database: Database, incident_id: str) -> int:
    with database.read() as connection:
        return [line.kind for line in incident_store.timeline(connection, incident_id)].count("acknowledged")


def test_one_key_counts_once_however_many_replicas_hear_of_it(database: Database) -> None:
    notice_id, _ = tell(database, "orders")
    others = [] if database.is_sqlite else [Database(database.url.render_as_string(hide_password=False))]
    stores, at_once = [database, *others], Barrier(8)

    def hear(number: int) -> Acted:
        at_once.wait(10)
        return stores[number % len(stores)].write(lambda connection: press(connection, notice_id))

    with ThreadPoolExecutor(8) as pool:
        acted = list(pool.map(hear, range(8)))
    for other in others:
        other.close()

    assert Counter(one.result.outcome for one in acted) == {Outcome.RECORDED: 1, Outcome.REPEATED: 7}
    assert sum(one.before is not None for one in acted) == 1, "one audit entry"
    incident = next(one.result.incident for one in acted if one.result.outcome is Outcome.RECORDED)
    assert incident is not None and incident.status is IncidentStatus.ACKNOWLEDGED
    assert acknowledged_lines(database, incident.id) == 1


def test_a_key_after_an_acknowledgement_was_taken_back_is_not_its_repeat(database: Database) -> None:
    notice_id, _ = tell(database, "orders")
    incident = database.write(lambda connection: press(connection, notice_id)).result.incident
    assert incident is not None
    back: IncidentEdit = partial(incidents.unacknowledge, by="person:primary", now=LATER)
    database.write(lambda connection: incident_store.edit(connection, incident.id, back))
    again = database.write(lambda connection: press(connection, notice_id))
    assert again.result.outcome is Outcome.REPEATED
    assert again.result.incident is not None and again.result.incident.status is IncidentStatus.TRIGGERED
    other = database.write(lambda connection: press(connection, notice_id, "CA2/acknowledged"))
    assert other.result.outcome is Outcome.RECORDED


def test_a_key_for_what_is_over_or_unknown_acknowledges_nothing(database: Database) -> None:
    notice_id, _ = tell(database, "orders")
    assert database.write(lambda connection: press(connection, "no such notice")).result.outcome is Outcome.UNKNOWN
    over = resolved_alert(firing_alert(START, pipeline="orders", severity="page"), LATER)
    database.write(lambda connection: alerts.write_outcome(connection, resolves(POLICY, over), LATER))
    assert database.write(lambda connection: press(connection, notice_id)).result.outcome is Outcome.OVER


def test_a_reply_reaches_only_what_its_sender_was_told(database: Database) -> None:
    _, key = tell(database, "orders")

    def reply(destination: str, code: str, event: str, now: datetime = LATER) -> Outcome:
        act = Reply(event, "phone:+49*", "by text", (destination,), code)
        return database.write(lambda connection: callbacks.reply(connection, act, now, change)).result.outcome

    assert reply("other/sms[0]", reference(key), "SM1/reply") is Outcome.UNKNOWN
    assert reply(DESTINATION, "000000", "SM2/reply") is Outcome.UNKNOWN
    assert reply(DESTINATION, reference(key), "SM3/reply", START + timedelta(days=3)) is Outcome.UNKNOWN
    assert reply(DESTINATION, reference(key), "SM4/reply") is Outcome.RECORDED
    assert reply(DESTINATION, "", "SM5/reply") is Outcome.ALREADY
    assert reply("other/sms[0]", reference(key), "SM4/reply") is Outcome.REPEATED


def test_what_was_reported_proves_whose_it_is(database: Database) -> None:
    first, _ = tell(database, "orders")
    second, _ = tell(database, "invoices")
    proofs = SqlProofs(database)
    assert (list(proofs.named(first)), proofs.foreign(["CA1", "CA2"], first)) == ([], frozenset())

    report = Report(first, "CA1", "ringing", LATER, sequence=1)
    assert database.write(lambda c: callbacks.report(c, report, LATER)).result.outcome is Outcome.RECORDED
    assert database.write(lambda c: callbacks.report(c, report, LATER)).result.outcome is Outcome.REPEATED
    told = update(notices).where(notices.c.id == second).values(provider_id=receipt_id("CA2"))
    database.write(lambda connection: connection.execute(told))

    assert list(proofs.named(first)) == ["CA1"]
    assert proofs.foreign(["CA1", "CA2", "CA3"], first) == {"CA2"}
    assert proofs.foreign(["CA1", "CA2", "CA3"], second) == {"CA1"}


@pytest.mark.parametrize("days", [399, 401])
def test_callbacks_are_kept_as_long_as_alerts(database: Database, days: int) -> None:
    notice_id, _ = tell(database, "orders")
    database.write(lambda connection: press(connection, notice_id))
    gone = delete_old(database, Retention(), LATER + timedelta(days=days))
    assert gone["callbacks"] == (1 if days > 400 else 0)
