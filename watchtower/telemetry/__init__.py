"""Watchtower's own telemetry: every metric and label name, JSON logs, and traces when they are configured."""
