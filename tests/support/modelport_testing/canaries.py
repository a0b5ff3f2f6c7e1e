"""Secrets that can be told from anything else, and the search for them in what the tests leave behind.

Every secret that a test gives to a part of ours holds the run's marker. Whoever ends a server, a stack or a provider
looks for the marker in what is left of it; what all processes of a run have found and searched comes together in one
folder, which tests/conftest.py reads when everything is over (CONTRIBUTING.md, Canaries).
"""

import base64
import json
import logging
import os
import re
import secrets
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

MARKER_VARIABLE = "MODELPORT_CANARIES"
FOLDER_VARIABLE = "MODELPORT_CANARIES_FOLDER"
_CHUNK = 8 * 2**20
_CONTEXT = 24


class Kind(StrEnum):
    """Whose secret a canary is. Hexadecimal digits, so that it can stand in a token that has no others."""

    PROVIDER = "a0"
    """A provider's key: in the credential of a request to that provider, and nowhere else."""
    SERVICE = "b0"
    """A token of a service of ours: in a header of a request to another one of ours, and nowhere else."""
    CLIENT = "c0"
    """What a client shows to the gateway; it goes nowhere."""
    PASSWORD = "d0"
    """A password of a server."""


class Place(StrEnum):
    """What is searched. A whole run must have searched each of them."""

    LOG = "logs"
    RECORD = "log records of the tests' own process"
    ACCESS_LOG = "access logs"
    CONSOLE = "consoles"
    JETSTREAM = "JetStream files"
    VALKEY = "Valkey keys"
    SQLITE = "SQLite files"
    POSTGRESQL = "PostgreSQL databases"
    RECORDING = "requests to providers"
    ANSWER = "error answers"
    FILE = "other files"


