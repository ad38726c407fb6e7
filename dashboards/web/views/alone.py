"""Pages that stand alone: signing in, and what went wrong."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class LoginView:
    """code: of the link that was opened, "" if none; fault: why it did not open."""

    code: str
    fault: str = ""


@dataclass(frozen=True, slots=True)
class ProblemView:
    status: int
    detail: str
    request_id: str
