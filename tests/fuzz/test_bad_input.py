"""All 640 files of the corpus on all that takes input: HTTP, gRPC, hooks, configuration, bills, the command line."""

from collections.abc import Generator
from pathlib import Path
from typing import Any, cast

import grpc
import pytest

from tests import bills
from tests.badinput.corpus import KINDS, corpus
from tests.badinput.entries import bombardment, entries
from tests.badinput.files import PER_KIND, File
from tests.badinput.watch import quiet
from tests.collectors.openlineage import events
from tests.fuzz.hooks import SIGNERS, hooks
from tests.server.site import Site, running
from watchtower.cli.feeding import read_events
from watchtower.clock import ManualClock
from watchtower.config.loading import load
from watchtower.errors import ConfigError, UsageError
from watchtower.model.hook import HookRefused
from watchtower.server.otlp_grpc import SERVICES, GrpcServer
from watchtower.server.runner import Address
from watchtower.store.bills.folder import BillFolder
from watchtower.store.bills.importing import Importer
from watchtower.store.bills.orders import BadBill
from watchtower.store.database import Database
from watchtower.store.migrations import migrate

NOW = events.AT
BY_KIND = {name: corpus()[PER_KIND * index : PER_KIND * (index + 1)] for index, name in enumerate(KINDS)}
of_each_kind = pytest.mark.parametrize("files", BY_KIND.values(), ids=BY_KIND.keys())
OF_BILLS = {
    "csv": ("bills", "bad UTF-8", "injection", "huge"),
    "csv.gz": ("compression",),
    "parquet": ("bills", "OTLP"),
}
SMALL = 4_000  # bytes of a configuration: YAML is read slowly, and nobody but its operator writes it


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Generator[Site]:
    folder, clock = tmp_path_factory.mktemp("badinput"), ManualClock(NOW)
    database = Database(f"sqlite:///{folder / 'watchtower.db'}")
    migrate(database, clock)
    with running(database, folder, clock) as site:
        yield site
    database.close()


@of_each_kind
def test_every_entry_answers_every_file_as_promised(served: Site, files: list[File]) -> None:
    told = bombardment(served)
    with quiet(served):
        for file in files:
            for entry in entries():
                told.send(entry, file)


@of_each_kind
@pytest.mark.parametrize("collector", SERVICES)
def test_a_call_is_answered_or_refused_for_good(served: Site, collector: str, files: list[File]) -> None:
    """Over gRPC: what can never be read must not be sent again, so it is never UNAVAILABLE."""
    server = GrpcServer(served.app, Address("127.0.0.1", 0))
    server.bind()
    server.start()
    credentials = (("authorization", f"Bearer {bombardment(served).token}"),)
    try:
        with quiet(served), grpc.insecure_channel(server.address) as channel:
            export = cast("Any", channel).unary_unary(f"/{SERVICES[collector]}/Export")
            for file in files:
                try:
                    export(file.body, metadata=credentials, timeout=60)
                except grpc.RpcError as error:
                    assert isinstance(error, grpc.Call)
                    said = error.code()
                    assert said in (grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.RESOURCE_EXHAUSTED), file.name
    finally:
        server.stop()


@pytest.mark.parametrize("name", sorted(hooks()))
def test_a_hook_understands_or_refuses_what_is_rightly_signed(name: str) -> None:
    hook = hooks()[name]
    for file in corpus():
        for request in SIGNERS[name](file.body, NOW):
            try:
                act = hook.read(request, NOW)
            except HookRefused:
                continue
            assert act is not None


def test_a_configuration_is_taken_or_refused_with_its_faults(tmp_path: Path) -> None:
    file = tmp_path / "watchtower.yaml"
    for bad in (each for each in corpus() if len(each.body) <= SMALL):
        for body in (bad.body, b"rules:\n- " + bad.body, b"route: {receiver: a, matchers: [" + bad.body + b"]}"):
            file.write_bytes(body)
            try:
                load(file)
            except ConfigError as error:
                assert error.faults, bad.name
                assert all(fault.message for fault in error.faults), bad.name


@pytest.mark.parametrize("suffix", OF_BILLS)
def test_a_bill_is_put_in_force_whole_or_refused_with_its_faults(tmp_path: Path, suffix: str) -> None:
    clock = ManualClock(NOW)
    database = Database(f"sqlite:///{tmp_path / 'watchtower.db'}")
    migrate(database, clock)
    importer = Importer(database, BillFolder(tmp_path / "bills"), clock)
    wanted = {
        "csv": ("bills", "bad UTF-8", "injection", "huge"),
        "csv.gz": ("compression",),
        "parquet": ("bills", "OTLP"),
    }
    for bad in (file for kind in wanted[suffix] for file in BY_KIND[kind]):
        file = tmp_path / f"bill.{suffix}"
        file.write_bytes(bad.body)
        try:
            results = importer.run(bills.order(file))
        except BadBill as error:
            assert error.faults, bad.name
        else:
            assert results, bad.name
    assert not list(Path("/tmp").glob("escaped.csv"))
    database.close()


def test_the_command_line_reads_events_or_says_what_is_wrong(tmp_path: Path) -> None:
    file = tmp_path / "events.json"
    for bad in corpus():
        file.write_bytes(bad.body)
        try:
            assert all(isinstance(event, bytes) for event in read_events(file)), bad.name
        except UsageError as error:
            assert str(file) in str(error)


def test_every_hook_that_a_channel_names_has_a_signer() -> None:
    """So that a new one cannot come in unmet."""
    assert set(SIGNERS) == set(hooks())
