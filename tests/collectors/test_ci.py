"""What CI systems tell, in the shapes that they publish → change markers, and runs if they are wanted."""

import hashlib
import hmac
import json
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest

from collectors.ci import Ci, CiConfig
from watchtower.errors import DeliveryError
from watchtower.model.change import Change
from watchtower.model.change_words import change_words
from watchtower.model.fact import Fact
from watchtower.model.hook import Distrust, HookRefused, HookRequest, Keep
from watchtower.model.run import Job, JobRef, RunState
from watchtower.ports import Received

NOW = datetime(2026, 3, 2, 8, tzinfo=UTC)
HOOKS = {
    "github": {"system": "github", "secret": "s3cret", "previous_secret": "older"},
    "gitlab": {"system": "gitlab", "secret": "s3cret"},
    "jenkins": {"system": "jenkins", "secret": "s3cret"},
    "all": {"system": "github", "secret": "s3cret", "runs": True},
}
REPOSITORY = {"full_name": "acme/orders", "default_branch": "main", "html_url": "https://github.com/acme/orders"}
WORKFLOW: dict[str, Any] = {
    "action": "completed",
    "repository": REPOSITORY,
    "workflow": {"name": "Deploy", "path": ".github/workflows/deploy.yml"},
    "workflow_run": {
        "id": 30433642,
        "name": "Deploy",
        "head_branch": "main",
        "head_sha": "acb5820ced9479c074f688cc328bf03f341a511d",
        "run_attempt": 1,
        "event": "push",
        "status": "completed",
        "conclusion": "success",
        "html_url": "https://github.com/acme/orders/actions/runs/30433642",
        "run_started_at": "2026-03-02T07:40:00Z",
        "created_at": "2026-03-02T07:40:00Z",
        "updated_at": "2026-03-02T07:48:00Z",
        "actor": {"login": "ada"},
        "triggering_actor": {"login": "grace"},
        "head_commit": {"id": "acb5820", "message": "Fix rounding\n\nof cents"},
    },
}
DEPLOYMENT: dict[str, Any] = {
    "action": "created",
    "repository": REPOSITORY,
    "deployment": {"id": 145988746, "sha": "f95f852bd8fca8fcc58a9a2d6c842781e32a215e", "ref": "main"},
    "deployment_status": {
        "id": 209916254,
        "state": "success",
        "environment": "production",
        "created_at": "2026-03-02T07:49:00Z",
        "creator": {"login": "ada"},
        "target_url": "https://github.com/acme/orders/actions/runs/1",
    },
}  # fmt: skip
PIPELINE: dict[str, Any] = {
    "object_kind": "pipeline",
    "object_attributes": {
        "id": 31,
        "ref": "master",
        "tag": False,
        "sha": "bcbb5ec396a2c0f828686f14fac9b80b780504f2",
        "status": "success",
        "source": "push",
        "created_at": "2026-03-02 07:40:00 UTC",
        "finished_at": "2026-03-02 07:47:00 UTC",
    },
    "user": {"name": "Ada", "username": "ada"},
    "project": {"path_with_namespace": "acme/orders", "default_branch": "master", "web_url": "https://gitlab.example/acme/orders"},
    "commit": {"id": "bcbb5ec", "title": "Fix rounding", "message": "Fix rounding\n"},
    "builds": [
        {"stage": "test", "name": "unit", "status": "success"},
        {"stage": "deploy", "name": "production", "status": "success", "environment": {"name": "production"}},
    ],
}  # fmt: skip
GITLAB_DEPLOYMENT: dict[str, Any] = {
    "object_kind": "deployment",
    "status": "success",
    "status_changed_at": "2026-03-02 08:50:00 +0100",
    "deployment_id": 15,
    "deployable_url": "https://gitlab.example/acme/orders/-/jobs/796",
    "environment": "staging",
    "project": {"path_with_namespace": "acme/orders"},
    "short_sha": "279484c0",
    "user": {"username": "root"},
    "commit_url": "https://gitlab.example/acme/orders/-/commit/279484c09fbe69ededfced8c1bb6e6d24616b468",
    "commit_title": "Add new file",
    "ref": "1.0.0",
}
JENKINS: dict[str, Any] = {
    "name": "orders-deploy",
    "url": "job/orders-deploy/",
    "build": {
        "full_url": "https://ci.example/job/orders-deploy/18/",
        "number": 18,
        "phase": "COMPLETED",
        "status": "SUCCESS",
        "timestamp": 1772437200000,
        "duration": 60000,
        "scm": {"url": "https://github.com/acme/orders.git", "branch": "origin/main", "commit": "c6d86dc654b12425"},
    },
}  # fmt: skip


