"""The whole path in one process, on both stores: an event comes in over HTTP, and whoever must know is told."""

import shutil
import threading
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.app.house import House, running, until
from tests.simulators.webhook import WebhookSimulator
from watchtower.clock import ManualClock
from watchtower.store import claims

NOW = datetime.now(UTC)

RULES = """
rules:
  - {alert: OrdersFailed, kind: run_failure, match: {pipeline: "~orders_.*"}, severity: page}
outbound: {allow: [127.0.0.0/8]}
"""


def config(store: str, more: str, *, receivers: dict[str, str], route: str) -> str:
    """receivers: name → address of its webhook; route: the name of the one that is told of everything."""
    named = "\n".join(
        f"  - {{name: {name}, webhook_configs: [{{url: {url!r}, send_resolved: true}}]}}"
        for name, url in receivers.items()
    )
    routing = f"route: {{receiver: {route}, group_by: [pipeline], group_wait: 0s, group_interval: 1s}}\n"
    return f"store: {store!r}\n{RULES}{more}\n{routing}receivers:\n{named}\n"


def told(hook: WebhookSimulator) -> list[dict[str, Any]]:
    """The bodies of each message that was acted upon."""
    return [request.json for request in hook.requests]


def states(house: House) -> Counter[str]:
    return Counter(item["state"] for item in house.items("/api/v1/deliveries"))


def test_a_failed_run_is_an_incident_and_a_message_and_each_step_is_on_record(
    database_url: str, tmp_path: Path
) -> None:
    with WebhookSimulator(NOW) as hook:
        text = config(
            database_url,
            "ownership:\n  - {match: {pipeline: '~orders_.*'}, owner: data-lead, team: shop}\n",
            receivers={"team": hook.url},
            route="team",
        )
        with running(tmp_path, text) as house:
            house.fail("orders_daily")
            until(lambda: states(house)["delivered"] == 1, "the obligation is paid")
            [message] = told(hook)
            labels = message["alerts"][0]["labels"]
            assert (labels["alertname"], labels["severity"]) == ("OrdersFailed", "page")
            assert (labels["owner"], labels["team"]) == ("data-lead", "shop")
            [run] = house.items("/api/v1/runs?top_level=true")
            [alert] = house.items("/api/v1/alerts")
            [incident] = house.items("/api/v1/incidents")
            [delivery] = house.items("/api/v1/deliveries")
            order = [
                run["first_seen"],
                alert["active_since"],
                incident["started_at"],
                delivery["created_at"],
                delivery["updated_at"],
            ]
            assert order == sorted(order)
            assert delivery["provider_id"] is not None
            assert alert["labels"]["team"] == "shop"
            assert house.items("/api/v1/alerts?team=shop") == [alert]
            assert house.items("/api/v1/alerts?team=other") == []
            house.store(house.event("START", "orders_daily", "again"), house.event("COMPLETE", "orders_daily", "again"))
            until(lambda: len(told(hook)) == 2, "all clear is told")
            assert told(hook)[1]["status"] == "resolved"


def test_a_reload_hands_what_is_still_owed_to_the_new_receiver(database_url: str, tmp_path: Path) -> None:
    with WebhookSimulator(NOW) as old, WebhookSimulator(NOW) as new:
        dead = old.url
        old.close()
        with running(tmp_path, config(database_url, "", receivers={"first": dead}, route="first")) as house:
            house.fail("orders_daily")
            until(lambda: states(house)["due"] == 1, "it is owed to the first")
            house.rewrite(config(database_url, "", receivers={"second": new.url}, route="second"))
            house.instance.reload()
            until(lambda: told(new), "the second is told")
            until(lambda: states(house) == {"delivered": 1, "superseded": 1}, "nothing is owed any more")


def test_a_start_with_another_configuration_hands_over_too(database_url: str, tmp_path: Path) -> None:
    with WebhookSimulator(NOW) as old, WebhookSimulator(NOW) as new:
        dead = old.url
        old.close()
        with running(tmp_path, config(database_url, "", receivers={"first": dead}, route="first")) as house:
            house.fail("orders_daily")
            until(lambda: states(house)["due"] == 1, "it is owed to the first")
        with running(tmp_path, config(database_url, "", receivers={"second": new.url}, route="second")) as house:
            until(lambda: told(new), "the second is told")
            until(lambda: states(house) == {"delivered": 1, "superseded": 1}, "nothing is owed any more")


