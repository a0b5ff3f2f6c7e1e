from modelport_cli.stack.restart import ATTEMPTS_BEFORE_READY, CAP_S, STABLE_S, History


def test_the_first_failure_is_mended_at_once_and_the_next_ones_wait_longer_and_longer() -> None:
    history = History().ready()
    delays = []
    for _ in range(12):
        history = history.ended(ready_for_s=0.1)
        delays.append(history.delay_s)
    assert delays[:4] == [0.0, 0.25, 0.5, 1.0]
    assert delays == sorted(delays)
    assert delays[-1] == CAP_S


def test_a_part_that_was_stable_is_started_again_at_once() -> None:
    history = History().ready()
    for _ in range(5):
        history = history.ended(ready_for_s=0.0)
    assert history.ended(ready_for_s=STABLE_S).delay_s == 0.0


def test_only_a_part_that_never_worked_is_given_up() -> None:
    never = History()
    for attempt in range(1, ATTEMPTS_BEFORE_READY + 1):
        never = never.ended(0.0)
        assert never.hopeless == (attempt == ATTEMPTS_BEFORE_READY)
    once = History().ready()
    for _ in range(100):
        once = once.ended(0.0)
    assert not once.hopeless
    assert once.delay_s == CAP_S


def test_a_part_that_refuses_is_given_up_at_once_unless_it_has_worked_before() -> None:
    assert History().ended(0.0, "the database is damaged").hopeless
    assert not History().ready().ended(0.0, "the database is damaged").hopeless
    assert not History().ended(0.0, None).hopeless