def collector(**config: Any) -> Ci:
    return Ci(CiConfig.model_validate({"hooks": HOOKS, **config}))


def facts(hook: str, event: str, payload: Any, **config: Any) -> tuple[Fact, ...]:
    system = HOOKS[hook]["system"]
    body = msgspec.json.encode({"system": system, "hook": hook, "event": event, "payload": payload})
    return collector(**config).decode(body, Received(NOW)).facts


def change(hook: str, event: str, payload: Any, **config: Any) -> Change:
    (fact,) = facts(hook, event, payload, **config)
    (found,) = fact.changes
    return found


def within(payload: dict[str, Any], where: str, **changes: Any) -> dict[str, Any]:
    return {**payload, where: {**payload[where], **changes}}


@pytest.mark.parametrize(
    ("hook", "event", "payload", "words"),
    [
        (
            "github",
            "workflow_run",
            WORKFLOW,
            'deployed 12m before: commit acb5820c "Fix rounding" by grace (github, acme/orders)',
        ),
        (
            "github",
            "deployment_status",
            DEPLOYMENT,
            'deployed 11m before: commit f95f852b "main" by ada (github, acme/orders, production)',
        ),
        (
            "gitlab",
            "Pipeline Hook",
            PIPELINE,
            'deployed 13m before: commit bcbb5ec3 "Fix rounding" by ada (gitlab, acme/orders, production)',
        ),
        (
            "gitlab",
            "Deployment Hook",
            GITLAB_DEPLOYMENT,
            'deployed 10m before: commit 279484c0 "Add new file" by root (gitlab, acme/orders, staging)',
        ),
        (
            "jenkins",
            "",
            JENKINS,
            'deployed 19m before: commit c6d86dc6 "orders-deploy #18" (jenkins, acme/orders)',
        ),
    ],
)
def test_a_deployment_is_a_change_in_one_sentence(hook: str, event: str, payload: Any, words: str) -> None:
    assert change_words(change(hook, event, payload), NOW) == words


@pytest.mark.parametrize(
    ("hook", "event", "payload"),
    [
        ("github", "workflow_run", within(WORKFLOW, "workflow_run", conclusion="failure")),
        ("github", "workflow_run", within(WORKFLOW, "workflow_run", status="in_progress", conclusion=None)),
        ("github", "workflow_run", within(WORKFLOW, "workflow_run", head_branch="feature")),
        ("github", "workflow_run", within(WORKFLOW, "workflow_run", name="Tests")),
        ("github", "deployment_status", within(DEPLOYMENT, "deployment_status", state="in_progress")),
        ("github", "ping", {"zen": "Design for failure."}),
        ("gitlab", "Pipeline Hook", within(PIPELINE, "object_attributes", status="failed")),
        ("gitlab", "Pipeline Hook", {**PIPELINE, "builds": PIPELINE["builds"][:1]}),
        ("gitlab", "Push Hook", {"object_kind": "push"}),
        ("jenkins", "", within(JENKINS, "build", status="FAILURE")),
        ("jenkins", "", {**JENKINS, "name": "orders-test"}),
    ],
)
def test_what_deploys_nothing_is_no_change(hook: str, event: str, payload: Any) -> None:
    assert facts(hook, event, payload) == ()


def test_a_repeat_is_the_same_change() -> None:
    first, second = (facts("github", "workflow_run", WORKFLOW)[0] for _ in range(2))
    assert first.key == second.key
    assert first.changes[0].id == second.changes[0].id


def test_runs_are_told_only_where_they_are_wanted() -> None:
    (fact,) = facts("all", "workflow_run", within(WORKFLOW, "workflow_run", conclusion="failure", run_attempt=2))
    assert fact.run
    assert not fact.changes
    assert fact.run.job == JobRef("ci:all", "acme/orders", "Deploy")
    assert (fact.run.state, fact.run.native_run_id, fact.run.generation) == (RunState.FAILED, "30433642#2", 1)
    assert (fact.run.ended_at, fact.run.code_version) == (
        NOW.replace(hour=7, minute=48),
        WORKFLOW["workflow_run"]["head_sha"],
    )


def test_the_first_entry_that_fits_says_what_a_change_concerns() -> None:
    concerns = [
        {"repository": "acme/ord*", "environment": "production", "pipelines": ["orders_*"]},
        {"repository": "acme/other", "team": "shop"},
    ]
    found = change("github", "deployment_status", DEPLOYMENT, concerns=concerns)
    assert found.pipelines == ("orders_*",)
    assert facts("gitlab", "Deployment Hook", GITLAB_DEPLOYMENT, concerns=concerns) == ()


