"""The systems the pipelines read from: shop database, acquirer, CRM, carrier. Everything that goes wrong starts here.

Rows are made, not real, and the same for the same slot; their number follows the hour of the day. Reading takes about
a quarter of a second per thousand rows, as a paged API would; each page is a span, as an instrumented client makes it.
"""

import math
import random
import time
from collections.abc import Iterator
from datetime import datetime, timedelta

from opentelemetry import trace

from shop.plan import in_trouble

PAGE_ROWS = 200
PAGE_S = 0.05
SLOW_PAGE_S = 40.0
TRACER = trace.get_tracer("shop.feeds")
REGIONS = ("north", "south", "east", "west")


def orders(slot: datetime) -> list[dict[str, str]]:
    """The orders of the hour before `slot`."""
    return [
        {
            "order_id": f"{slot:%y%m%d%H}-{number:05d}",
            "customer_id": f"c{dice.randrange(40_000):05d}",
            "region": dice.choice(REGIONS),
            "amount": f"{dice.lognormvariate(3.6, 0.7):.2f}",
            "ordered_at": (slot - timedelta(seconds=dice.randrange(3600))).isoformat(),
        }
        for number, dice in _rows("orders", slot, usual=2_400)
    ]


def settlements(slot: datetime) -> list[dict[str, str]]:
    """The acquirer's settlement file. In the trouble slot one amount comes with a decimal comma."""
    rows = [
        {
            "settlement_id": f"s{slot:%y%m%d%H}{number:05d}",
            "amount": f"{dice.lognormvariate(3.6, 0.7):.2f}",
            "currency": "EUR",
        }
        for number, dice in _rows("settlements", slot, usual=2_100)
    ]
    if in_trouble("payments_hourly", slot):
        rows[730]["amount"] = "1.204,50"
    return rows


def profiles(slot: datetime) -> list[dict[str, str]]:
    """The customer profiles that changed. In the trouble slot the CRM throttles: every page takes 40 s."""
    throttled = in_trouble("customers_sync", slot)
    return [
        {"customer_id": f"c{dice.randrange(40_000):05d}", "segment": dice.choice(("new", "regular", "vip"))}
        for _, dice in _rows("profiles", slot, usual=1_000, page_s=SLOW_PAGE_S if throttled else PAGE_S)
    ]


def stock(slot: datetime) -> list[dict[str, str]]:
    """The stock level of every article."""
    return [
        {"sku": f"a{number:05d}", "on_hand": str(dice.randrange(400))}
        for number, dice in _rows("stock", slot, usual=3_000, swing=0.0)
    ]


def parcels(slot: datetime, try_number: int) -> list[dict[str, str]]:
    """The carrier's scans. In the trouble slot the first try loses its connection."""
    if try_number == 1 and in_trouble("shipments_hourly", slot):
        raise ConnectionResetError("carrier API closed the connection after page 3 of 9")
    return [
        {"parcel_id": f"p{slot:%y%m%d%H}{number:05d}", "status": dice.choice(("picked", "in_transit", "delivered"))}
        for number, dice in _rows("parcels", slot, usual=1_700)
    ]


def wait_for_attribution_model(slot: datetime) -> None:
    """Wait until the model server takes the batch. In the trouble slot it never does."""
    time.sleep(3600 if in_trouble("marketing_attribution", slot) else 0.2)


def _rows(
    feed: str, slot: datetime, *, usual: int, swing: float = 0.35, page_s: float = PAGE_S
) -> Iterator[tuple[int, random.Random]]:
    """Number the rows of one slot and hand each the dice to fill itself; waits `page_s` seconds for each page."""
    dice = random.Random(f"{feed} {slot.isoformat()}")
    daytime = 1 + swing * math.sin((slot.hour - 9) / 24 * 2 * math.pi)
    for number in range(int(usual * daytime * dice.uniform(0.97, 1.03))):
        if number % PAGE_ROWS == 0:
            with TRACER.start_as_current_span(
                f"GET /{feed}",
                kind=trace.SpanKind.CLIENT,
                attributes={"http.request.method": "GET", "page": number // PAGE_ROWS + 1},
            ):
                time.sleep(page_s)
        yield number, dice
