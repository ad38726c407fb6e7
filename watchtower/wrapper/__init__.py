"""`watchtower run --job NAME -- COMMAND`: runs COMMAND and tells Watchtower how it went, from crontabs and scripts.

The command comes first. It is started before anything is told, gets every signal, and its exit status is passed on;
whatever is wrong with Watchtower or the network costs it nothing but the patience at its end. What could not be told
waits in a folder of its own, on the disk, and is told by the next run. Standard library only, and most of that is
imported while the command runs: this is in the path of every job.
"""

import os
import select
import signal
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from threading import Thread

TAIL_BYTES = 8_000  # of what it printed; Watchtower keeps the last 4,000 characters
PATIENCE_S = 2.0
MOST_WAITING = 1_000  # runs in the spool; beyond that nothing more is kept
_NOT_FOUND, _NOT_EXECUTABLE = 127, 126  # as the shell says it
_FORWARDED = ("SIGTERM", "SIGHUP", "SIGINT", "SIGQUIT", "SIGUSR1", "SIGUSR2", "SIGCONT", "SIGWINCH")
_IGNORED_BY_PYTHON = (signal.SIGPIPE, signal.SIGXFSZ)


class Usage(Exception):
    """Said by a user in a way that cannot be understood."""


class Options:
    """What stands between `run` and `--`; the environment fills what is left out."""

    def __init__(self, environ: "Mapping[str, str]") -> None:
        self.job = environ.get("WATCHTOWER_JOB", "")
        self.namespace = "cron"
        self.run = ""
        self.url = environ.get("WATCHTOWER_URL", "").rstrip("/")
        self.token = environ.get("WATCHTOWER_TOKEN", "")
        self.state = environ.get("WATCHTOWER_STATE", "")
        self.spool = environ.get("WATCHTOWER_RUN_SPOOL", "") or _default_spool(environ)
        self.patience = PATIENCE_S
        self.output = True
        self.flush = False
        self.command: Sequence[str] = ()


_VALUES = {"--job": "job", "-j": "job", "--slug": "job", "--namespace": "namespace", "--run": "run", "--url": "url",
           "--token": "token", "--state": "state", "--spool": "spool", "--patience": "patience"}  # fmt: skip


def read(words: Sequence[str], environ: "Mapping[str, str]" = os.environ) -> Options:
    """words: what follows `run`. Raises Usage."""
    options, rest = Options(environ), list(words)
    while rest:
        word = rest.pop(0)
        name, equals, value = word.partition("=")
        if word == "--":
            break
        if name in _VALUES:
            if not equals:
                if not rest:
                    raise Usage(f"{name} needs a value")
                value = rest.pop(0)
            setattr(options, _VALUES[name], _seconds(value) if name == "--patience" else value)
        elif word == "--no-output":
            options.output = False
        elif word == "--flush":
            options.flush = True
        elif word.startswith("-"):
            raise Usage(f"unknown option {word}; what belongs to the command stands behind --")
        else:
            rest.insert(0, word)
            break
    options.command = rest
    options.url = options.url.rstrip("/")
    if options.flush == bool(options.command):
        raise Usage("name a command: watchtower run --job NAME -- COMMAND; or --flush alone")
    if options.command and not options.job:
        options.job = os.path.basename(options.command[0])
    return options


def main(words: Sequence[str]) -> int:
    """Run the command; the exit status to leave with. A command that a signal ended ends this process by it too."""
    try:
        options = read(words)
    except Usage as error:
        _say(str(error))
        return 2
    if options.flush:
        from watchtower.wrapper.telling import flush

        return flush(options)
    return run(options)


def run(options: Options) -> int:
    started = time.time()
    run_id = options.run or _uuid()
    child = _Child(options, run_id)
    telling = Telling(options, Said(run_id, started))
    if child.fault is None:
        telling.begin()
        child.follow()
        status, said = child.status, child.tail
    else:
        status, said = child.fault, child.why
        _say(said.decode("utf-8", "replace"))
    telling.end(status, said)
    if status < 0:
        _die_of(-status)
    return status


class Said:
    """What is told of a run. started, ended: seconds since 1970. status None: it began, and has not ended."""

    def __init__(self, run_id: str, started: float) -> None:
        self.run_id = run_id
        self.started = started
        self.ended = 0.0
        self.status: int | None = None
        self.output = b""


class Telling:
    """Tells in a thread, and waits for it only at the end, for as long as the patience lasts."""

    def __init__(self, options: Options, said: Said) -> None:
        self._options = options
        self._said = said
        self._begun: Thread | None = None

    def begin(self) -> None:
        self._begun = Thread(target=self._tell, args=(Said(self._said.run_id, self._said.started),), daemon=True)
        self._begun.start()

    def end(self, status: int, output: bytes) -> None:
        self._said.status, self._said.output, self._said.ended = status, output, time.time()
        last = Thread(target=self._tell, args=(self._said,), daemon=True)
        last.start()
        last.join(self._options.patience + 1.0)  # each step has its own limit; this one is the last resort

    def _tell(self, said: Said) -> None:
        """Whatever goes wrong in here is not the command's business."""
        try:
            from watchtower.wrapper.telling import tell

            if said.status is not None and self._begun is not None:
                self._begun.join(self._options.patience)
            tell(self._options, said)
        except Exception as error:  # the edge: the command must not fail for it
            _say(f"this run could not be told: {type(error).__name__}: {error}")


