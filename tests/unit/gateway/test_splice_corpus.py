"""Bodies that were worth a look once: seeds of the fuzzer, and whatever it found (tests/fuzz)."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelport_gateway.prepare.splice import JsonObject, read_object
from modelport_testing import splice_rules
from modelport_testing.splice_rules import check

CORPUS = sorted((Path(__file__).parents[2] / "fuzz/corpus/splice").iterdir())


@pytest.mark.parametrize("path", CORPUS, ids=lambda path: path.name)
def test_the_corpus(path: Path) -> None:
    check(path.read_bytes())


@given(st.sampled_from(CORPUS), st.integers(0, 400), st.integers(0, 3), st.binary(max_size=3))
def test_the_corpus_with_bytes_replaced(path: Path, at: int, length: int, by: bytes) -> None:
    body = path.read_bytes()
    check(body[:at] + by + body[at + length :])


@given(
    st.lists(st.sampled_from(["{", "}", "[", "]", ":", ",", " ", '"model"', '"m\\u006fdel"', '"a"', "1", '{"a":1}']))
)
def test_tokens_in_any_order(tokens: list[str]) -> None:
    check("".join(tokens).encode())


def test_a_wrong_splice_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    def wrong(body: bytes) -> JsonObject:
        found = read_object(body)
        found.spans = {name: (start, end - 1) for name, (start, end) in found.spans.items()}
        return found

    monkeypatch.setattr(splice_rules, "read_object", wrong)
    with pytest.raises((AssertionError, json.JSONDecodeError)):
        check(b'{"model":"x","n":12}')
