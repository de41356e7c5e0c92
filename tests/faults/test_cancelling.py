"""Signals: handled at once, followed where stopping is safe, not handled by a library."""

import os
import signal
import threading

import pytest

from beam_batch_predict import cancellation
from beam_batch_predict.errors import Cancelled
from beam_batch_predict.status import Code


@pytest.fixture
def shown():
    """What the person who sends a signal gets to read, while signals are listened to."""
    lines = []
    with cancellation.on_signals(lines.append):
        yield lines
        cancellation._state.must_exit = False


def send(number=signal.SIGTERM):
    os.kill(os.getpid(), number)


def work_until_asked(number=signal.SIGTERM):
    send(number)
    while True:
        cancellation.check()


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 128 + 15), (signal.SIGINT, 128 + 2)])
def test_a_signal_stops_work_where_it_looks(number, code, shown):
    with pytest.raises(Cancelled) as caught:
        cancellation.call(lambda: work_until_asked(number))
    assert caught.value.status.code == Code.CANCELLED
    expected = f"cancelled by {number.name}; --resume continues from the finished chunks"
    assert caught.value.status.message == expected
    assert cancellation.exit_code() == code
    assert cancellation.end(code) == code
    assert len(shown) == 1


def test_handlers_are_put_back_and_nothing_is_left_to_obey():
    before = [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)]
    with cancellation.on_signals(), pytest.raises(Cancelled):
        cancellation.call(work_until_asked)
    assert [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)] == before
    assert cancellation.exit_code() is None
    cancellation.check()


def test_what_is_done_in_spite_of_a_signal_is_done(shown):
    assert cancellation.call(lambda: send() or "done") == "done"


def test_an_error_behind_a_signal_is_the_signals(shown):
    def work():
        send()
        raise OSError("pulled away")

    with pytest.raises(Cancelled) as caught:
        cancellation.call(work)
    assert isinstance(caught.value.__cause__, OSError)


def test_an_error_without_a_signal_is_itself(shown):
    with pytest.raises(ZeroDivisionError):
        cancellation.call(lambda: 1 // 0)
    assert shown == []


def test_work_does_not_begin_behind_a_signal(shown):
    send()
    begun = []
    with pytest.raises(Cancelled):
        cancellation.call(lambda: begun.append(1))
    assert begun == []


def test_work_that_does_not_look_is_must_exit(shown, monkeypatch):
    monkeypatch.setattr(cancellation, "SECONDS_TO_STOP", 0.01)
    stuck = threading.Event()
    with pytest.raises(Cancelled):
        cancellation.call(lambda: send() or stuck.wait())
    assert cancellation._state.must_exit
    stuck.set()


def test_all_callbacks_are_called(shown):
    told = []

    def work():
        with cancellation.stopping(lambda: 1 // 0), cancellation.stopping(lambda: told.append(1)):
            work_until_asked()

    with pytest.raises(Cancelled):
        cancellation.call(work)
    assert told == [1]


def test_work_elsewhere_is_not_waited_for_and_not_stopped(shown):
    told, end = [], threading.Event()

    def work():
        with cancellation.stopping(lambda: told.append(1)), cancellation.running_remotely():
            send()
            end.wait()

    with pytest.raises(cancellation.JobContinues, match="continues without this command"):
        cancellation.call(work)
    end.set()
    assert (told, shown) == ([], [])


def test_work_is_not_sent_elsewhere_behind_a_signal(shown):
    def work():
        send()
        while cancellation.received_signal() is None:
            pass
        with cancellation.running_remotely():
            pytest.fail("it was")

    with pytest.raises(Cancelled):
        cancellation.call(work)


def test_a_library_starts_no_thread_and_handles_no_signal():
    before = signal.getsignal(signal.SIGTERM)
    assert cancellation.call(threading.current_thread) is threading.main_thread()
    assert signal.getsignal(signal.SIGTERM) is before


def test_outside_of_the_main_thread_nothing_is_touched():
    found = []

    def elsewhere():
        with cancellation.on_signals():
            found.append(cancellation.call(threading.current_thread))

    thread = threading.Thread(target=elsewhere)
    thread.start()
    thread.join()
    assert found == [thread]


def test_a_signal_that_is_ignored_stays_ignored():
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with cancellation.on_signals():
            assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)