def job(pipeline: str, team: str | None = None) -> Job:
    return Job("j", JobRef("s", "n", pipeline), None, team, {}, None, None, None, None, None, None, None, False)


def test_a_change_concerns_what_it_names_its_team_or_else_everything() -> None:
    one = Change(NOW, "github", "deploy", "x")
    assert one.concerns(job("any"))
    named = Change(NOW, "github", "deploy", "x", pipelines=("orders_*",), team="shop")
    assert [named.concerns(each) for each in (job("orders_daily"), job("other"), job("other", "shop"))] == [
        True,
        False,
        True,
    ]


@pytest.mark.parametrize(
    "payload", [{}, {"workflow_run": {}}, {"repository": [], "workflow_run": 7}, WORKFLOW["repository"]]
)
def test_what_is_no_such_event_is_kept_aside(payload: Any) -> None:
    body = msgspec.json.encode({"system": "github", "hook": "github", "event": "workflow_run", "payload": payload})
    (reject,) = collector().decode(body, Received(NOW)).rejects
    assert reject.reason == "unreadable"


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b'{"system":"x","hook":"y","event":"z","payload":{}}', b"\xff"])
def test_what_no_hook_kept_is_no_fault(body: bytes) -> None:
    decoded = collector().decode(body, Received(NOW))
    assert ([reject.reason for reject in decoded.rejects], decoded.facts) == (["not_a_hook"], ())


# -- belief -------------------------------------------------------------------------------------------------------

BODY = json.dumps(WORKFLOW).encode()


def signed(secret: str, body: bytes = BODY) -> str:
    return "sha256=" + hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()


def request(hook: str, headers: dict[str, str], path: str = "", body: bytes = BODY) -> HookRequest:
    return HookRequest(f"https://watchtower.example/hooks/{hook}", path, headers, body)


@pytest.mark.parametrize(
    ("hook", "headers", "path"),
    [
        ("github", {"x-hub-signature-256": signed("s3cret"), "x-github-event": "workflow_run"}, ""),
        ("github", {"x-hub-signature-256": signed("older"), "x-github-event": "workflow_run"}, ""),
        ("gitlab", {"x-gitlab-token": "s3cret", "x-gitlab-event": "Pipeline Hook"}, ""),
        ("jenkins", {}, "s3cret"),
    ],
)
def test_who_proves_to_know_the_secret_is_believed(hook: str, headers: dict[str, str], path: str) -> None:
    act = collector().hooks()[hook].read(request(hook, headers, path), NOW)
    assert isinstance(act, Keep)
    kept = json.loads(act.body)
    assert (kept["hook"], kept["payload"]) == (hook, WORKFLOW)


@pytest.mark.parametrize(
    ("hook", "headers", "path", "why"),
    [
        ("github", {}, "", Distrust.UNSIGNED),
        ("github", {"x-hub-signature-256": signed("wrong")}, "", Distrust.SIGNATURE),
        ("github", {"x-hub-signature-256": signed("s3cret", BODY + b" ")}, "", Distrust.SIGNATURE),
        ("github", {"x-hub-signature-256": signed("s3cret").removeprefix("sha256=")}, "", Distrust.SIGNATURE),
        ("github", {"x-gitlab-token": "s3cret"}, "", Distrust.UNSIGNED),
        ("gitlab", {"x-gitlab-token": "S3cret"}, "", Distrust.SIGNATURE),
        ("gitlab", {"x-gitlab-token": "s3cre\u0301t"}, "", Distrust.SIGNATURE),
        ("jenkins", {}, "", Distrust.UNSIGNED),
        ("jenkins", {}, "s3cret/more", Distrust.SIGNATURE),
    ],
)
def test_everybody_else_is_refused(hook: str, headers: dict[str, str], path: str, why: Distrust) -> None:
    with pytest.raises(HookRefused) as caught:
        collector().hooks()[hook].read(request(hook, headers, path), NOW)
    assert caught.value.reason is why


def test_a_secret_that_cannot_be_read_is_a_reason_to_come_again() -> None:
    config = CiConfig.model_validate({"hooks": {"x": {"system": "gitlab", "secret": "env:NO_SUCH_SECRET_HERE"}}})
    with pytest.raises(DeliveryError):
        Ci(config).hooks()["x"].read(request("x", {"x-gitlab-token": "s3cret"}), NOW)


def test_a_hook_is_named_as_an_address_may_be() -> None:
    with pytest.raises(ValueError, match="part of an address"):
        CiConfig.model_validate({"hooks": {"a/b": HOOKS["github"]}})
