"""The pages in a real Chromium: no complaint, nothing cut off, no script needed."""

import re
import shutil
from collections.abc import Generator
from datetime import timedelta
from decimal import Decimal
from pathlib import Path

import pytest
from playwright.sync_api import Browser, ConsoleMessage, Page, sync_playwright

from tests.charges import Line, bring
from tests.rules.spending import budget, monthly
from tests.server.site import Site, running
from tests.server.story import tell
from tests.server.test_backtests import report
from tests.services.chromium import chromium
from watchtower.clock import ManualClock
from watchtower.model.cost import Money
from watchtower.model.spending import midnight
from watchtower.store import access, backtests, budgets
from watchtower.store.database import Database

pytestmark = pytest.mark.e2e
WIDTHS = (1_280, 768, 360)


@pytest.fixture(scope="module")
def browser() -> Generator[Browser]:
    with sync_playwright() as playwright:
        flags = ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"]
        browser = playwright.chromium.launch(executable_path=chromium(), args=flags)
        yield browser
        browser.close()


@pytest.fixture
def told(migrated_sqlite: Path, tmp_path: Path, clock: ManualClock) -> Generator[Site]:
    file = tmp_path / "watchtower.db"
    shutil.copyfile(migrated_sqlite, file)
    database = Database(f"sqlite:///{file}")
    tell(database, clock)
    spend(database, clock)
    database.write(lambda c: backtests.keep(c, report(), clock.now(), "person:anna", rules="tried.yaml", against=None))
    with running(database, tmp_path, clock) as site:
        yield site
    database.close()


def spend(database: Database, clock: ManualClock) -> None:
    """A budget with a long name that is over, one of a month, and one whose bill cannot be used."""
    today = clock.now().date()
    declared = [
        budget(name="everything-that-production-pipelines-use-in-a-day", owner="finops-lead"),
        monthly(limit=Money(Decimal("12345678.90"), "USD")),
        budget(name="in-another-currency", limit=Money(Decimal(50), "EUR")),
    ]
    database.write(lambda connection: budgets.declare(connection, declared, clock.now() - timedelta(days=30)))
    days = [Line(today - timedelta(days=ago), f"{40 + 7 * ago}.25") for ago in range(14)]
    bring(database, days, clock.now(), covered_until=midnight(today))


def test_signing_in_reading_and_signing_out(browser: Browser, told: Site) -> None:
    complaints: list[str] = []

    def on_console(message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            complaints.append(message.text)

    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("console", on_console)
    page.on("response", lambda answer: complaints.append(answer.url) if answer.status >= 400 else None)

    page.goto(f"{told.url}/login?code={new_code(told)}")
    page.get_by_role("button", name="Sign in").click()
    assert page.url == f"{told.url}/"
    assert page.get_by_role("heading", level=1).inner_text() == "Three things are broken"

    page.get_by_role("link", name="RunFailed: orders_hourly").click()
    assert page.get_by_text("amount is missing").first.is_visible()
    assert page.get_by_role("cell", name=re.compile("^id-wt-")).is_visible(), "the proof of delivery"

    page.get_by_role("link", name="Its pipeline").first.click()
    assert page.get_by_role("heading", name="Last runs").is_visible()
    page.get_by_role("link", name="Pipelines", exact=True).click()
    page.get_by_label("Name, namespace or owner").fill("finance")
    page.get_by_role("button", name="Find").click()
    assert page.get_by_role("link", name="revenue_daily").is_visible()
    assert not page.get_by_role("link", name="orders_hourly").is_visible()

    page.get_by_role("link", name="Now").click()
    page.get_by_role("button", name="Sign out").click()
    assert page.url == f"{told.url}/login"
    page.goto(f"{told.url}/")
    assert page.url == f"{told.url}/login"
    assert complaints == []
    context.close()


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nothing_is_cut_off(browser: Browser, told: Site, width: int, scheme: str) -> None:
    context = browser.new_context(
        viewport={"width": width, "height": 800}, color_scheme="dark" if scheme == "dark" else "light"
    )
    page = context.new_page()
    page.goto(f"{told.url}/login?code={new_code(told)}")
    page.get_by_role("button", name="Sign in").click()
    assert page.get_by_role("img", name="last 21 days: 5 above the limit").first.is_visible()
    check_width(page)
    page.get_by_role("link", name="RunFailed: orders_hourly").click()
    check_width(page)
    page.get_by_role("link", name="Keep it quiet").click()
    check_width(page)
    page.get_by_label("Why").fill("the warehouse is being moved")
    page.get_by_role("button", name="Keep quiet").click()
    assert page.get_by_text("Kept quiet until").first.is_visible()
    check_width(page)
    page.get_by_role("link", name="Its pipeline").first.click()
    check_width(page)
    page.get_by_role("link", name="Pipelines", exact=True).click()
    check_width(page)
    page.get_by_role("link", name="Datasets", exact=True).click()
    check_width(page)
    page.get_by_role("link", name="shop.public.orders").click()
    assert page.get_by_role("heading", name="Where it comes from").is_visible()
    check_width(page)
    page.get_by_role("link", name="Backtests", exact=True).click()
    check_width(page)
    page.get_by_role("link", name="tried.yaml").click()
    assert page.get_by_role("img", name="2 alerts, 2 of severity page").is_visible()
    check_width(page)
    context.close()


def check_width(page: Page) -> None:
    page.wait_for_load_state()
    wider = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
    assert wider <= 0, f"{page.url} is {wider} px wider than the window"


def new_code(site: Site) -> str:
    site.sign_in()
    services = site.services
    return services.database.write(lambda c: access.create_link(c, services.keys, "some-admin", services.clock.now()))
