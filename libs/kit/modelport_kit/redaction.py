"""What is taken out of everything that is logged: secrets by the name of their field, by their shape, by their value.

Pure but for `held`, which knows the values that this process has in memory now, by digest only. Nothing here raises.
"""

import functools
import re
import weakref
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple
from urllib.parse import unquote

from structlog.typing import EventDict, WrappedLogger

REDACTED: Final = "[redacted]"
_MAX_DEPTH: Final = 12
_SHORTEST_RUN: Final = 12
"""Shorter parts of a value are no secret that could be told from an ordinary word."""

_NAME_WORDS: Final = (
    r"authorization|api[-_]?key|apikey|subscription[-_]?key|access[-_]?key|secret[-_]?key|private[-_]?key|data[-_]?key"
    r"|client[-_]?secret|secret|token|password|passwd|passphrase|credentials?|cookie|signature|auth"
)
_SECRET_NAME: Final = re.compile(rf"(?:{_NAME_WORDS}|kek)$", re.IGNORECASE)
"""How names end whose values are secrets; that of a secret's name (`secret_name`), file or version does not."""

_Replace = str | Callable[[re.Match[str]], str]


class _Rule(NamedTuple):
    hints: list[str]
    """One of them is in every text that the rule matches, in lower case."""
    lowered: re.Pattern[str] | None
    """Whether it matches where case does not matter: ten times as fast as to search without regard to case."""
    pattern: re.Pattern[str]
    replace: _Replace

    def apply(self, text: str, lowered: str) -> str:
        if not any(hint in lowered for hint in self.hints):
            return text
        if self.lowered is not None and self.lowered.search(lowered) is None:
            return text
        return self.pattern.sub(self.replace, text)


def _rule(hints: str, pattern: str, replace: _Replace = REDACTED, flags: re.RegexFlag = re.NOFLAG) -> _Rule:
    lowered = re.compile(pattern, flags & ~re.IGNORECASE) if flags & re.IGNORECASE else None
    return _Rule(hints.split(), lowered, re.compile(pattern, flags), replace)


