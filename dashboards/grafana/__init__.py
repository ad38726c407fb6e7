"""Grafana dashboards as code, built with Grafana's foundation SDK; `export` writes them with their provisioning."""
