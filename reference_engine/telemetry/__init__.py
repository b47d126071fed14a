"""Tells other systems what happens: traces by OpenTelemetry, and webhooks."""
