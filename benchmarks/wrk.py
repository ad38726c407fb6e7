"""wrk, with a Lua script per kind of body: every request has fresh ids and times of its own."""

import json
import struct
import subprocess
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from benchmarks.figures import Unavailable
from benchmarks.machine import install, on_core
from benchmarks.traffic import MARKS, PIPELINES, SPREAD_S

PACKAGE = "wrk"

_COMMON = """
local seed, count, per_request = 0, 0, 1
function init(args)
  seed, per_request = tonumber(args[1]), tonumber(args[2])
  math.randomseed(seed)
end
function done(summary, latency)
  local e = summary.errors
  io.write(string.format(
    '\\n{"requests": %d, "duration_us": %d, "failed": %d, "p50_us": %d, "p99_us": %d}\\n',
    summary.requests, summary.duration, e.connect + e.read + e.write + e.status + e.timeout,
    latency:percentile(50), latency:percentile(99)))
end
"""

_EVENTS = """
local SPREAD, PIPELINES = %(spread)d, %(pipelines)d
local second, stamps = 0, {}
local function time()
  local now = os.time()
  if now ~= second then
    second = now
    for back = 0, SPREAD - 1 do stamps[back] = os.date("!%%Y-%%m-%%dT%%H:%%M:%%S", now - 1 - back) end
  end
  return string.format("%%s.%%06dZ", stamps[math.random(0, SPREAD - 1)], math.random(0, 999999))
end
local function run()
  count = count + 1
  return string.format("%%08x-%%04x-4%%03x-8%%03x-%%012x",
    seed, math.random(0, 65535), math.random(0, 4095), math.random(0, 4095), count)
end
local function event()
  local run, time, pipeline = run(), time(), string.format("pipeline_%%04d", count %% PIPELINES)
  return %(expression)s
end
function request()
  if per_request == 1 then return wrk.format(nil, nil, nil, event()) end
  local events = {}
  for number = 1, per_request do events[number] = event() end
  return wrk.format(nil, nil, nil, "[" .. table.concat(events, ",") .. "]")
end
"""

# A run as five samples of five series: snappy's literal form of a WriteRequest (prometheus/prompb/remote.proto).
_SAMPLES = """
local PIPELINES, VALUES = %(pipelines)d, {%(values)s}
local NAMES = {"started", "ended", "duration", "rows", "bytes"}
local char, floor = string.char, math.floor
local function varint(number)
  local bytes = {}
  while number >= 128 do
    bytes[#bytes + 1] = char(number %% 128 + 128)
    number = floor(number / 128)
  end
  bytes[#bytes + 1] = char(number)
  return table.concat(bytes)
end
local function field(text) return char(10) .. varint(#text) .. text end
local function label(name, value) return field(field(name) .. char(18) .. varint(#value) .. value) end
local series = {}
for pipeline = 0, PIPELINES - 1 do
  series[pipeline] = {}
  for number, name in ipairs(NAMES) do
    series[pipeline][number] = label("__name__", "run_" .. name)
      .. label("namespace", "prod") .. label("pipeline", string.format("pipeline_%%04d", pipeline))
  end
end
local function run()
  count = count + 1
  local stamp = varint(seed * 1000 + floor(count / PIPELINES))
  local labels, parts = series[count %% PIPELINES], {}
  for number = 1, 5 do
    local sample = char(9) .. VALUES[math.random(1, #VALUES)] .. char(16) .. stamp
    parts[number] = field(labels[number] .. char(18) .. char(#sample) .. sample)
  end
  return table.concat(parts)
end
function request()
  local runs = {}
  for number = 1, per_request do runs[number] = run() end
  local message = table.concat(runs)
  local length = #message - 1
  local literal = char(0xf4, length %% 256, floor(length / 256))
  return wrk.format(nil, nil, nil, varint(#message) .. literal .. message)
end
"""


_SPANS = """
local file = assert(io.open(%(file)s, "rb"))
local body = file:read("*a")
file:close()
function request()
  count = count + 1
  return wrk.format(nil, nil, nil, (body:gsub(%(trace)s, string.format("%%08x%%08x", seed, count))))
end
"""


@dataclass(frozen=True, slots=True)
class Load:
    """What one burst did. seconds: as wrk measured it."""

    requests: int
    seconds: float
    p50_s: float
    p99_s: float


class Wrk:
    """Bursts of requests from one core. Raises Unavailable when wrk cannot be had."""

    def __init__(self, core: int, *, connections: int = 32) -> None:
        self._program = install("wrk", PACKAGE)
        self._core = core
        self._connections = connections

    def burst(
        self, url: str, script: str, headers: Mapping[str, str], *, seed: int, per_request: int, seconds: float
    ) -> Load:
        """seed: makes ids differ from those of other bursts; for samples it is their time in seconds. Raises
        Unavailable if any answer was no 2xx: a figure of refusals means nothing."""
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "load.lua"
            file.write_text(_settings(headers) + script, encoding="latin-1")
            command = [
                self._program,
                *("-t", "1", "-c", str(self._connections), "-d", f"{seconds:g}s", "--timeout", "10s"),
                *("-s", str(file), url, "--", str(seed), str(per_request)),
            ]
            done = subprocess.run(on_core(self._core, command), capture_output=True, text=True, check=False)
        line = done.stdout.strip().rpartition("\n")[2]
        if done.returncode or not line.startswith("{"):
            raise Unavailable(f"wrk failed ({done.returncode}): {done.stdout[-300:]}{done.stderr[-300:]}")
        said = json.loads(line)
        if said["failed"]:
            raise Unavailable(f"{said['failed']} of {said['requests']} requests to {url} failed")
        return Load(said["requests"], said["duration_us"] / 1e6, said["p50_us"] / 1e6, said["p99_us"] / 1e6)


def events_script(template: str) -> str:
    """Requests of `per_request` OpenLineage events each."""
    return _COMMON + _EVENTS % {"spread": SPREAD_S, "pipelines": PIPELINES, "expression": _expression(template)}


def samples_script() -> str:
    """Remote-write requests of `per_request` runs each, five samples a run; times rise with each turn of pipelines."""
    values = ",".join('"' + "".join(f"\\{byte:03d}" for byte in struct.pack("<d", value)) + '"' for value in _values())
    return _COMMON + _SAMPLES % {"pipelines": PIPELINES, "values": values}


def spans_script(file: Path, trace: bytes) -> str:
    """Requests of what is in file; trace, 16 letters or digits, stands for the id of a trace of their own."""
    return _COMMON + _SPANS % {"file": json.dumps(str(file)), "trace": json.dumps(trace.decode())}


def _values() -> list[float]:
    return [60 + 0.37 * number for number in range(64)]


def _settings(headers: Mapping[str, str]) -> str:
    lines = ['wrk.method = "POST"'] + [
        f"wrk.headers[{json.dumps(name)}] = {json.dumps(headers[name])}" for name in headers
    ]
    return "\n".join(lines) + "\n"


def _expression(template: str) -> str:
    """Lua that joins the template's pieces with what stands for the marks."""
    pieces = [template]
    for mark in MARKS:
        pieces = [part for piece in pieces for part in _around(piece, mark)]
    names = {mark: mark.strip("@") for mark in MARKS}
    return " .. ".join(names.get(piece) or f"[==[{piece}]==]" for piece in pieces if piece)


def _around(piece: str, mark: str) -> list[str]:
    """piece cut at mark, the marks kept."""
    parts: list[str] = []
    for number, part in enumerate(piece.split(mark)):
        parts += [mark, part] if number else [part]
    return parts
