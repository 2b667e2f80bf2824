"""Work over all cores: the results are those of a plain loop, whatever thread they came from."""

import threading

import pytest

from skyops_p2p.errors import RemoteProtocolError
from skyops_p2p.limits import AUDIT_THREADS_MAX
from skyops_p2p.node.spreading import over_all_cores


@pytest.mark.parametrize("count", [0, 1, 63, 64, 127, 128, 129, 10_000])
def test_results_come_in_the_order_of_the_items(count: int) -> None:
    assert list(over_all_cores(lambda item: -item, range(count))) == [-item for item in range(count)]


def test_error_of_the_first_item_that_fails_comes_out() -> None:
    def refuse(item: int) -> int:
        if item % 100 == 99:
            raise RemoteProtocolError(f"item {item}", code="malformed")
        return item

    with pytest.raises(RemoteProtocolError, match="item 99"):
        over_all_cores(refuse, range(10_000))


def test_few_items_need_no_thread_and_many_are_bounded() -> None:
    def thread_of(_item: int) -> int:
        return threading.get_ident()

    assert set(over_all_cores(thread_of, range(100))) == {threading.get_ident()}
    assert len(set(over_all_cores(thread_of, range(100_000)))) <= AUDIT_THREADS_MAX


def test_threads_work_at_the_same_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.cpu_count", lambda: 2)
    both = threading.Barrier(2, timeout=30)

    def meet(item: int) -> int:
        return both.wait() if item in (0, 64) else 0  # the first of either slice waits for the other

    assert sorted(over_all_cores(meet, range(128)))[-1] == 1
