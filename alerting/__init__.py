"""From transitions of alerts to people and tickets: route, group, silence, render, deliver, and account for it all."""
