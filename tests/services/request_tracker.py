"""A real Request Tracker 5 for tests: Debian's packages, an own instance in a scratch folder, on a free loopback port.

Nothing of a packaged instance is used or changed. The packages are installed when they are missing, which needs root
and a reachable package mirror; else the message says what to install.
"""

import os
import shutil
import socket
import subprocess
import tempfile
import threading
import urllib.error
import urllib.request
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.services.debian import Unavailable, ensure

PACKAGES = ("request-tracker5", "rt5-db-sqlite", "rt5-standalone")
SETUP = "/usr/sbin/rt-setup-database-5"
SERVER = "/usr/share/request-tracker5/libexec/rt-server"
START_TIMEOUT_S = 60.0

_SITE_CONFIG = """
Set($rtname, 'watchtower.test'); Set($Organization, 'watchtower.test');
Set($WebDomain, '127.0.0.1'); Set($WebPort, {port}); Set($WebPath, ''); Set($WebBaseURL, 'http://127.0.0.1:{port}');
Set($DatabaseType, 'SQLite'); Set($DatabaseName, '{folder}/var/rt5.db');
Set($DatabaseUser, ''); Set($DatabasePassword, '');
Set($LogToSTDERR, 'warning'); Set($LogToSyslog, undef); Set($LogToFile, undef);
Set($MailCommand, 'testfile'); Set($MasonDataDir, '{folder}/var/mason'); Set($Timezone, 'UTC');
1;
"""

# The custom field, a second queue without it, and two people: one who works, one who may only look.
_ADD_FIELD = """
use lib qw(/usr/local/share/request-tracker5/lib /usr/share/request-tracker5/lib);
use RT -init;
my $queue = RT::Queue->new(RT->SystemUser); $queue->Load('General');
my $field = RT::CustomField->new(RT->SystemUser);
my ($ok, $message) = $field->Create(Name => $ARGV[0], Type => 'FreeformSingle', LookupType => 'RT::Queue-RT::Ticket');
die $message unless $ok;
($ok, $message) = $field->AddToObject($queue);
die $message unless $ok;
my $bare = RT::Queue->new(RT->SystemUser);
($ok, $message) = $bare->Create(Name => 'Bare');
die $message unless $ok;
for my $name ('fixer', 'guest') {
    my $user = RT::User->new(RT->SystemUser);
    ($ok, $message) = $user->Create(Name => $name, Password => "$name-password", Privileged => 1);
    die $message unless $ok;
    next if $name eq 'guest';
    $user->PrincipalObj->GrantRight(Right => $_, Object => RT->System)
        for qw(SeeQueue ShowTicket ShowTicketComments CreateTicket CommentOnTicket ModifyTicket OwnTicket SeeCustomField
               ModifyCustomField);
}
"""


@dataclass(frozen=True, slots=True)
class RequestTrackerServer:
    """base_url: of the web pages; REST2 lies under /REST/2.0. Users: root, fixer, guest."""

    base_url: str
    folder: Path
    passwords: Mapping[str, str]


def install() -> None:
    """Install the packages if they are not there. Raises Unavailable with the line to type."""
    ensure("Request Tracker 5", PACKAGES, lambda: Path(SERVER).exists() and Path(SETUP).exists())


@contextmanager
def request_tracker(custom_field: str | None = "WatchtowerKey") -> Generator[RequestTrackerServer]:
    """A fresh instance; the queue General has custom_field, the queue Bare has not. Stopped by its pid at the end."""
    install()
    folder = Path(tempfile.mkdtemp(prefix="watchtower-rt-"))
    try:
        port = _free_port()
        environment = _prepare(folder, port, custom_field)
        with _running(folder, port, environment):
            passwords = {"root": "password", "fixer": "fixer-password", "guest": "guest-password"}
            yield RequestTrackerServer(f"http://127.0.0.1:{port}", folder, passwords)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _prepare(folder: Path, port: int, custom_field: str | None) -> dict[str, str]:
    for name in ("etc/d", "var/mason", "log"):
        (folder / name).mkdir(parents=True)
    site = folder / "etc" / "RT_SiteConfig.pm"
    site.write_text(_SITE_CONFIG.format(port=port, folder=folder))
    # Both are needed: with one alone the packaged instance's database is opened.
    environment = {**os.environ, "RT_SITE_CONFIG": str(site), "RT_SITE_CONFIG_DIR": str(folder / "etc" / "d")}
    setup = [SETUP, "--action", "init", "--skip-create", "--dba", "", "--dba-password", ""]
    _run(setup, environment)
    if custom_field:
        _run(["perl", "-e", _ADD_FIELD, custom_field], environment)
    return environment


@contextmanager
def _running(folder: Path, port: int, environment: Mapping[str, str]) -> Generator[None]:
    command = ["perl", SERVER, "--server", "Starlet", "--host", "127.0.0.1", "--port", str(port), "--max-workers", "2"]
    with (folder / "log" / "server.log").open("wb") as log:
        process = subprocess.Popen(command, env=environment, stdout=log, stderr=log, start_new_session=True)
        try:
            _wait_until_up(process, port, folder)
            yield
        finally:
            process.terminate()  # the parent ends its workers
            try:
                process.wait(timeout=10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _wait_until_up(process: subprocess.Popen[bytes], port: int, folder: Path) -> None:
    pause = threading.Event()
    for _ in range(int(START_TIMEOUT_S / 0.2)):
        if process.poll() is not None:
            break
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{port}/REST/2.0/rt", timeout=5).close()
        except urllib.error.HTTPError:  # 401: it is there and asks who we are
            return
        except OSError:
            pause.wait(0.2)
        else:
            return
    log = (folder / "log" / "server.log").read_text(errors="replace")[-1000:]
    raise Unavailable(f"rt-server did not start on port {port}: {log}")


def _run(command: list[str], environment: Mapping[str, str]) -> None:
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise Unavailable(f"{command[0]} failed ({done.returncode}): {(done.stderr or done.stdout).strip()[-800:]}")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
