"""What Watchtower says about itself: a destination that could not be told is an alert like any other. Pure."""

from collections.abc import Sequence
from datetime import datetime

from watchtower.errors import Fault
from watchtower.model.alert import Alert, AlertState, Notice, Severity
from watchtower.model.delivery import Failure
from watchtower.model.labels import Labels, fingerprint
from watchtower.model.run import stable_id

DELIVERY_FAILED = "WatchtowerDeliveryFailed"
CONFIG_REFUSED = "WatchtowerConfigRefused"
PERSON_CAPPED = "WatchtowerPersonCapped"
_CONFIG_LABELS: Labels = {
    "alertname": CONFIG_REFUSED,
    "kind": "meta",
    "source": "watchtower",
    "severity": Severity.TICKET.value,
}
CONFIG_REFUSED_FINGERPRINT = fingerprint(_CONFIG_LABELS)
DISK_LOW = "WatchtowerDiskLow"
_DISK_LABELS: Labels = {
    "alertname": DISK_LOW,
    "kind": "meta",
    "source": "watchtower",
    "severity": Severity.PAGE.value,
}
DISK_LOW_FINGERPRINT = fingerprint(_DISK_LABELS)
BACKUP_FAILED = "WatchtowerBackupFailed"
_BACKUP_LABELS: Labels = {
    "alertname": BACKUP_FAILED,
    "kind": "meta",
    "source": "watchtower",
    "severity": Severity.TICKET.value,
}
BACKUP_FAILED_FINGERPRINT = fingerprint(_BACKUP_LABELS)
BILL_MISSED = "WatchtowerBillMissed"
_SHOWN_FAULTS = 10


def delivery_failed(notice: Notice, failure: Failure, now: datetime) -> Alert:
    """The alert about notice's destination, which gave up on it. One stays open for each destination until it works."""
    labels = _labels(notice.destination)
    what = notice.reason.value.replace("_", " ")
    return Alert(
        id=stable_id("meta", fingerprint(labels), now.isoformat()),
        fingerprint=fingerprint(labels),
        rule=DELIVERY_FAILED,
        subject=f"destination:{notice.destination}",
        labels=labels,
        annotations={
            "summary": f"{notice.destination} could not be told ({what}): {failure.message}",
            "description": "Mend the destination, then `watchtower deliveries replay` sends what was given up.",
        },
        state=AlertState.FIRING,
        active_since=now,
        starts_at=now,
        evidence={"notice_id": notice.id, "attempts": notice.attempt, "reason": failure.reason.value},
    )


def person_capped(person: str, cap: int, now: datetime) -> Alert:
    """The alert about a person who was woken as often as the file allows. One stays open for each until it is over."""
    labels: Labels = {
        "alertname": PERSON_CAPPED,
        "kind": "meta",
        "source": "watchtower",
        "person": person,
        "severity": Severity.PAGE.value,
    }
    return Alert(
        id=stable_id("meta", fingerprint(labels), now.isoformat()),
        fingerprint=fingerprint(labels),
        rule=PERSON_CAPPED,
        subject=f"person:{person}",
        labels=labels,
        annotations={
            "summary": f"{person} was sent {cap} texts and calls in 24 hours, and is now told of little more",
            "description": "Somebody else must look: `watchtower incidents` shows what is open (oncall.caps).",
        },
        state=AlertState.FIRING,
        active_since=now,
        starts_at=now,
        evidence={"cap": cap},
    )


def config_refused(faults: Sequence[Fault], now: datetime) -> Alert:
    """The alert about a reload that was refused. One stays open until a configuration is accepted."""
    count = f"{len(faults)} fault{'' if len(faults) == 1 else 's'}"
    return Alert(
        id=stable_id("meta", CONFIG_REFUSED_FINGERPRINT, now.isoformat()),
        fingerprint=CONFIG_REFUSED_FINGERPRINT,
        rule=CONFIG_REFUSED,
        subject="config",
        labels=_CONFIG_LABELS,
        annotations={
            "summary": f"the new configuration has {count}; the one before it stays in force",
            "description": "\n".join(
                [*map(str, faults[:_SHOWN_FAULTS]), "Mend what `watchtower check` names, then reload."]
            ),
        },
        state=AlertState.FIRING,
        active_since=now,
        starts_at=now,
        evidence={"faults": len(faults)},
    )


def disk_low(why: str, now: datetime) -> Alert:
    """The alert about a disk that is nearly full. It is told from the reserve, and ends when there is room again."""
    return Alert(
        id=stable_id("meta", DISK_LOW_FINGERPRINT, now.isoformat()),
        fingerprint=DISK_LOW_FINGERPRINT,
        rule=DISK_LOW,
        subject="disk",
        labels=_DISK_LABELS,
        annotations={
            "summary": f"Watchtower takes no events: {why}",
            "description": "Senders are told 503 and drop their events after a while. What is owed is told.",
        },
        state=AlertState.FIRING,
        active_since=now,
        starts_at=now,
    )


def backup_failed(why: str, now: datetime) -> Alert:
    """The alert about a backup that could not be made. One stays open until one is made."""
    return Alert(
        id=stable_id("meta", BACKUP_FAILED_FINGERPRINT, now.isoformat()),
        fingerprint=BACKUP_FAILED_FINGERPRINT,
        rule=BACKUP_FAILED,
        subject="backup",
        labels=_BACKUP_LABELS,
        annotations={
            "summary": f"the store could not be backed up: {why}",
            "description": "It is tried again within five minutes; `watchtower backup` tries at once.",
        },
        state=AlertState.FIRING,
        active_since=now,
        starts_at=now,
    )


def bill_missed(feed: str, what: str, faults: Sequence[str], now: datetime) -> Alert:
    """The alert about a feed of bills that brought none. what: that was refused or failed. One stays open for each feed
    until a look at it finds nothing wrong."""
    labels = _bill_labels(feed)
    more = [f"… and {len(faults) - _SHOWN_FAULTS} more"] if len(faults) > _SHOWN_FAULTS else []
    remedy = "Mend what is named there, or take the file away; the next look clears this. What was in force stays."
    return Alert(
        id=stable_id("meta", fingerprint(labels), now.isoformat()),
        fingerprint=fingerprint(labels),
        rule=BILL_MISSED,
        subject=f"feed:{feed}",
        labels=labels,
        annotations={
            "summary": f"feed {feed}: {what}" + (f": {faults[0]}" if faults else ""),
            "description": "\n".join([*faults[:_SHOWN_FAULTS], *more, remedy]),
        },
        state=AlertState.FIRING,
        active_since=now,
        starts_at=now,
        evidence={"feed": feed, "faults": len(faults)},
    )


def bill_fingerprint(feed: str) -> str:
    return fingerprint(_bill_labels(feed))


def _bill_labels(feed: str) -> Labels:
    return {
        "alertname": BILL_MISSED,
        "kind": "meta",
        "source": "watchtower",
        "feed": feed,
        "severity": Severity.TICKET.value,
    }


def fingerprint_of(destination: str) -> str:
    return fingerprint(_labels(destination))


def _labels(destination: str) -> Labels:
    return {
        "alertname": DELIVERY_FAILED,
        "kind": "meta",
        "source": "watchtower",
        "destination": destination,
        "severity": Severity.PAGE.value,
    }
