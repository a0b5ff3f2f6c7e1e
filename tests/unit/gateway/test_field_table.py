from modelport_gateway.parse.fields import Field, FieldTable, classify


def test_a_name_is_classified_once() -> None:
    asked = []

    def classifier(name: bytes) -> int:
        asked.append(name)
        return classify(name)

    table = FieldTable(classifier)
    assert table.learn(b"Cookie") == Field.DROP
    assert table.known[b"Cookie"] == Field.DROP
    assert asked == [b"Cookie"]


def test_names_that_peers_choose_do_not_fill_the_memory() -> None:
    table = FieldTable(classify)
    for number in range(20_000):
        assert table.learn(b"x-%d" % number) == Field.KEEP
        assert table.learn(b"X-Forwarded-" + b"a" * 1000 + b"%d" % number) == Field.DROP
    assert sum(map(len, table.known)) < 4096 * 64