_KEEP_NAME: Final = rf"\g<name>{REDACTED}"
_KEEP_QUOTES: Final = rf"\g<name>\g<quote>{REDACTED}\g<quote>"
_RULES: Final = (
    # A private key in PEM, whole or cut off; in a representation its line ends are two characters each.
    _rule(
        "private key-----",
        r"-----BEGIN (?:[A-Z0-9]+ )*PRIVATE KEY-----.*?(?:-----END (?:[A-Z0-9]+ )*PRIVATE KEY-----|\Z)",
        flags=re.DOTALL,
    ),
    # The user information of an address: a password may hold any character, NATS takes a token as a user name alone.
    _rule(
        "://",
        r"(?P<name>://)(?:[^\s/?#\"'<>:]{0,99}:(?!\d*[/?#])[^\s\"'<>,]{0,199}|[^\s/?#\"'<>@]{1,199})@",
        rf"{_KEEP_NAME}@",
    ),
    # A scheme and its credential. The words that prose has after it are no credentials.
    _rule(
        "bearer",
        r"(?P<name>\bbearer[ \t]+(?!(?:tokens?|auth\w*|scheme|credentials?)\b))[A-Za-z0-9._~+/=-]+",
        _KEEP_NAME,
        re.IGNORECASE,
    ),
    _rule("basic ", r"(?P<name>\b[Bb]asic[ \t]+)(?=[a-z]*[A-Z0-9+/=])[A-Za-z0-9+/]{4,}=*", _KEEP_NAME),
    # a header as a pair of strings, which is how libraries have them
    _rule(
        "authorization -key cookie -token",
        r"(?P<name>(?:authorization|-key|cookie|-token)[\"'],\s{0,4}b?)(?P<quote>[\"'])(?!\[redacted\])"
        r"(?:(?!(?P=quote))(?:\\.|[^\\]))*+(?P=quote)?",
        _KEEP_QUOTES,
        re.IGNORECASE | re.DOTALL,
    ),
    # name="value", 'name': 'value', \"name\": \"value\"
    _rule(
        "key secret token passw passphrase credential cookie signature auth",
        rf"(?P<name>(?:{_NAME_WORDS})\\*[\"']?\s{{0,4}}[:=]\s{{0,4}}b?)(?P<quote>\\*[\"'])(?!\[redacted\])"
        r"(?:(?!(?P=quote))(?:\\.|[^\\]))*+(?P=quote)?",
        _KEEP_QUOTES,
        re.IGNORECASE | re.DOTALL,
    ),
    # name=value, as in a query, a form or a command
    _rule(
        "key= secret= token= passwd= password= passphrase= credential cookie= signature= sig= auth",
        rf"(?P<name>(?:{_NAME_WORDS}|[?&](?:key|sig))=)(?!\[redacted\]|\\*[\"'])[^\s&;,\"'<>)\]}}]+",
        _KEEP_NAME,
        re.IGNORECASE,
    ),
    # a header's line, to its end; words that have another meaning in prose are not among the names
    _rule(
        "authorization: key: cookie:",
        r"(?P<name>(?:authorization|(?:api|subscription)-key|cookie):[ \t]*)"
        r"(?!\[redacted\])(?:(?:bearer|basic|token)[ \t]+(?!\[redacted\]))?(?:[^\s\"'\\,\[{][^\r\n\"'\\]*)",
        _KEEP_NAME,
        re.IGNORECASE,
    ),
    # keys as their makers form them: OpenAI, Anthropic and those who follow them; NVIDIA; Modelport's own
    _rule(
        "sk- nvapi- mp_ gsk_ xai- pplx- hf_ r8_ tgp_",
        r"(?<![A-Za-z0-9])(?:sk-|nvapi-|xai-|pplx-)[A-Za-z0-9_-]{6,}"
        r"|(?<![A-Za-z0-9])(?:mp_|gsk_|hf_|r8_|tgp_)[A-Za-z0-9_-]{16,}",
    ),
    # Google, AWS, GitHub, GitLab, Slack, HashiCorp Vault; a JSON web token
    _rule(
        "aiza ya29. akia asia gho_ ghp_ ghs_ ghu_ ghr_ github_pat_ glpat- xox hvs. hvb. eyj",
        r"(?<![A-Za-z0-9])(?:AIza[A-Za-z0-9_-]{30,}|ya29\.[A-Za-z0-9._-]{16,}|(?:AKIA|ASIA)[A-Z0-9]{16}\b"
        r"|gh[opsur]_[A-Za-z0-9]{20,}|github_pat_[A-Za-z0-9_]{20,}|glpat-[A-Za-z0-9_-]{16,}"
        r"|xox[abeoprs]-[A-Za-z0-9-]{10,}|hv[sb]\.[A-Za-z0-9_-]{20,}"
        r"|eyJ[A-Za-z0-9_-]{8,}\.eyJ[A-Za-z0-9_-]{8,}(?:\.[A-Za-z0-9_-]*)?)",
    ),
)
_HINTS: Final = sorted({hint for rule in _RULES for hint in rule.hints})
_GATE: Final = re.compile(
    "|".join(re.escape(hint) for hint in _HINTS if not any(other in hint for other in _HINTS if other != hint))
)
"""What any rule needs, in lower case; most text has nothing of it, and one look says so."""
_RUN: Final = re.compile(rf"[A-Za-z0-9_-]{{{_SHORTEST_RUN},}}")


