"""Channels: how a notice leaves. Each is one file; its `Config` is the item of `<name>_configs`."""
