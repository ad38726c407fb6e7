"""FOCUS, the FinOps Open Cost and Usage Specification: the columns of versions 1.0, 1.1 and 1.2 (focus.finops.org).

One reader takes all three: later versions add columns, and what a bill is summed by has been there since 1.0.
"""

from watchtower.model.cost import CostMetric
from watchtower.ports import BillFormat

_1_0 = """
AvailabilityZone BilledCost BillingAccountId BillingAccountName BillingCurrency BillingPeriodEnd BillingPeriodStart
ChargeCategory ChargeClass ChargeDescription ChargeFrequency ChargePeriodEnd ChargePeriodStart
CommitmentDiscountCategory CommitmentDiscountId CommitmentDiscountName CommitmentDiscountStatus CommitmentDiscountType
ConsumedQuantity ConsumedUnit ContractedCost ContractedUnitPrice EffectiveCost InvoiceIssuerName ListCost ListUnitPrice
PricingCategory PricingQuantity PricingUnit ProviderName PublisherName RegionId RegionName ResourceId ResourceName
ResourceType ServiceCategory ServiceName SkuId SkuPriceId SubAccountId SubAccountName Tags
"""
_1_1 = """
CapacityReservationId CapacityReservationStatus CommitmentDiscountQuantity CommitmentDiscountUnit ServiceSubcategory
SkuMeter SkuPriceDetails
"""
_1_2 = """
BillingAccountType InvoiceId PricingCurrency PricingCurrencyContractedUnitPrice PricingCurrencyEffectiveCost
PricingCurrencyListUnitPrice SubAccountType
"""

FOCUS = BillFormat(
    name="FOCUS",
    columns=tuple(f"{_1_0} {_1_1} {_1_2}".split()),
    required=(
        "BilledCost",
        "BillingAccountId",
        "BillingCurrency",
        "BillingPeriodStart",
        "ChargePeriodEnd",
        "ChargePeriodStart",
        "ServiceName",
    ),
    amounts={
        CostMetric.BILLED: "BilledCost",
        CostMetric.EFFECTIVE: "EffectiveCost",
        CostMetric.LIST: "ListCost",
    },
    decimals=("ContractedCost",),
    currency="BillingCurrency",
    billing_period=("BillingPeriodStart", "BillingPeriodEnd"),
    charge_period=("ChargePeriodStart", "ChargePeriodEnd"),
    account=("SubAccountId", "BillingAccountId"),
    service="ServiceName",
    tags="Tags",
    invoice="InvoiceId",
)
