"""What a configuration asks: sources that are polled, and feeds of bills, made ready to be read.

Nothing is asked here. What a source needs and does not have, an SDK or an address that the guard lets pass, is found
now, by a start as by `watchtower check`.
"""

from typing import Final

from watchtower.config.model import Config
from watchtower.errors import ConfigError, Fault
from watchtower.outbound import Outbound
from watchtower.ports import BillContext, Clock, FileFeed, KnownRuns, PollContext, PolledSource, QueryFeed
from watchtower.registry import Registries

MAX_ANSWER_BYTES: Final = 16 << 20


def polled_of(
    config: Config, clock: Clock, known_runs: KnownRuns, registries: Registries | None = None
) -> tuple[PolledSource, ...]:
    """Every configured source that is asked. Raises ConfigError with all that is missing."""
    known = (registries or Registries()).pollers
    http = Outbound(clock, config.outbound.networks, max_answer_bytes=MAX_ANSWER_BYTES)
    context = PollContext(clock, http, http.check, config.source_of, known_runs, config.base_dir, http.dial)
    faults: list[Fault] = []
    made: list[PolledSource] = []
    for kind in known:
        if kind in config.collectors:
            try:
                made += known.get(kind)(config.collectors[kind]).sources(context)
            except ConfigError as error:
                faults += error.faults
    if faults:
        raise ConfigError(faults)
    return tuple(made)


def feeds_of(config: Config, clock: Clock, registries: Registries | None = None) -> tuple[FileFeed | QueryFeed, ...]:
    """Every configured feed of bills. Raises ConfigError."""
    known = (registries or Registries()).bills
    context = BillContext(clock, Outbound(clock, config.outbound.networks).check, config.base_dir)
    return tuple(
        feed
        for kind in known
        if kind in config.collectors
        for feed in known.get(kind)(config.collectors[kind]).feeds(context)
    )