def spellings(secret: str) -> list[bytes]:
    """Return the forms in which a secret, or a marker of many, may have been written down."""
    raw = secret.encode()
    shifted = (base64.b64encode(b"\0" * shift + raw)[4 if shift else 0 :] for shift in range(3))
    forms = [
        raw,
        raw.upper(),
        raw.hex().encode(),
        raw.hex().upper().encode(),
        # Of base64 what does not depend on the neighbours, for each place within the three bytes of a group.
        *(form[: len(form) // 4 * 4 - 4] for form in shifted),
        secret.encode("utf-16-le"),
        secret.encode("utf-16-be"),
        "".join(f"\\u{ord(one):04x}" for one in secret).encode(),
        "".join(f"%{ord(one):02x}" for one in secret).encode(),
    ]
    if re.fullmatch("(?:[0-9a-f]{2}){8,}", secret):
        forms.append(bytes.fromhex(secret))
    return list(dict.fromkeys(forms))


@dataclass
class Hunt:
    """The search of one run, as far as this process does it. Without a folder nothing is searched."""

    marker: str
    folder: Path | None = None
    searched: "Counter[str]" = field(default_factory=Counter)
    """How much, by place: things, and their bytes under `<place> bytes`."""

    def __post_init__(self) -> None:
        self._spellings = spellings(self.marker)
        self._seconds = 0.0
        self._provider_keys = re.compile(rb"%b%b[0-9a-f]+" % (self.marker.encode(), Kind.PROVIDER.encode()))

    def canary(self, kind: Kind, prefix: str = "") -> str:
        """Make a secret: `prefix`, then hexadecimal digits, 64 of them."""
        self.searched["given"] += 1
        return f"{prefix}{self.marker}{kind}{secrets.token_hex(23)}"

    def content(self, place: Place, where: str, data: bytes) -> None:
        """Search one piece of data, say of a server's memory."""
        if self.folder is None:
            return
        self.searched[place] += 1
        self.searched[_bytes(place)] += len(data)
        self._look(place, where, data)

    def files(self, root: Path, without: Iterable[str] = ("keys",)) -> None:
        """Search a file, or all in a folder, but for what is in folders of the names `without`."""
        if self.folder is None or not root.exists():
            return
        skipped = set(without)
        paths = [root] if root.is_file() else [Path(at) / name for at, _, names in os.walk(root) for name in names]
        for path in sorted(paths):
            # A configuration file with a password in it is where that password is kept.
            if skipped.intersection(path.relative_to(root).parts) or path.suffix == ".conf" or not path.is_file():
                continue
            place = _place_of(path)
            self.searched[place] += 1
            before = b""
            with path.open("rb") as file:
                while chunk := file.read(_CHUNK):
                    self.searched[_bytes(place)] += len(chunk)
                    self._look(place, str(path), before + chunk)
                    before = chunk[-256:]

    def recording(self, where: str, head: bytes, body: bytes, keys: Iterable[str] | None = None) -> None:
        """Search a request to a provider, whose own keys may be in its headers: `keys`, or those of any provider.

        A service of ours is one that is asked for something under /apis/; it may be shown a service's token.
        """
        if self.folder is None:
            return
        self.searched[Place.RECORDING] += 1
        self.searched[_bytes(Place.RECORDING)] += len(head) + len(body)
        if self.marker.encode() in head:
            first, *lines = head.split(b"\r\n")
            is_ours = b" /apis/" in first
            head = b"\r\n".join([first, *(self._without_own(line, keys, is_ours) for line in lines)])
        self._look(Place.RECORDING, where, head)
        self._look(Place.RECORDING, where, body)

    def _without_own(self, line: bytes, keys: Iterable[str] | None, is_ours: bool) -> bytes:
        if is_ours and line.lower().startswith(b"x-modelport-service-token:"):
            return b""
        if keys is None:
            return self._provider_keys.sub(b"", line)
        for key in keys:
            line = line.replace(key.encode(), b"")
        return line

    def _look(self, place: Place, where: str, data: bytes) -> None:
        started = time.process_time()
        for form in self._spellings:
            at = data.find(form)
            if at >= 0:
                around = data[max(0, at - _CONTEXT) : at + len(form) + _CONTEXT].decode("latin-1")
                self._found({"place": place, "where": where, "around": around, "test": current_test()})
                break
        self._seconds += time.process_time() - started

    def _found(self, finding: dict[str, str]) -> None:
        assert self.folder is not None
        with (self.folder / "found.jsonl").open("a") as file:
            file.write(json.dumps(finding) + "\n")

    def write_down(self) -> None:
        """Leave how much was searched for who reads the folder."""
        if self.folder is not None:
            (self.folder / f"searched-{os.getpid()}.json").write_text(
                json.dumps({**self.searched, "seconds": self._seconds})
            )


def _place_of(path: Path) -> Place:
    name = path.name
    if "jetstream" in path.parts or ("nats" in path.parts and not name.endswith(".log")):
        return Place.JETSTREAM
    if ".db" in name:
        return Place.SQLITE
    if "access" in name:
        return Place.ACCESS_LOG
    if ".log" in name:
        return Place.LOG
    return Place.CONSOLE if name == "console.txt" else Place.FILE


def current_test() -> str:
    """Return the test that runs now, as pytest tells it to whoever asks."""
    return os.environ.get("PYTEST_CURRENT_TEST", "")


_folder = os.environ.get(FOLDER_VARIABLE)
_hunt = Hunt(
    os.environ.setdefault(MARKER_VARIABLE, secrets.token_hex(8)), Path(_folder) if _folder is not None else None
)


def hunt() -> Hunt:
    """Return the search that is on: the run's, or within `control` another."""
    return _hunt


def canary(kind: Kind, prefix: str = "") -> str:
    """Make a secret of the run."""
    return _hunt.canary(kind, prefix)


@contextmanager
def control(folder: Path) -> Iterator[Hunt]:
    """Search for another marker meanwhile: what is planted to be found is no finding of the run."""
    global _hunt
    folder.mkdir(parents=True, exist_ok=True)
    former, _hunt = _hunt, Hunt(secrets.token_hex(8), folder)
    try:
        yield _hunt
    finally:
        _hunt = former


class RecordSearch(logging.Handler):
    """Searches what is logged in the tests' own process, where nothing redacts it."""

    def emit(self, record: logging.LogRecord) -> None:
        try:
            _hunt.content(Place.RECORD, record.name, self.format(record).encode("utf-8", "replace"))
        except (TypeError, ValueError):
            return  # a record that cannot be made says nothing


@dataclass
class Outcome:
    """What all processes of a run have searched and found."""

    searched: Counter[str]
    found: list[dict[str, str]]
    whole: bool
    """Whether it was the whole suite, which leaves something in each place."""

    @classmethod
    def read(cls, folder: Path, *, whole: bool) -> "Outcome":
        searched: Counter[str] = Counter()
        for path in folder.glob("searched-*.json"):
            searched.update(json.loads(path.read_text()))
        file = folder / "found.jsonl"
        lines = dict.fromkeys(file.read_text().splitlines()) if file.exists() else {}
        return cls(searched, [json.loads(line) for line in lines], whole)

    @property
    def unsearched(self) -> list[str]:
        """The places that a whole run should have searched, and did not."""
        return [place for place in Place if self.whole and place is not Place.FILE and not self.searched[_bytes(place)]]

    @property
    def is_bad(self) -> bool:
        return bool(self.found or self.unsearched)

    def lines(self) -> list[str]:
        """Say it."""
        said = [
            f"{place}: {self.searched[place]} searched, {self.searched[_bytes(place)] / 2**20:.1f} MiB"
            for place in Place
            if self.searched[place]
        ]
        said.append(f"for {self.searched['given']} canaries, in {self.searched['seconds']:.1f} s of processor time")
        said += [f"FOUND in {one['place']}: {one['where']}: {one['around']!r} ({one['test']})" for one in self.found]
        if self.unsearched:
            said.append(f"TOO LITTLE: nothing was searched of {', '.join(self.unsearched)}")
        return said


def _bytes(place: Place) -> str:
    return f"{place} bytes"