class _Child:
    """The command. status: its exit status, or minus the signal that ended it. fault: why it could not be started."""

    def __init__(self, options: Options, run_id: str) -> None:
        self.status = 0
        self.tail = b""
        self.fault: int | None = None
        self.why = b""
        self._pipes: dict[int, int] = {}
        self._pid = 0
        actions: list[tuple[int, ...]] = []
        if options.output:
            for target in (1, 2):
                ours, theirs = os.pipe()
                self._pipes[ours] = target
                actions.append((os.POSIX_SPAWN_DUP2, theirs, target))
        environment = {**os.environ, "WATCHTOWER_RUN_ID": run_id, "WATCHTOWER_JOB": options.job}
        signals = [getattr(signal, name) for name in _FORWARDED]
        before = signal.pthread_sigmask(signal.SIG_BLOCK, [*signals, signal.SIGCHLD])
        try:
            self._wake, wake = os.pipe()
            for end in (self._wake, wake):
                os.set_blocking(end, False)
            self._pid = os.posix_spawnp(
                options.command[0],
                list(options.command),
                environment,
                file_actions=actions,
                setsigmask=before,
                setsigdef=_IGNORED_BY_PYTHON,
            )
        except OSError as error:
            self.fault = _NOT_FOUND if isinstance(error, FileNotFoundError) else _NOT_EXECUTABLE
            self.why = f"{options.command[0]}: {error.strerror or error}".encode("utf-8", "replace")
        else:
            signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
            signal.signal(signal.SIGCHLD, _noted)
            for number in signals:
                signal.signal(number, self._forward)
        finally:
            for action in actions:
                os.close(action[1])
            signal.pthread_sigmask(signal.SIG_SETMASK, before)

    def follow(self) -> None:
        """Pass on what it prints, until it has ended."""
        poll = select.poll()
        for pipe in (*self._pipes, self._wake):
            poll.register(pipe, select.POLLIN)
        while not self._has_ended():
            self._copy(poll, None)
        self._copy(poll, 0)
        if self._pipes:
            self._leave_copying(poll)

    def _has_ended(self) -> bool:
        pid, status = os.waitpid(self._pid, os.WNOHANG)
        if pid:
            self.status = os.waitstatus_to_exitcode(status)
        return bool(pid)

    def _copy(self, poll: "select.poll", wait_ms: "int | None") -> None:
        """What there is now; with wait_ms None, once there is anything."""
        while events := poll.poll(wait_ms):
            for descriptor, _ in events:
                if descriptor == self._wake:
                    os.read(descriptor, 4096)
                    continue
                data = os.read(descriptor, 65_536)
                if not data:
                    poll.unregister(descriptor)
                    os.close(descriptor)
                    del self._pipes[descriptor]
                    continue
                _write(self._pipes, descriptor, data)
                self.tail = (self.tail + data)[-TAIL_BYTES:]
            if wait_ms is None or not self._pipes:
                return

    def _leave_copying(self, poll: "select.poll") -> None:
        """The command has ended, and something that it started still writes: it must not meet a closed pipe."""
        if os.fork():
            return
        signal.set_wakeup_fd(-1)
        poll.unregister(self._wake)
        while self._pipes:
            self._copy(poll, None)
        os._exit(0)

    def _forward(self, number: int, _: object) -> None:
        """A key on the terminal reaches the command by itself."""
        if number in (signal.SIGINT, signal.SIGQUIT, signal.SIGWINCH) and os.isatty(0):
            return
        with suppress(ProcessLookupError):
            os.kill(self._pid, number)


def _write(pipes: "dict[int, int]", descriptor: int, data: bytes) -> None:
    """Nobody may read what is passed on; the command goes on writing all the same."""
    target = pipes[descriptor]
    try:
        while target >= 0 and data:
            data = data[os.write(target, data) :]
    except OSError:
        pipes[descriptor] = -1


def _noted(_number: int, _frame: object) -> None:
    """That the command has ended, the wake-up descriptor says."""


def _die_of(number: int) -> None:
    """As the command did, but without a core of this process."""
    import resource

    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    signal.signal(number, signal.SIG_DFL) if number not in (signal.SIGKILL, signal.SIGSTOP) else None
    os.kill(os.getpid(), number)


def _default_spool(environ: "Mapping[str, str]") -> str:
    state = environ.get("XDG_STATE_HOME", "")
    base = state if state.startswith("/") else os.path.join(environ.get("HOME") or "/", ".local", "state")
    return os.path.join(base, "watchtower-run")


def _uuid() -> str:
    raw = bytearray(os.urandom(16))
    raw[6], raw[8] = raw[6] & 0x0F | 0x40, raw[8] & 0x3F | 0x80
    text = raw.hex()
    return "-".join((text[:8], text[8:12], text[12:16], text[16:20], text[20:]))


def _seconds(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = -1.0
    if not 0 <= number <= 60:
        raise Usage(f"--patience {text!r} is no number of seconds from 0 to 60")
    return number


def _say(text: str) -> None:
    with suppress(OSError, ValueError):
        sys.stderr.write(f"watchtower run: {text}\n")
