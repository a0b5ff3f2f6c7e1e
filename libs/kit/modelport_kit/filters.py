"""List filters in their three spellings, parsed to one small tree (docs/wire.md, 3.1).

    brackets  filter[status]=READY   filter[name][$like]=x   filter[status][$in]=A,B
    JSON      filter={"name": {"$like": "x"}, "$or": [{...}, {...}]}
    text      filter=name~"abc" AND (status:"READY" OR NOT status:"ERROR")

Text operators: `:` and `=` equal, `!=` not equal, `~` substring, `<`, `<=`, `>`, `>=`.
"""

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from modelport_contracts.json_values import check_json

MAX_DEPTH = 16
MAX_TERMS = 200
"""Comparisons in one filter; each value of $in and $nin counts as one."""
_OPERATORS = frozenset({"$eq", "$like", "$lt", "$lte", "$gt", "$gte", "$in", "$nin"})


class FilterError(ValueError):
    """The filter cannot be read; the message says where."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """One field compared with a value; `value` is a list for $in and $nin."""

    field: str
    operator: str
    value: Any


@dataclass(frozen=True, slots=True)
class AllOf:
    """Every term holds; without terms it holds always."""

    terms: tuple["Filter", ...]


@dataclass(frozen=True, slots=True)
class AnyOf:
    """At least one term holds."""

    terms: tuple["Filter", ...]


@dataclass(frozen=True, slots=True)
class Negation:
    """The term does not hold."""

    term: "Filter"


Filter = Comparison | AllOf | AnyOf | Negation

_BRACKETS = re.compile(r"filter((?:\[[^\[\]]+\])+)")


def parse_query(parameters: Iterable[tuple[str, str]]) -> Filter | None:
    """Read the filter from a request's query parameters, whatever its spelling. Raises FilterError."""
    terms: list[Filter] = []
    for name, value in parameters:
        if name == "filter":
            if value.strip():
                terms.append(parse_json(value) if value.lstrip().startswith("{") else parse_text(value))
        elif name.startswith("filter["):
            match = _BRACKETS.fullmatch(name)
            if match is None:
                raise FilterError(f"{name}: write filter[field] or filter[field][$operator]")
            terms.append(_from_brackets(match.group(1)[1:-1].split("]["), value))
    if not terms:
        return None
    whole = terms[0] if len(terms) == 1 else AllOf(tuple(terms))
    if _weight(whole) > MAX_TERMS:
        raise FilterError(f"more than {MAX_TERMS} values to compare with")
    return whole


def _weight(tree: Filter) -> int:
    match tree:
        case Comparison(value=list(values)):
            return max(1, len(values))
        case AllOf(terms) | AnyOf(terms):
            return sum(_weight(term) for term in terms)
        case Negation(term):
            return _weight(term)
        case _:
            return 1


def _from_brackets(path: list[str], value: str) -> Filter:
    if path[-1] in _OPERATORS and len(path) > 1:
        operator, fields = path[-1], path[:-1]
    else:
        operator, fields = "$eq", path
    if any(part.startswith("$") for part in fields):
        raise FilterError(f"{'.'.join(path)}: unknown operator; known are {', '.join(sorted(_OPERATORS))}")
    operand: Any = [part.strip() for part in value.split(",")] if operator in {"$in", "$nin"} else value
    return Comparison(".".join(fields), operator, operand)


def parse_json(text: str) -> Filter:
    """Read the JSON spelling. Raises FilterError."""
    try:
        tree = json.loads(text)
        check_json(tree)
    except (ValueError, RecursionError) as error:
        raise FilterError(f"not valid JSON: {error}") from None
    return _from_object(tree, 0)


def _from_object(tree: Any, depth: int) -> Filter:
    _check_depth(depth)
    if not isinstance(tree, dict):
        raise FilterError("an object is expected")
    terms: list[Filter] = []
    for name, value in tree.items():
        if name in {"$and", "$or"}:
            if not isinstance(value, list) or not value:
                raise FilterError(f"{name} takes a list of objects")
            parts = tuple(_from_object(item, depth + 1) for item in value)
            terms.append(AllOf(parts) if name == "$and" else AnyOf(parts))
        elif name == "$not":
            terms.append(Negation(_from_object(value, depth + 1)))
        elif name.startswith("$"):
            raise FilterError(f"unknown operator {name}")
        else:
            terms.extend(_of_field(name, value, depth))
    return terms[0] if len(terms) == 1 else AllOf(tuple(terms))


