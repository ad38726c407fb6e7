"""OTLP, the protocol of OpenTelemetry: what exporters send is checked here before they are answered."""
