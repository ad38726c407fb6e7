"""Run events of one's own, and events of clouds and tools in the forms of CloudEvents, EventBridge and Event Grid."""

from collectors.events.decode import Events, EventsConfig

__all__ = ["Events", "EventsConfig"]
