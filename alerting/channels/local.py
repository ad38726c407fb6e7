"""The built-in channel: the notice as the outbox keeps it is the message; people read it in the web UI and the CLI.

Without receivers every alert goes here, so that nothing is lost on day one.
"""

from typing import ClassVar

from alerting.channels.settings import Settings
from watchtower.model.alert import Notice, Receipt
from watchtower.ports import ChannelContext


class LocalConfig(Settings):
    """`local_configs`: nothing to configure but whether resolved alerts are wanted."""

    send_resolved: bool = True


class Local:
    name: ClassVar[str] = "local"
    Config: ClassVar[type[LocalConfig]] = LocalConfig
    settle_s: ClassVar[float] = 0.0
    can_look_up: ClassVar[bool] = True
    keyed: ClassVar[bool] = True
    rings: ClassVar[bool] = False

    def __init__(self, config: LocalConfig, context: ChannelContext) -> None:
        self._config = config

    def deliver(self, notice: Notice) -> Receipt:
        return Receipt(f"local:{notice.id}")

    def look_up(self, notice: Notice) -> Receipt | None:
        return self.deliver(notice)
