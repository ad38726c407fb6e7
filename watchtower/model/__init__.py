"""The vocabulary: frozen, slotted dataclasses without I/O.

Runs, jobs and datasets follow OpenLineage; labels, `for` and `keep_firing_for` follow Prometheus; alerts, groups,
receivers and silences follow Alertmanager.
"""
