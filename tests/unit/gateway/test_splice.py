import json
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from modelport_gateway.errors import BadRequestError
from modelport_gateway.prepare.body import ExtraBody, edited_body, merge_extra
from modelport_gateway.prepare.splice import read_object

# msgspec refuses lone surrogates, which no UTF-8 text can hold.
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
values: st.SearchStrategy[Any] = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**12), 10**12)
    | st.floats(allow_nan=False, allow_infinity=False)
    | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=8,
)
keys = st.one_of(st.sampled_from(["model", "messages", "é", 'q"\\', "n"]), texts)
blanks = st.text(" \t\r\n", max_size=3)


@st.composite
def json_objects(draw: st.DrawFn) -> str:
    """Write an object with blanks and escapes at will, duplicates included."""
    members = draw(st.lists(st.tuples(keys, values), max_size=5))

    def blank() -> str:
        return draw(blanks)

    spelled = []
    for key, value in members:
        name = json.dumps(key, ensure_ascii=draw(st.booleans()))
        text = json.dumps(
            value, ensure_ascii=draw(st.booleans()), separators=draw(st.sampled_from([(",", ":"), (" , ", " : ")]))
        )
        spelled.append(f"{blank()}{name}{blank()}:{blank()}{text}{blank()}")
    return f"{blank()}{{{','.join(spelled) or blank()}}}{blank()}"


def pairs_of(text: str | bytes) -> list[tuple[str, Any]]:
    return json.loads(text, object_pairs_hook=lambda pairs: pairs)  # type: ignore[no-any-return]


def spelled_members(body: bytes) -> dict[str, bytes]:
    return {key: body[start:end] for key, (start, end) in read_object(body).spans.items()}


@given(json_objects())
@example('{"a":1,"a":1}')
@example('{"a":{"b":1,"model":"m2","z":"abc"},"model":"m1","z":"abcd","a":1}')
@example('{"model":"a","model":"ab"}')
@example('{"n":1,"n":12}')
@example('{"a":1,"a":{"b":{}    }}')
def test_reading_agrees_with_json_or_refuses_duplicates(text: str) -> None:
    body = text.encode()
    pairs = pairs_of(text)
    names = [key for key, _ in pairs]
    if len(set(names)) < len(names):
        with pytest.raises(BadRequestError) as caught:
            read_object(body)
        assert caught.value.error_code == "duplicate_member"
        return
    found = spelled_members(body)
    assert list(found) == names
    for key, value in pairs:
        assert pairs_of(found[key]) == value


@given(json_objects(), st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20))
def test_the_splice_changes_only_the_model(text: str, served: str) -> None:
    body = text.encode()
    pairs = pairs_of(text)
    if len({key for key, _ in pairs}) < len(pairs):
        return
    wanted = json.dumps(served, ensure_ascii=False).encode()
    parsed = read_object(body)
    spliced = parsed.with_model(wanted)
    if "model" in dict(pairs):
        start, end = parsed.spans["model"]
        assert spliced == body[:start] + wanted + body[end:]
        expected = [(key, served if key == "model" else value) for key, value in pairs]
    else:
        assert spliced.replace(b'"model":' + wanted + (b"," if pairs else b""), b"", 1) == body
        expected = [("model", served), *pairs]
    assert pairs_of(spliced) == expected


@given(
    json_objects(),
    st.dictionaries(keys, values, max_size=3),
    st.dictionaries(keys, values, max_size=3),
    st.none() | st.just(b'"served"'),
)
def test_extras_merge_as_dictionaries_do(
    text: str, default: dict[str, Any], required: dict[str, Any], served: bytes | None
) -> None:
    body = text.encode()
    client = dict(pairs_of(text))
    if len(client) < len(pairs_of(text)):
        return
    merged = edited_body(read_object(body), served, ExtraBody(default, required))
    model = {} if served is None else {"model": "served"}
    assert json.loads(merged) == json.loads(json.dumps({**default, **json.loads(text), **model, **required}))
    again = spelled_members(merged)
    before = spelled_members(body)
    for key in client:
        if key not in required and not (key == "model" and served):
            assert again[key] == before[key]
    assert len(pairs_of(merged)) == len(again)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"null",
        b"[]",
        b'"x"',
        b"{",
        b'{"a":1}x',
        b"{'a':1}",
        b'{"a":01}',
        b'{"a":NaN}',
        b'{"a":1,}',
        b"\xef\xbb\xbf{}",
        b'{"a":"\xff"}',
        b'{"\xff":1}',
        b'{"a":"\xed\xa0\x80"}',
        b'{"a":' + b"[" * 5000 + b"]" * 5000 + b"}",
        b"[" * 100000,
    ],
)
def test_what_is_no_json_object_is_refused(body: bytes) -> None:
    with pytest.raises(BadRequestError) as caught:
        read_object(body)
    assert caught.value.error_code == "invalid_json"
    assert merge_extra(body, ExtraBody({"a": 1}, {})) == body


@pytest.mark.parametrize("key", ["Model", "MODEL", "mODEL"])
def test_a_key_that_is_model_but_for_case_is_refused(key: str) -> None:
    parsed = read_object(json.dumps({key: 1}).encode())
    with pytest.raises(BadRequestError, match="only in case"):
        parsed.refuse_lookalikes()
    read_object(b'{"model":1,"models":2,"xmodel":3}').refuse_lookalikes()


def test_numbers_and_nested_duplicates_keep_their_bytes() -> None:
    body = b'{"a":1.00E+02,"model":"x","b":{"c":1,"c":2},"d":12345678901234567890123}'
    assert read_object(body).with_model(b'"y"') == body.replace(b'"x"', b'"y"')


def test_the_named_model_is_unescaped() -> None:
    assert read_object(b'{"mod\\u0065l":"meta\\/llama"}').model() == "meta/llama"
    assert read_object(b'{"model":["x"]}').model() is None
    assert read_object(b"{}").model() is None
