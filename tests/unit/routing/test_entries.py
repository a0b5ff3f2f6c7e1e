"""How much the near cache keeps."""

from modelport_routing.entries import Entries, Entry


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
