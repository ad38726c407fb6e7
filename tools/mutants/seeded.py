"""Faults with a name: the mistakes that cost a delivery system its promises, each of which the tests must find.

What docs/delivery.md tells of faults that were put in by hand, anybody can repeat: `make mutants ARGS=--seeded`.
"""

from dataclasses import dataclass

from tools.mutants.operators import ROOT, reaching
from tools.mutants.session import Edit


@dataclass(frozen=True, slots=True)
class Seed:
    """before: a text that stands once in the module."""

    name: str
    module: str
    before: str
    after: str

    def edit(self) -> Edit:
        """Raises ValueError where the module no longer says so."""
        source = (ROOT / self.module).read_text(encoding="utf-8")
        if source.count(self.before) != 1:
            raise ValueError(f"{self.module} does not say once what the fault {self.name!r} changes: {self.before!r}")
        changed = source.replace(self.before, self.after).encode()
        line = source[: source.index(self.before)].count("\n") + 1
        return Edit(self.name, self.module, changed, reaching(self.module, line, line + self.before.count("\n")))


# The tests that are asked. More would find them, too, and later.
TESTS = (
    "tests/alerting/test_attempts.py",
    "tests/alerting/escalations",
    "tests/alerting/test_intervals.py",
    "tests/alerting/test_leases.py",
    "tests/alerting/test_machines.py",
    "tests/alerting/test_outbox_machine.py",
    "tests/alerting/test_storms.py",
    "tests/alerting/timelines",
    "tests/server/test_spooling.py",
    "tests/store/test_access.py",
    "tests/store/test_database.py",
    "tests/store/test_due.py",
    "tests/store/test_obligations.py",
)

SEEDS = (
    Seed(
        "a notice is recorded as delivered before it is sent",
        "alerting/outbox.py",
        "                receipt = channel.deliver(work.notice)\n",
        "                self._delivered(channel, work, Receipt(work.notice.key), began)\n"
        "                receipt = channel.deliver(work.notice)\n",
    ),
    Seed(
        "an event is answered before it is committed",
        "watchtower/server/receiving.py",
        "appended = await in_time(taken.append(self.services), self.services.settings.patience_s)",
        "appended = Appended(len(taken.facts), 0); taken.append(self.services)",
    ),
    Seed(
        "commits of SQLite are not synced",
        "watchtower/store/database.py",
        "PRAGMA synchronous=FULL",
        "PRAGMA synchronous=NORMAL",
    ),
    Seed(
        "a silence is judged as of when the notice was queued",
        "watchtower/store/intents.py",
        "silences=silences.active(hand.connection, hand.now)",
        "silences=silences.active(hand.connection, hand.row.created_at)",
    ),
    Seed(
        "of a conversation the newest notice goes first, so that a resolve overtakes its trigger",
        "watchtower/store/notices.py",
        ".order_by(notices.c.position, notices.c.id)",
        ".order_by(notices.c.position.desc(), notices.c.id.desc())",
    ),
    Seed(
        "what may have arrived is sent again without a look-up",
        "alerting/outbox.py",
        "unknown = error.outcome_unknown or (work.check and not isinstance(error, Permanent))",
        "unknown = False",
    ),
    Seed(
        "a claim of a process that died is sent again without a look-up",
        "watchtower/store/outbox.py",
        "        outcome_unknown=True,\n",
        "        outcome_unknown=False,\n",
    ),
    Seed(
        "a look-up that finds the message is taken for one that does not",
        "alerting/outbox.py",
        "receipt = channel.look_up(work.notice) if channel.can_look_up else None",
        "receipt = None",
    ),
    Seed(
        "a full spool answers 500 instead of 503",
        "watchtower/server/ingest.py",
        "self._refusal(_Refused(503, str(error), error.reason), sent)",
        "self._refusal(_Refused(500, str(error), error.reason), sent)",
    ),
    Seed(
        "times of day are taken without their zone",
        "alerting/intervals.py",
        "local = now.astimezone(ZoneInfo(self.zone))",
        "local = now",
    ),
    Seed(
        "a process sends although its lease is over",
        "alerting/outbox.py",
        '            log.warning("claim too old to send", extra={"destination": work.notice.destination})\n'
        "            return False\n",
        "            pass\n",
    ),
    Seed(
        "whoever held a claim before writes over the result of whoever holds it now",
        "watchtower/store/attempts.py",
        'notices.c.fence == given("fence"), ',
        'notices.c.fence >= given("fence"), ',
    ),
    Seed(
        "a lease holds nobody off",
        "watchtower/store/turns.py",
        "lease_until <= {mark})",
        "lease_until >= {mark} OR TRUE)",
    ),
    Seed(
        "a mark that comes while its subject is in hand is forgotten",
        "watchtower/store/due.py",
        "CASE WHEN version = {mark} THEN CAST({mark} AS BIGINT) ELSE at END",
        "CASE WHEN version <= version + {mark} THEN CAST({mark} AS BIGINT) ELSE at END",
    ),
    Seed(
        "the end of a silence wakes nobody",
        "alerting/outbox.py",
        "done = self._store.end_silences(now) + self._store.end_flapping(now)",
        "done = self._store.end_flapping(now)",
    ),
    Seed(
        "an acknowledgement stops nothing",
        "alerting/pipeline.py",
        "elif rings and escalation.is_acknowledged(talk, alert):",
        "elif False:",
    ),
    Seed(
        "a person's budget is not asked",
        "alerting/storms.py",
        "if len(lately) >= planned.burst:",
        "if False:",
    ),
    Seed(
        "a dead letter is told through the destination that failed",
        "alerting/outbox.py",
        "if item.destination != work.notice.destination)",
        "if item.destination)",
    ),
    Seed(
        "a token counts although it is revoked",
        "watchtower/model/access.py",
        "return self.revoked_at is None and (",
        "return (",
    ),
)