class HeldValues:
    """The values that this process holds in clear, as digests of their runs of letters and digits.

    No value is kept here, and looking for them costs the same however many there are. The digest is Python's own of a
    string: keyed anew in each process, 64 bits.
    """

    def __init__(self) -> None:
        self._runs: Counter[int] = Counter()
        self._ends: dict[int, weakref.ref[Any]] = {}
        """By their own id: a reference is as equal and as hashable as what it refers to."""

    def __len__(self) -> int:
        return len(self._runs)

    def keep(self, value: str) -> None:
        """Redact a value for as long as the process runs: a token or password of its own."""
        self._runs.update(_digests(value))

    def keep_password(self, address: str) -> None:
        """Keep the password that an address, or each of several with commas between, may have in it."""
        for one in address.split(","):
            before, found, _ = one.partition("://")[2].rpartition("@")
            if found:
                for part in (before.partition(":")[2], before) if ":" in before else (before,):
                    self.keep(part)
                    self.keep(unquote(part))

    def hold(self, holder: object, value: str) -> None:
        """Redact a value for as long as the object that has it exists."""
        digests = _digests(value)
        if not digests:
            return
        self._runs.update(digests)

        def forget(end: "weakref.ref[Any]") -> None:
            del self._ends[id(end)]
            self._runs.subtract(digests)
            for digest in digests:
                if self._runs[digest] <= 0:
                    del self._runs[digest]

        end = weakref.ref(holder, forget)
        self._ends[id(end)] = end

    def redact(self, text: str) -> str:
        """Replace each run of a value that is held."""
        runs = self._runs
        if not runs:
            return text
        return _RUN.sub(lambda match: REDACTED if hash(match[0]) in runs else match[0], text)


def _digests(value: str) -> list[int]:
    return [hash(run) for run in _RUN.findall(value)]


_PLAIN: Final = dict.fromkeys(("level", "logger", "timestamp", "service"), True) | dict.fromkeys(
    ("event", "exception", "stack", "request_id", "method", "path", "status", "ms"), False
)
"""Names that are no secrets themselves; true where the value, too, is of our own making."""
held: Final = HeldValues()
"""This process's own."""


def redact_text(text: str, values: HeldValues = held) -> str:
    """Return `text` without what is a secret by its shape, by the name before it, or by its value."""
    lowered = text.lower()
    if _GATE.search(lowered) is not None:
        for rule in _RULES:
            text = rule.apply(text, lowered)
    return values.redact(text)


@functools.lru_cache(maxsize=1024)
def is_secret_name(name: str) -> bool:
    """Tell whether a field, header or variable of this name holds a secret."""
    return _SECRET_NAME.search(name) is not None


def redact(value: Any, name: str = "", values: HeldValues = held, depth: int = 0) -> Any:
    """Return what may be logged of a field's value, at any depth; what is no plain data becomes its representation."""
    if value is None or isinstance(value, bool):
        return value
    if name and is_secret_name(name):
        return REDACTED
    if isinstance(value, str):
        return redact_text(value, values)
    if isinstance(value, int | float):
        return value
    if depth < _MAX_DEPTH:
        if isinstance(value, Mapping):
            pairs = [(_text(key), inner) for key, inner in value.items()]
            return {redact_text(key, values): redact(inner, key, values, depth + 1) for key, inner in pairs}
        if isinstance(value, list | tuple | set | frozenset):
            items = list(value)
            # a header is often such a pair
            after = _text(items[0]) if len(items) == 2 and isinstance(items[0], str | bytes) else ""
            return [redact(inner, after if place else "", values, depth + 1) for place, inner in enumerate(items)]
    return redact_text(repr(value), values)


def _text(name: object) -> str:
    return name.decode("latin-1") if isinstance(name, bytes) else str(name)


def redact_event(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Redact a record, the last thing before it becomes a line (a processor of structlog)."""
    try:
        return {
            key if key in _PLAIN else redact_text(key): value if _PLAIN.get(key) else redact(value, key)
            for key, value in event.items()
        }
    except Exception as error:
        # a representation that fails, say: better a line that says little than none, or one that says too much
        known = {key: event[key] for key in ("level", "logger", "timestamp", "service") if key in event}
        return {**known, "event": f"a record could not be redacted and is left out: {type(error).__name__}"}
