"""Speed and memory, each figure as a ratio measured side by side in one run (docs/performance.md).

Every candidate of a figure runs at the same time, servers on one core and load on another; rounds alternate between
them, the first is thrown away, and medians are reported. Public tools only: wrk, Debian's Prometheus and Alertmanager.
"""
