"""Probes of data and of what pipelines need."""
