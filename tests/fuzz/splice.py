"""A coverage-guided fuzzer of the splice: `make fuzz`. The body that it prints belongs into corpus/splice.

`make test` replays that corpus. Arguments are libFuzzer's. atheris has wheels for Linux on x86-64 alone.
"""

import sys

try:
    import atheris
except ImportError:
    sys.exit(
        "the fuzzer needs atheris, which has wheels for Linux on x86-64 alone; make test replays its corpus anyway"
    )

with atheris.instrument_imports(include=["modelport_gateway.prepare"]):
    from modelport_testing import splice_rules

TOKENS = [
    *(b"{", b"}", b"[", b"]", b":", b",", b" ", b"\n", b"\t", b"\r", b"{}", b"[]", b'"', b"\\", b"\x00"),
    *(b'"model"', b'"mod\\u0065l"', b'"Model"', b'"a"', b'"\\u0061"', b'"user"', b'"store"', b'""', b'"\xc3\xa9"'),
    *(b'"\\\\"', b'"\\""', b'"\\u00e9"', b'"\\ud83d\\ude00"', b'"\\ud800"', b"\xff", b"\xef\xbb\xbf"),
    *(b"1", b"-0", b"1.50e+2", b"12345678901234567890123", b"null", b"true", b'"a":1,', b'"a":1', b'"model":"x",'),
]


def fuzz_one(data: bytes) -> None:
    """Judge bytes as they are or, where none of them could begin a body, as a list of tokens: that reaches deeper."""
    if data[:1] >= b"\x80":
        data = b"{" + b"".join(TOKENS[byte % len(TOKENS)] for byte in data[1:])
    try:
        splice_rules.check(data)
    except BaseException:
        print(f"the body: {data!r}", file=sys.stderr)
        raise


if __name__ == "__main__":
    atheris.Setup(sys.argv, fuzz_one)
    atheris.Fuzz()
