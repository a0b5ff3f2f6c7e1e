"""Changes as they travel, and the bodies that make them."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from modelport_contracts.errors import error_body
from modelport_contracts.events import ALL_CHANGES, subject_of, subjects_of_kind
from modelport_contracts.json_values import MAX_DEPTH, check_json
from modelport_contracts.pages import pagination
from modelport_contracts.records import Change, Envelope, IndexEntry, PoisonError, record_key
from modelport_contracts.resources.secrets import MAX_VALUE_BYTES, SecretAccess, SecretCreate, SecretUpdate
from modelport_contracts.resources.virtual_models import Target, VirtualModelCreate
from modelport_contracts.sync import SyncRecord


def envelope(key: str = "provider/default/openai", **members: Any) -> Envelope:
    given = {"key": key, "source": "models", "incarnation": "one", "revision": 7, "operation": "put", **members}
    return Envelope.model_validate(given)


@given(st.binary(max_size=200))
def test_a_payload_travels_byte_for_byte(payload: bytes) -> None:
    change = Change(envelope=envelope(index=(IndexEntry(index="listing/a", field="b\nc"),)), payload=payload)
    assert Change.decode(change.encode()) == change


@given(st.text(max_size=50).filter(lambda text: text.isprintable()))
def test_and_survives_json(text: str) -> None:
    change = Change(envelope=envelope(), payload=json.dumps({"a": text}, ensure_ascii=False).encode())
    record = SyncRecord.of(change)
    assert SyncRecord.model_validate_json(record.model_dump_json()).change() == change


@pytest.mark.parametrize(
    "message", [b"", b"{}", b"\n", b"{}\n{}", b"not json\n{}", b'{"key":"a/b/c"}\n', b"\xff\xfe\n", b"[]\nx", b"null\n"]
)
def test_poison_is_what_cannot_be_decoded(message: bytes) -> None:
    with pytest.raises(PoisonError):
        Change.decode(message)


def test_a_negative_revision_and_an_unknown_operation_are_poison() -> None:
    whole = json.loads(envelope().model_dump_json())
    for wrong in ({"revision": -1}, {"operation": "merge"}, {"source": "elsewhere"}):
        with pytest.raises(PoisonError):
            Change.decode(json.dumps(whole | wrong).encode() + b"\n")


@pytest.mark.parametrize("name", ["gpt-3.5-turbo", "a.b.c", "gpt-*", "a@b+c"])
def test_names_with_dots_and_stars_make_one_subject(name: str) -> None:
    subject = subject_of(envelope(record_key("virtual-model", "team.x", name)))
    parts = subject.split(".")
    assert parts[:4] == ["modelport", "v1", "models", "virtual-model"]
    assert len(parts) == 6
    assert not set("*> ") & set(subject)
    assert subject.startswith(subjects_of_kind("models", "virtual-model").removesuffix(">"))
    assert subject.startswith(ALL_CHANGES.removesuffix(">"))


@pytest.mark.parametrize("body", [{"name": "ab", "value": "v"}, {"name": "ab", "data": "v"}])
def test_a_secrets_value_has_two_names(body: dict[str, str]) -> None:
    assert SecretCreate.model_validate(body).value.get_secret_value() == "v"


def test_values_do_not_show() -> None:
    created = SecretCreate.model_validate({"name": "ab", "value": "hunter2"})
    access = SecretAccess(name="ab", workspace="cd", value="hunter2")
    for shown in (repr(created), str(created), repr(access), repr(SecretUpdate.model_validate({"value": "hunter2"}))):
        assert "hunter2" not in shown


@pytest.mark.parametrize(
    "value", ["", "x" * (MAX_VALUE_BYTES + 1), "ä" * MAX_VALUE_BYTES, 5, None, ["hunter2"], "\ud800"]
)
def test_values_that_are_refused_are_not_quoted(value: object) -> None:
    for model in (SecretCreate, SecretUpdate):
        if value is None and model is SecretUpdate:
            continue
        with pytest.raises(ValidationError) as caught:
            model.model_validate({"name": "ab", "value": value})
        assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize("value", ["x" * MAX_VALUE_BYTES, " padded ", "two\nlines\n", "a\0b", "*a*", "*"])
def test_values_are_kept_as_they_are(value: str) -> None:
    assert SecretCreate.model_validate({"name": "ab", "value": value}).value.get_secret_value() == value


@pytest.mark.parametrize("value", ["*", "*****", "••••", "●●"])
def test_a_mask_is_no_new_value(value: str) -> None:
    with pytest.raises(ValidationError, match="mask"):
        SecretUpdate.model_validate({"value": value})


def nested(levels: int) -> Any:
    value: Any = 1
    for _ in range(levels):
        value = {"a": value}
    return value


@pytest.mark.parametrize(
    "value", [None, True, 1, 1.5, "ä\n", [], {"a": [1, {"b": "c"}]}, "😀", nested(MAX_DEPTH), 10**50]
)
def test_json_that_can_be_kept(value: Any) -> None:
    check_json(value)


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ({"a": [1, float("nan")]}, r"^a\.1: NaN"),
        ({"a": float("-inf")}, "^a: NaN and infinities"),
        ({"a": {"b": "x\0"}}, r"^a\.b: must not hold a NUL"),
        ({"a": "\ud800"}, "^a: holds half"),
        ({"\udc00": 1}, "a member's name in the body"),
        ({"a": {"x\0": 1}}, "a member's name in a: "),
        (nested(MAX_DEPTH + 1), "nested deeper than 64"),
    ],
)
def test_json_that_cannot(value: Any, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        check_json(value)


@pytest.mark.parametrize("reference", ["a", "A/b1", "a1/b1/c1", "a1/", "/b1", "ab/*", "", "ab/gpt.4 "])
def test_a_target_names_an_entity(reference: str) -> None:
    with pytest.raises(ValidationError, match="workspace/entity"):
        Target.model_validate({"model": reference})


def test_weights_and_middleware() -> None:
    target = Target.model_validate({"model": "team/gpt-4", "unknown": 1})
    assert (target.weight, target.priority) == (1, 0)
    with pytest.raises(ValidationError, match="unknown middleware: a, b"):
        VirtualModelCreate.model_validate({"name": "vm", "response_middleware": [{"name": "b"}, {"name": "a"}]})
    with pytest.raises(ValidationError):
        VirtualModelCreate.model_validate({"name": "vm", "options": {"retry": {"max_attempts": 0}}})


@pytest.mark.parametrize(("total", "pages"), [(0, 0), (1, 1), (10, 1), (11, 2), (20, 2), (21, 3)])
def test_pages_are_counted(total: int, pages: int) -> None:
    assert pagination(1, 10, min(total, 10), total).total_pages == pages


def test_error_bodies_have_one_shape() -> None:
    assert error_body(404, "not_found", "no such thing") == {
        "type": "error",
        "error": {"type": "not_found_error", "message": "no such thing", "code": "not_found", "param": None},
        "detail": "no such thing",
    }
    assert error_body(418, "a", "b")["error"]["type"] == "invalid_request_error"
    assert error_body(507, "a", "b")["error"]["type"] == "api_error"
    assert error_body(422, "a", "b", [])["detail"] == []
