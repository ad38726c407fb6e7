"""Who may do what, what was done, and the configuration."""

from watchtower.model.access import Permission
from watchtower.server.api import administration, people
from watchtower.server.endpoints import Endpoint

ENDPOINTS = (
    Endpoint(
        "GET",
        "/api/v1/audit",
        Permission.AUDIT_READ,
        administration.list_audit,
        "The audit chain, newest first.",
        administration.AuditList,
        administration.AuditQuery,
    ),
    Endpoint(
        "GET",
        "/api/v1/audit/verify",
        Permission.AUDIT_READ,
        administration.verify_audit,
        "Recompute the audit chain; say the first thing that is wrong.",
        administration.AuditVerdict,
        administration.VerifyQuery,
    ),
    Endpoint(
        "GET",
        "/api/v1/tokens",
        Permission.TOKENS_READ,
        administration.list_tokens,
        "Tokens, newest first, without their secrets.",
        administration.TokenList,
        administration.TokenQuery,
    ),
    Endpoint(
        "POST",
        "/api/v1/tokens",
        Permission.TOKENS_WRITE,
        administration.create_token,
        "Make a token; its secret is shown this once.",
        administration.CreatedToken,
        body=administration.TokenBody,
    ),
    Endpoint(
        "GET",
        "/api/v1/tokens/{id}",
        Permission.TOKENS_READ,
        administration.get_token,
        "One token.",
        administration.TokenItem,
        statuses=(404,),
    ),
    Endpoint(
        "POST",
        "/api/v1/tokens/{id}/revoke",
        Permission.TOKENS_WRITE,
        administration.revoke_token,
        "Revoke a token, at once.",
        administration.TokenItem,
        statuses=(404,),
    ),
    Endpoint(
        "GET", "/api/v1/people", Permission.PEOPLE_WRITE, people.list_people, "Who may sign in.", people.PersonList
    ),
    Endpoint(
        "POST",
        "/api/v1/people",
        Permission.PEOPLE_WRITE,
        people.put_person,
        "Add someone, or change their name, role and team.",
        people.PersonItem,
        body=people.PersonBody,
    ),
    Endpoint(
        "DELETE",
        "/api/v1/people/{id}",
        Permission.PEOPLE_WRITE,
        people.remove_person,
        "Remove someone; their sessions end at once.",
        people.Removed,
        statuses=(404,),
    ),
    Endpoint(
        "POST",
        "/api/v1/people/{id}/link",
        Permission.PEOPLE_WRITE,
        people.create_link,
        "A one-time link by which they sign in.",
        people.LinkItem,
        statuses=(404,),
    ),
    Endpoint(
        "POST",
        "/-/reload",
        Permission.CONFIG_RELOAD,
        administration.reload,
        "Read the configuration anew; on a fault the one in force stays.",
        administration.Reloaded,
        statuses=(409, 422),
    ),
)
