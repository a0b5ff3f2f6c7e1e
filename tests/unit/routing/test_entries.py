"""How much the near cache keeps."""

from modelport_routing.entries import Entries, Entry, IndexEntry, Indexes


def entry(key: str, *, present: bool) -> Entry:
    return Entry(key, present=present, revision=1, seq=1, payload=b"" if present else None, verified=True)


def test_absent_entries_are_a_bounded_lru() -> None:
    entries = Entries(max_absent=3)
    for key in "abc":
        entries.put(entry(key, present=False))
    assert entries.find("a") is not None
    entries.put(entry("d", present=False))
    assert [key for key in "abcd" if entries.find(key) is not None] == ["a", "c", "d"]


def test_present_entries_have_a_bound_of_their_own() -> None:
    entries = Entries(max_present=2, max_absent=1)
    for key in "abc":
        entries.put(entry(key, present=True))
    for key in "xyz":
        entries.put(entry(key, present=False))
    assert sorted(kept.key for kept in entries) == ["b", "c", "z"]
    assert len(entries) == 3


def test_a_key_is_present_or_absent_never_both() -> None:
    entries = Entries()
    entries.put(entry("a", present=True))
    entries.put(entry("a", present=False))
    assert len(entries) == 1
    entries.put(entry("a", present=True))
    assert [kept.present for kept in entries] == [True]
    entries.drop("a")
    assert entries.find("a") is None


def test_doubt_takes_the_trust_not_the_entry() -> None:
    entries = Entries()
    for key, present in (("a", True), ("b", False)):
        entries.put(entry(key, present=present))
        entries.doubt(key)
    entries.doubt("unknown")
    assert [kept.verified for kept in entries] == [False, False]


def test_an_entry_shows_what_it_knows() -> None:
    assert repr(entry("provider/a/b", present=True)) == "<Entry provider/a/b present revision=1 seq=1 verified>"


def test_empty_indexes_are_a_bounded_lru_and_push_out_no_other() -> None:
    indexes = Indexes(max_filled=2, max_empty=3)
    indexes.put(IndexEntry("listing", {"m": "1"}))
    for name in "abc":
        indexes.put(IndexEntry(name, {}))
    assert indexes.find("a") is not None
    indexes.put(IndexEntry("d", {}))
    assert [name for name in "abcd" if indexes.find(name) is not None] == ["a", "c", "d"]
    assert indexes.find("listing") is not None
    for name in "xy":
        indexes.put(IndexEntry(name, {"m": "1"}))
    assert [kept.name for kept in indexes if kept.fields] == ["x", "y"]
    assert len(indexes) == 5


def test_an_index_is_filled_or_empty_never_both() -> None:
    indexes = Indexes()
    indexes.put(IndexEntry("a", {"m": "1"}))
    indexes.put(IndexEntry("a", {}))
    assert [kept.fields for kept in indexes] == [{}]
    indexes.put(IndexEntry("a", {"m": "1"}))
    indexes.put(IndexEntry("b", {}))
    for name in ("a", "b", "unknown"):
        indexes.doubt(name)
    assert [kept.verified for kept in indexes] == [False, False]
