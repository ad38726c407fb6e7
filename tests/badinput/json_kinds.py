"""Kinds of bad JSON: broken, nested, and with values that readers disagree about."""

from collections.abc import Iterator
from typing import Any

from tests.badinput.files import File, changed, dump, everywhere, good_bodies, paths, taken


def broken_json() -> Iterator[File]:
    for name, body in good_bodies().items():
        whole = dump(body)
        yield File(f"half a {name}", whole[: len(whole) // 2])
        yield File(f"a {name} and more", whole + whole)
    whole = dump(good_bodies()["run event"])
    for name, raw in {
        "nothing": b"",
        "blanks": b" \r\n\t ",
        "a word": b"hello",
        "half a word": b"nul",
        "an open object": b"{",
        "an open list": b"[",
        "an open string": b'{"a": "b',
        "an open escape": b'"\\',
        "an unknown escape": b'{"a": "\\x41"}',
        "no value": b'{"a":}',
        "no key": b"{: 1}",
        "single quotes": b"{'a': 1}",
        "a comment": b"/* x */ {}",
        "crossed brackets": b'{"a": [}]',
        "closed too often": b"{}}",
        "a list with a hole": b"[" + whole + b",," + whole + b"]",
        "a trailing comma": b"[" + whole + b",]",
        "lines of JSON": whole + b"\n" + whole,
        "plus one": b"+1",
        "a leading zero": b"01",
        "a hexadecimal number": b"0x10",
        "yaml": b"a: 1\nb: [2",
    }.items():
        yield File(name, raw)


def nesting() -> Iterator[File]:
    for depth in (64, 65, 100, 1_000, 10_000, 100_000, 200_000):
        yield File(f"{depth} lists, open", b"[" * depth)
        yield File(f"{depth} lists", b"[" * depth + b"]" * depth)
        yield File(f"{depth} objects, open", b'{"a":' * depth)
        yield File(f"{depth} objects", b'{"a":' * depth + b"1" + b"}" * depth)
        yield File(f"{depth} by turns", b'[{"a":' * (depth // 2) + b"1" + b"}]" * (depth // 2))
    for name, body in good_bodies().items():
        leaf = list(paths(body))[-1]
        raw = dump(changed(body, leaf, "@here@")).replace(b'"@here@"', b"[" * 5_000 + b"]" * 5_000)
        yield File(f"5,000 lists in a {name}", raw)


def integers() -> Iterator[File]:
    yield from taken(
        everywhere(
            [
                ("5,000 digits", b"9" * 5_000),
                ("minus 5,000 digits", b"-" + b"9" * 5_000),
                ("a million digits", b"1" * 1_000_000),
                ("2^63", b"9223372036854775808"),
                ("-2^63 - 1", b"-9223372036854775809"),
                ("2^64", b"18446744073709551616"),
                ("2^31", b"2147483648"),
                ("1e999", b"1e999"),
                ("-1e999", b"-1e999"),
                ("1e-999", b"1e-999"),
                ("a long fraction", b"0." + b"3" * 5_000),
                ("an exponent of 5,000 digits", b"1e" + b"9" * 5_000),
                ("minus zero", b"-0"),
            ]
        )
    )


def odd_values() -> Iterator[File]:
    yield from taken(
        everywhere(
            [
                ("NaN", b"NaN"),
                ("Infinity", b"Infinity"),
                ("-Infinity", b"-Infinity"),
                ("a lone high surrogate", b'"a\\ud800b"'),
                ("a lone low surrogate", b'"\\udc00"'),
                ("surrogates the wrong way round", b'"\\udc00\\ud800"'),
                ("a NUL", b'"a\\u0000b"'),
                ("a noncharacter", b'"\\uffff"'),
                ("a repeated key", b'{"a": 1, "a": {"b": 2}, "a": []}'),
                ("an empty key", b'{"": 1}'),
                ("a key of a surrogate", b'{"\\ud800": 1}'),
                ("a prototype", b'{"__proto__": {"admin": true}, "constructor": 1}'),
            ]
        )
    )


def bad_utf8() -> Iterator[File]:
    yield File("a byte order mark", b"\xef\xbb\xbf" + dump(good_bodies()["run event"]))
    yield File("utf-16", dump(good_bodies()["sample"]).decode().encode("utf-16"))
    yield File("utf-32", dump(good_bodies()["sample"]).decode().encode("utf-32"))
    yield from taken(
        everywhere(
            [
                ("latin-1", b'"caf\xe9"'),
                ("cut utf-8", b'"caf\xc3"'),
                ("an overlong slash", b'"\xc0\xaf"'),
                ("an encoded surrogate", b'"\xed\xa0\x80"'),
                ("beyond unicode", b'"\xf4\x90\x80\x80"'),
                ("a raw NUL", b'"a\x00b"'),
                ("a raw line break", b'"a\nb"'),
                ("only ff", b'"\xff\xff\xff\xff"'),
                ("a continuation alone", b'"\x80"'),
            ]
        ),
        37,
    )


def instants() -> Iterator[File]:
    texts = [
        "0000-01-01T00:00:00Z",
        "0001-01-01T00:00:00Z",
        "0001-01-01T00:00:00+14:00",
        "9999-12-31T23:59:59.999999Z",
        "9999-12-31T23:59:59-14:00",
        "10000-01-01T00:00:00Z",
        "2016-12-31T23:59:60Z",
        "2026-02-30T00:00:00Z",
        "2026-13-01T00:00:00Z",
        "2026-03-02T25:00:00Z",
        "2026-03-02T08:00:00",
        "2026-03-02T08:00:00.123456789123Z",
        "2026-03-02T08:00:00+99:99",
        "2026-03-29T02:30:00[Europe/Berlin]",
        "2226-03-02T08:00:00Z",
        "-2026-03-02T08:00:00Z",
        "yesterday",
        "２０２６-03-02T08:00:00Z",
        "2" * 10_000,
        "",
    ]
    raw = [(f"the time {text[:30]!r}", dump(text)) for text in texts]
    yield from taken(everywhere([*raw, ("the time 1e18", b"1e18"), ("the time -1", b"-1"), ("the time true", b"true")]))


def wrong_types() -> Iterator[File]:
    values: list[Any] = [None, True, -1, 1.5, "text", [], {}, [None], {"a": 1}, [[[]]], "", 10**18, ["x"] * 100]
    yield from taken(everywhere([(repr(value)[:20], dump(value)) for value in values]))


def missing_and_extra() -> Iterator[File]:
    for name, body in good_bodies().items():
        for key in list(body)[:2]:
            yield File(f"a {name} without {key}", dump({other: body[other] for other in body if other != key}))
        yield File(
            f"a {name} with more", dump({**body, "unknown": {"deep": [1, 2, {"x": None}]}, "id": "x", "$ref": "#"})
        )
        yield File(f"a {name} of nulls", dump(dict.fromkeys(body)))
        yield File(f"a {name} in a list in a list", dump([[body]]))


def unknown_words() -> Iterator[File]:
    words = ["START ", "start", "DONE", "ŞTART", "page\n", "admin", "ADMIN", "*", "null", "true", "=~", "focus", "=?"]
    yield from taken(everywhere([(f"the word {word!r}", dump(word)) for word in words]))


def huge() -> Iterator[File]:
    big: list[tuple[str, Any]] = [
        ("a text of 1 MB", "x" * 1_000_000),
        ("10,000 labels", {f"label{number}": "v" for number in range(10_000)}),
        ("10,000 items", [{"key": f"k{number}", "value": "v"} for number in range(10_000)]),
        ("a key of 100 kB", {"k" * 100_000: 1}),
        ("100,000 numbers", list(range(100_000))),
        ("a text of 100 kB of emoji", "😀" * 25_000),
        ("a text of line breaks", "\n" * 100_000),
        ("65 labels", {f"label{number}": "v" for number in range(65)}),
    ]
    yield from taken(everywhere([(name, dump(value)) for name, value in big]))
