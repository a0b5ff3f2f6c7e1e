"""What people write as JSON or YAML: read to what JSON has, refused without a word of it."""

import traceback

import pytest

from modelport.documents import DocumentError, parse, parse_yaml

BILLION = "a: &a [1, 1, 1, 1]\n" + "".join(
    f"{name}: &{name} [{', '.join([f'*{before}'] * 9)}]\n" for before, name in zip("abcdefgh", "bcdefghi", strict=True)
)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ('{"a": [1, 2.5, true, null, "x"]}', {"a": [1, 2.5, True, None, "x"]}),
        ("{a: [1, 2.5, yes, ~, x]}", {"a": [1, 2.5, True, None, "x"]}),
        ("day: 2023-06-01", {"day": "2023-06-01"}),
        ("a: =", {"a": "="}),
        ("a: !!str 5", {"a": "5"}),
        ("{50256: -100}", {50256: -100}),
        ("a: &x {b: 1}\nc: *x\nd: {<<: *x, e: 2}", {"a": {"b": 1}, "c": {"b": 1}, "d": {"b": 1, "e": 2}}),
        ("[" * 100 + "]" * 100, None),
        ("9" * 1000, int("9" * 1000)),
    ],
)
def test_what_is_taken(text: str, value: object) -> None:
    parsed = parse(text)
    assert parsed == value or value is None


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{a: !!int SECRETVALUE77}", r"holds a value that JSON does not have \(line 1, column 5\)"),
        ("{a: !!bool SECRETVALUE77}", "holds a value that JSON does not have"),
        ("{a: !!float SECRETVALUE77}", "holds a value that JSON does not have"),
        ("{a: !!binary SECRETVALUE77}", "holds a value that JSON does not have"),
        ("{a: !!timestamp SECRETVALUE77}", "holds a value that JSON does not have"),
        ("{a: !!set {SECRETVALUE77}}", "holds a value that JSON does not have"),
        ("{a: !!python/name:SECRETVALUE77 x}", "holds a value that JSON does not have"),
        ("{[SECRETVALUE77]: x}", "holds a value that JSON does not have"),
        ("{a: &x [SECRETVALUE77, *x]}", "nested more than 100 deep"),
        ("[" * 500 + "]" * 500, "nested more than 100 deep"),
        ("[" * 100_000 + "]" * 100_000, "nested more than 100 deep"),
        ("{a: " + "[" * 5000, "nested more than 100 deep"),
        (BILLION, "stands for too many values"),
        ('{"SECRETVALUE77": "\\ud800"}', "holds a text that UTF-8 has no form of"),
        ('{"\\udfff": 1}', "holds a text that UTF-8 has no form of"),
        ('{"a": "\udcff"}', "holds a text that UTF-8 has no form of"),
        ("{a: \udcff}", "neither JSON nor YAML"),
        ("9" * 5000, "holds a number that is too large"),
        ("0x" + "f" * 5000, "holds a number that is too large"),
        ("a: " + "9" * 5000, "holds a value that JSON does not have"),
        ('{"a": NaN}', "holds a number that JSON does not have"),
        ("{a: .inf}", "holds a number that JSON does not have"),
        ('{"a": 1e999}', "holds a number that JSON does not have"),
        ("[SECRETVALUE77", r"neither JSON nor YAML \(line 1, column 15\)"),
    ],
)
def test_what_is_refused_and_not_repeated(text: str, message: str) -> None:
    with pytest.raises(DocumentError, match=message) as caught:
        parse(text)
    shown = "".join(traceback.format_exception(caught.value))
    assert "VALUE77" not in shown
    assert "9999" not in shown


def test_yaml_alone_says_so() -> None:
    with pytest.raises(DocumentError, match=r"is no YAML \(line 1"):
        parse_yaml("x: [")