def test_a_refused_reload_changes_nothing_and_is_an_alert_until_one_is_accepted(
    database_url: str, tmp_path: Path
) -> None:
    with WebhookSimulator(NOW) as hook:
        good = config(database_url, "", receivers={"team": hook.url}, route="team")
        with running(tmp_path, good) as house:
            house.rewrite(good + "rulez: []\nroute: {receiver: nobody}\n")
            house.instance.reload_on_signal()
            until(lambda: told(hook), "the refusal is told")
            [alert] = told(hook)[0]["alerts"]
            assert alert["labels"]["alertname"] == "WatchtowerConfigRefused"
            assert "rulez: unknown section" in alert["annotations"]["description"]
            house.instance.reload_on_signal()  # refused again: one alert stays one
            house.fail("orders_daily")
            until(lambda: len(told(hook)) == 2, "the rules in force still page")
            house.rewrite(good)
            house.instance.reload_on_signal()
            until(lambda: "resolved" in [message["status"] for message in told(hook)], "all clear is told")
            reloads = [row for row in house.items("/api/v1/audit") if row["action"] == "config.reload"]
            assert [bool(row["after"]) for row in reloads] == [False, True, True]  # newest first


def test_a_declared_pipeline_that_never_ran_at_all_is_missed(
    database_url: str, tmp_path: Path, clock: ManualClock
) -> None:
    jobs = """
jobs:
  orders_daily: {namespace: prod, schedule: "0 9 * * *", timezone: UTC, start_within: 10m, owner: data-lead}
"""
    with WebhookSimulator(NOW) as hook:
        text = config(database_url, jobs, receivers={"team": hook.url}, route="team")
        with running(tmp_path, text, clock=clock, live=False) as house:
            for minutes in (69, 2):  # 08:00 → 09:09 → 09:11
                house.instance.step()
                assert told(hook) == []
                clock.advance(minutes * 60)
            house.instance.step()
            [message] = told(hook)
            labels = message["alerts"][0]["labels"]
            assert (labels["kind"], labels["pipeline"], labels["owner"]) == ("missing_run", "orders_daily", "data-lead")


def test_what_is_due_is_found_without_looking_around(database_url: str, tmp_path: Path, clock: ManualClock) -> None:
    jobs = 'jobs:\n  orders_daily: {namespace: prod, schedule: "0 9 * * *", timezone: UTC, start_within: 10m}\n'
    text = config(database_url, jobs, receivers={"team": "https://127.0.0.1:9"}, route="team")
    with running(tmp_path, text, clock=clock, live=False) as house:
        house.instance.step()
        found = house.instance.next_due()
        assert found is not None and timedelta(0) < found - clock.now() <= timedelta(minutes=71)


@pytest.mark.parametrize("engine", ["postgresql"], indirect=True)
def test_two_replicas_on_one_store_tell_each_thing_once(database_url: str, tmp_path: Path) -> None:
    pipelines = [f"orders_{number}" for number in range(20)]
    folders = [tmp_path / "a", tmp_path / "b"]
    with WebhookSimulator(NOW) as hook:
        text = config(database_url, "", receivers={"team": hook.url}, route="team")
        for folder in folders:
            folder.mkdir()
        with running(folders[0], text) as first:
            shutil.copytree(folders[0] / "state" / "keys", folders[1] / "state" / "keys")
            (folders[1] / "state").chmod(0o700)
            with running(folders[1], text) as second:
                senders = [
                    threading.Thread(target=house.fail, args=[name])
                    for house, names in ((first, pipelines[::2]), (second, pipelines[1::2]))
                    for name in names
                ]
                for sender in senders:
                    sender.start()
                for sender in senders:
                    sender.join()
                until(lambda: states(second)["delivered"] == len(pipelines), "all is paid")
                paid = Counter(alert["labels"]["pipeline"] for message in told(hook) for alert in message["alerts"])
                assert paid == dict.fromkeys(pipelines, 1)
                assert states(first) == {"delivered": len(pipelines)}


def test_a_start_on_sqlite_lets_go_of_the_work_that_a_dead_process_held(tmp_path: Path) -> None:
    """Else a source would not be asked, nor a report made, before the lease of the one that was killed ends."""

    def take(house: House, holder: str) -> bool:
        now = house.instance.clock.now()
        return house.instance.database.write(
            lambda connection: claims.claim(connection, "poll:prod", holder, now, lease_s=300, every_s=60)
        )

    with running(tmp_path) as house:
        assert take(house, "killed in mid-poll")
        assert not take(house, "another")
    with running(tmp_path) as house:
        assert take(house, "another")
