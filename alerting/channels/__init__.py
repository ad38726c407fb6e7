"""Channels: how a notice leaves. One line per channel here; its `Config` is the item of `<name>_configs`."""

from alerting.channels.email import Email
from alerting.channels.local import Local
from alerting.channels.slack import Slack
from alerting.channels.webhook import Webhook

CHANNELS: dict[str, type[Email | Local | Slack | Webhook]] = {
    Email.name: Email,
    Local.name: Local,
    Slack.name: Slack,
    Webhook.name: Webhook,
}
