"""Where a fault costs most: the modules that are mutated, by area, and the tests that are asked about all of them."""

AREAS: dict[str, tuple[str, ...]] = {
    "outbox": (
        "alerting/outbox.py",
        "alerting/breaker.py",
        "alerting/in_hand.py",
        "alerting/runner.py",
        "alerting/storms.py",
        "watchtower/store/attempts.py",
        "watchtower/store/intents.py",
        "watchtower/store/notices.py",
        "watchtower/store/outbox.py",
        "watchtower/store/riders.py",
    ),
    "router": (
        "alerting/escalation.py",
        "alerting/grouping.py",
        "alerting/inhibition.py",
        "alerting/intervals.py",
        "alerting/maintenance.py",
        "alerting/pipeline.py",
        "alerting/routing.py",
        "alerting/silences.py",
        "watchtower/store/flapping.py",
        "watchtower/store/groups.py",
        "watchtower/store/silences.py",
    ),
    "dedup": ("alerting/dedup.py", "watchtower/store/conversations.py", "watchtower/store/known.py"),
    "timers": (
        "watchtower/loop.py",
        "watchtower/schedule/periodic.py",
        "watchtower/store/due.py",
        "watchtower/store/turns.py",
    ),
    "access": (
        "watchtower/model/access.py",
        "watchtower/server/authentication.py",
        "watchtower/server/signing_in.py",
        "watchtower/store/access.py",
        "watchtower/store/audit.py",
        "watchtower/store/keys.py",
    ),
    "guard": (
        "watchtower/outbound/addresses.py",
        "watchtower/outbound/answers.py",
        "watchtower/outbound/client.py",
        "watchtower/outbound/targets.py",
    ),
}

# On SQLite: what differs on PostgreSQL is a few statements, which the tests of the store compare.
TESTS = (
    "tests/alerting",
    "tests/app/test_loop.py",
    "tests/outbound",
    "tests/schedule",
    "tests/server/test_access_control.py",
    "tests/server/test_attempts.py",
    "tests/server/test_authentication.py",
    "tests/server/test_silence_pages.py",
    "tests/store/test_access.py",
    "tests/store/test_audit.py",
    "tests/store/test_due.py",
    "tests/store/test_known.py",
    "tests/store/test_obligations.py",
    "tests/store/test_turns.py",
)


def modules(wanted: list[str]) -> list[str]:
    """Of areas, or of modules by themselves; of all areas if none is named. Raises SystemExit for what is neither."""
    known = {module: (module,) for area in AREAS.values() for module in area} | AREAS
    unknown = [name for name in wanted if name not in known]
    if unknown:
        raise SystemExit(f"no area or module: {', '.join(unknown)}; there are {', '.join(AREAS)}, and their modules")
    return list(dict.fromkeys(module for name in wanted or AREAS for module in known[name]))
