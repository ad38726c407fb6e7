"""Providers for tests: real sockets on loopback, an own ledger of visible effects, and faults on demand.

The ledger is the oracle: what a person would have seen at the provider. `requests` holds what was asked, for judges
such as the vendors' published specifications.
"""
