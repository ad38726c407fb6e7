"""A real Apache Airflow 2 for the end-to-end tests: as tests.e2e.airflow, with its own processes, users and API.

    with Airflow2(ensure_airflow2(), postgres.url(postgres.create_database()), dags=…, lineage=…) as airflow:

It runs several tasks at once only on a database that is a server. Three processes (webserver, scheduler, triggerer);
people sign in by Basic, as they do where an API is asked.
"""

import base64
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar, Self

from tests.e2e.airflow import Airflow, Lineage
from tests.e2e.environments import ensure

READER = ("watchtower", "reader-password")  # may see everything and change nothing
_ADMIN = ("admin", "admin-password")


def ensure_airflow2() -> Path:
    """The environment that holds Airflow 2; the first call takes about 40 s and 400 MB."""
    return ensure("airflow2")


class Airflow2(Airflow):
    """database_url: of an empty PostgreSQL database."""

    components: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "webserver": ("webserver", "--workers", "1"),
        "scheduler": ("scheduler", "--skip-serve-logs"),
        "triggerer": ("triggerer", "--skip-serve-logs"),
    }
    api: ClassVar[str] = "/api/v1"
    health: ClassVar[str] = "/health"
    parts: ClassVar[tuple[str, ...]] = ("metadatabase", "scheduler", "triggerer")
    newest_first: ClassVar[str] = "-execution_date"
    undated: ClassVar[Mapping[str, object]] = {}  # each run has a logical date

    def __init__(self, venv: Path, database_url: str, *, dags: Path, lineage: Lineage) -> None:
        further = {
            "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": database_url.replace("postgresql://", "postgresql+psycopg2://"),
            "AIRFLOW__API__AUTH_BACKENDS": "airflow.api.auth.backend.basic_auth",
            "AIRFLOW__SCHEDULER__DAG_DIR_LIST_INTERVAL": "5",
            "AIRFLOW__SCHEDULER__LOCAL_TASK_JOB_HEARTBEAT_SEC": "2",
            # What died is found within seconds instead of minutes.
            "AIRFLOW__SCHEDULER__SCHEDULER_HEALTH_CHECK_THRESHOLD": "10",
            "AIRFLOW__SCHEDULER__SCHEDULER_ZOMBIE_TASK_THRESHOLD": "20",
            "AIRFLOW__SCHEDULER__ZOMBIE_DETECTION_INTERVAL": "5",
            "AIRFLOW__SCHEDULER__ORPHANED_TASKS_CHECK_INTERVAL": "10",
            "AIRFLOW__WEBSERVER__SECRET_KEY": secrets.token_hex(32),
        }
        super().__init__(venv, dags=dags, lineage=lineage, environment=further)

    def __enter__(self) -> Self:
        """The roles are there once the web server is."""
        super().__enter__()
        name, password = READER
        person = {"first_name": name, "last_name": name, "email": f"{name}@example.com"}
        reader = {"username": name, "password": password, "roles": [{"name": "Viewer"}], **person}
        try:
            self._request("POST", "/users", reader)
        except BaseException:
            self._end()
            raise
        return self

    def _settings(self, port: int) -> dict[str, str]:
        address = {"AIRFLOW__WEBSERVER__WEB_SERVER_HOST": "127.0.0.1", "AIRFLOW__WEBSERVER__WEB_SERVER_PORT": str(port)}
        return {**super()._settings(port), **address, "AIRFLOW__WEBSERVER__BASE_URL": self.api_url}

    def _prepare(self) -> None:
        super()._prepare()
        name, password = _ADMIN
        person = ("--firstname", name, "--lastname", name, "--email", f"{name}@example.com")
        self._command("users", "create", "--username", name, "--password", password, "--role", "Admin", *person)

    def _authorization(self) -> dict[str, str]:
        return {"Authorization": f"Basic {base64.b64encode(':'.join(_ADMIN).encode()).decode()}"}
