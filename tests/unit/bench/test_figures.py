import os

import pytest

from modelport_bench.figures import difference, percentile, ratio, slope, worst_of_the_middle
from modelport_bench.proc import cpu_seconds, kibibytes
from modelport_bench.scaling import steps


@pytest.mark.parametrize(("share", "expected"), [(0.5, 50), (0.99, 99), (0.991, 100), (1, 100), (0, 1)])
def test_percentile_is_the_nearest_rank(share: float, expected: int) -> None:
    assert percentile(range(100, 0, -1), share) == expected


def test_percentile_of_one_value() -> None:
    assert percentile([7.0], 0.99) == 7.0


@pytest.mark.parametrize(("values", "expected"), [([5, 1, 9, 3, 2], 5), ([4, 1, 2], 2), ([1, 2], 2), ([3], 3)])
def test_worst_of_the_middle_leaves_out_one_at_each_end(values: list[float], expected: float) -> None:
    assert worst_of_the_middle(values) == expected


def test_rounds_are_compared_with_their_neighbours() -> None:
    # The third round was slow for both: no ratio shows it.
    assert ratio([10, 10, 1], [20, 20, 2]) == 0.5
    assert difference([30, 31, 90], [10, 11, 70]) == 20


def test_rounds_that_have_no_neighbour_are_refused() -> None:
    with pytest.raises(ValueError, match="zip"):
        ratio([1, 2], [1])


def test_slope() -> None:
    assert slope([10, 10.5, 11, 11.5]) == pytest.approx(0.5)
    assert slope([3, 3, 3]) == 0
    assert slope([3]) == 0


def test_processor_time_is_read_past_any_program_name() -> None:
    fields = " ".join(str(number) for number in range(4, 53))

    assert cpu_seconds(f"1234 (a) b (c)) S {fields}\n") == pytest.approx((14 + 15) / os.sysconf("SC_CLK_TCK"))


def test_memory_is_read_by_name() -> None:
    status = "Name:\tpython\nVmHWM:\t   81920 kB\nVmRSS:\t   40960 kB\n"

    assert kibibytes(status, "VmRSS") == 40_960
    assert kibibytes(status, "VmHWM") == 81_920
    with pytest.raises(KeyError, match="VmSwap"):
        kibibytes(status, "VmSwap")


@pytest.mark.parametrize(("most", "expected"), [(1, [1]), (2, [1, 2]), (6, [1, 2, 4, 6]), (8, [1, 2, 4, 8])])
def test_gateways_double(most: int, expected: list[int]) -> None:
    assert steps(most) == expected