def _check_depth(depth: int) -> None:
    if depth > MAX_DEPTH:
        raise FilterError(f"nested deeper than {MAX_DEPTH} levels")


def _of_field(field: str, value: Any, depth: int) -> list[Filter]:
    _check_depth(depth)
    if not isinstance(value, dict):
        return [_comparison(field, "$eq", value)]
    terms: list[Filter] = []
    for operator, operand in value.items():
        if operator == "$not":
            inner = _of_field(field, operand, depth + 1)
            terms.append(Negation(AllOf(tuple(inner))))
        elif operator in _OPERATORS:
            terms.append(_comparison(field, operator, operand))
        else:
            raise FilterError(f"unknown operator {operator}; known are {', '.join(sorted(_OPERATORS))}")
    return terms


def _comparison(field: str, operator: str, value: Any) -> Comparison:
    if operator in {"$in", "$nin"}:
        if not isinstance(value, list) or any(not _scalar(item) for item in value):
            raise FilterError(f"{operator} takes a list of plain values")
    elif not _scalar(value):
        raise FilterError(f"{operator} takes a plain value")
    return Comparison(field, operator, value)


def _scalar(value: Any) -> bool:
    return value is None or isinstance(value, str | int | float | bool)


_TOKEN = re.compile(
    r"""\s*(?:
        (?P<paren>[()])
      | (?P<word>AND|OR|NOT)(?![\w.])
      | (?P<field>[A-Za-z_][\w.]*)\s*(?P<operator>!=|<=|>=|[:=~<>])\s*(?P<value>"(?:[^"\\]|\\.)*"|[^\s()"]+)
    )""",
    re.VERBOSE,
)
_TEXT_OPERATORS = {":": "$eq", "=": "$eq", "~": "$like", "<": "$lt", "<=": "$lte", ">": "$gt", ">=": "$gte"}


def parse_text(text: str) -> Filter:
    """Read the text spelling; AND binds closer than OR. Raises FilterError."""
    return _TextParser(text).parse()


class _TextParser:
    def __init__(self, text: str) -> None:
        self._tokens: list[re.Match[str]] = []
        position = 0
        text = text.rstrip()
        while position < len(text):
            match = _TOKEN.match(text, position)
            if match is None:
                raise FilterError(
                    f'cannot read {text[position : position + 30]!r}; write name~"abc" AND status:"READY"'
                )
            self._tokens.append(match)
            position = match.end()
            if len(self._tokens) > MAX_TERMS * 4:
                raise FilterError("too large")
        self._next = 0

    def parse(self) -> Filter:
        result = self._any_of(0)
        if self._next < len(self._tokens):
            raise FilterError(f"unexpected {self._tokens[self._next].group(0).strip()!r}")
        return result

    def _peek(self, group: str) -> str | None:
        return self._tokens[self._next].group(group) if self._next < len(self._tokens) else None

    def _any_of(self, depth: int) -> Filter:
        terms = [self._all_of(depth)]
        while self._peek("word") == "OR":
            self._next += 1
            terms.append(self._all_of(depth))
        return terms[0] if len(terms) == 1 else AnyOf(tuple(terms))

    def _all_of(self, depth: int) -> Filter:
        terms = [self._term(depth)]
        while self._peek("word") == "AND":
            self._next += 1
            terms.append(self._term(depth))
        return terms[0] if len(terms) == 1 else AllOf(tuple(terms))

    def _term(self, depth: int) -> Filter:
        _check_depth(depth)
        if self._peek("word") == "NOT":
            self._next += 1
            return Negation(self._term(depth + 1))
        if self._peek("paren") == "(":
            self._next += 1
            inner = self._any_of(depth + 1)
            if self._peek("paren") != ")":
                raise FilterError("a closing parenthesis is missing")
            self._next += 1
            return inner
        field = self._peek("field")
        if field is None:
            raise FilterError('a comparison such as status:"READY" is expected')
        token = self._tokens[self._next]
        self._next += 1
        raw = token.group("value")
        value = re.sub(r"\\(.)", r"\1", raw[1:-1]) if raw.startswith('"') else raw
        if token.group("operator") == "!=":
            return Negation(Comparison(field, "$eq", value))
        return Comparison(field, _TEXT_OPERATORS[token.group("operator")], value)
