"""Where a running Watchtower listens: the configured address, the Unix socket, and OTLP on ports of its own."""

from pathlib import Path

from watchtower.app.options import Options
from watchtower.config.model import Config
from watchtower.config.sections import OFF, parse_listen
from watchtower.errors import UsageError
from watchtower.server.application import Application
from watchtower.server.otlp_grpc import GrpcServer
from watchtower.server.runner import Address, check_access


def addresses(config: Config, options: Options, socket: Path) -> list[Address]:
    """Where HTTP is served; socket: of the state directory, for commands on this machine."""
    local = Address(path=socket)
    if options.local_only:
        return [local]
    host, port = options.listen or config.server.address
    otlp = _otlp_address(config, options, "otlp_http")
    return [Address(host, port), local, *([otlp] if otlp else [])]


def open_grpc(app: Application, config: Config, options: Options, left_out: list[str]) -> GrpcServer | None:
    """Bound, or None where it is off or its usual port is taken; the latter is added to left_out."""
    address = None if options.local_only else _otlp_address(config, options, "otlp_grpc")
    if address is None:
        return None
    check_access([address], access=options.access)
    server = GrpcServer(app, address)
    try:
        server.bind()
    except UsageError as error:
        if not address.optional:
            raise
        left_out.append(str(error))
        return None
    return server


def _otlp_address(config: Config, options: Options, key: str) -> Address | None:
    """Where OTLP alone is taken. The default is taken if it is free; what the file says must be."""
    said = getattr(config.server, key)
    if not options.otlp or said == OFF:
        return None
    host, port = parse_listen(said)
    is_said = config.server.is_said(key)
    if not is_said and options.listen is not None and options.listen[1] == 0:
        port = 0
    return Address(host, port, key=key, optional=not is_said)
