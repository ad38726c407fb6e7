"""A steady stream of events, ten requests of some events each every 200 ms, until it is ended: `URL TOKEN RATE`."""

import http.client
import itertools
import sys
from datetime import UTC, datetime
from urllib.parse import urlsplit

from benchmarks.figures import now_s, pause
from benchmarks.traffic import event, live, template

EVERY_S = 0.02


def main() -> None:
    url, token, rate = sys.argv[1], sys.argv[2], int(sys.argv[3])
    text, each = template(event()), max(1, int(rate * EVERY_S))
    connection = http.client.HTTPConnection(urlsplit(url).netloc)
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    begun = now_s()
    for number in itertools.count():
        pause(max(0.0, begun + number * EVERY_S - now_s()))
        seed = int(now_s() * 1e6)
        events = live(text, datetime.now(UTC), each, seed=seed, first=number * each)
        connection.request("POST", "/api/v1/lineage/batch", b"[" + b",".join(events) + b"]", headers)
        answer = connection.getresponse()
        answer.read()
        if answer.status >= 300:
            raise SystemExit(f"answer {answer.status}")


if __name__ == "__main__":
    main()
