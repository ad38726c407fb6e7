"""Moments as Kubernetes writes them."""

from datetime import UTC, datetime
from typing import Any

from collectors.documents import Place


def instant(value: Any, place: Place) -> datetime | None:
    if not isinstance(value, str):
        return None
    try:
        return place.instant(datetime.fromisoformat(value).astimezone(UTC))
    except ValueError:
        return None
