"""Bills, costs and budgets."""

from watchtower.model.access import Permission
from watchtower.server.api import bills, costs
from watchtower.server.endpoints import Endpoint

ENDPOINTS = (
    Endpoint(
        "GET",
        "/api/v1/bills",
        Permission.COSTS_READ,
        bills.list_bills,
        "The bills in force, newest first; with `all` their earlier versions too.",
        bills.BillList,
        bills.BillQuery,
    ),
    Endpoint(
        "POST",
        "/api/v1/bills",
        Permission.INGEST,
        bills.hand_in,
        "Read files of the server's machine as one export; only from that machine.",
        bills.WorkItem,
        body=bills.HandInBody,
    ),
    Endpoint(
        "GET",
        "/api/v1/bills/{id}",
        Permission.COSTS_READ,
        bills.get_work,
        "How a bill that was handed in is doing.",
        bills.WorkItem,
        statuses=(404,),
    ),
    Endpoint(
        "GET",
        "/api/v1/costs",
        Permission.COSTS_READ,
        costs.list_costs,
        "What bills add up to, by day, service, account, source or tag; also as it was known on a date.",
        costs.CostList,
        costs.CostQuery,
    ),
    Endpoint(
        "GET",
        "/api/v1/budgets",
        Permission.COSTS_READ,
        costs.list_budgets,
        "Budgets by name: how much of what may be spent is spent, and how far the bill reaches.",
        costs.BudgetList,
        costs.BudgetQuery,
    ),
)
