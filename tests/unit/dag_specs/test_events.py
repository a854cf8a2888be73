"""Events as HTCondor 23.9 wrote them, read."""

import time
from datetime import UTC, datetime

import pytest

from dag_specs.events import EventKind, JobEvent, parse_event


def _event(text: str) -> JobEvent:
    event = parse_event(text.encode())
    assert event is not None
    return event


def test_submitted_by_dagman() -> None:
    """A node's submission names the node."""
    event = _event(
        "000 (003.000.000) 2026-11-22 15:24:47 Job submitted from host: <127.0.0.1:5?x>\n    DAG Node: pre-1"
    )
    assert (event.kind, event.cluster, event.proc, event.node) == (EventKind.SUBMITTED, 3, 0, "pre-1")
    assert event.time == datetime(2026, 11, 22, 15, 24, 47).timestamp()  # noqa: DTZ001 - the log tells local time


@pytest.mark.parametrize(
    ("text", "host"),
    [
        (
            "<10.0.0.1:9618?addrs=x&alias=node1.example.org&noUDP>\n\tSlotName: slot1_2@node1.example.org\n",
            "slot1_2@node1.example.org",
        ),
        ("<10.0.0.1:9618?addrs=x&alias=node1.example.org&noUDP>", "node1.example.org"),
        ("<10.0.0.1:9618>", "10.0.0.1:9618"),
        ("somewhere", ""),
    ],
)
def test_executing_tells_the_host(text: str, host: str) -> None:
    """The slot where it is told, else the machine's name, else its address."""
    event = _event(f"001 (12.7.000) 2026-11-22 15:24:47 Job executing on host: {text}")
    assert (event.kind, event.cluster, event.proc, event.host) == (EventKind.EXECUTING, 12, 7, host)


TERMINATED = """\
005 (037.002.000) 2026-11-22 15:24:47 Job terminated.
\t(1) Normal termination (return value 3)
\t\tUsr 0 00:00:00, Sys 0 00:00:00  -  Run Remote Usage
\t0  -  Run Bytes Sent By Job
\tPartitionable Resources :    Usage  Request Allocated
\t   Cpus                 :                 1         1
\t   Memory (MB)          :       88       10     10847

\tJob terminated of its own accord at 2026-11-22T15:44:31Z with exit-code 3."""


def test_terminated_normally() -> None:
    """The exit code and the memory used are told."""
    event = _event(TERMINATED)
    assert (event.kind, event.exit_code, event.exit_signal, event.memory_mb) == (EventKind.TERMINATED, 3, None, 88)


def test_memory_that_was_not_measured() -> None:
    """A row without a usage does not pass its request for one."""
    assert _event(TERMINATED.replace("       88       10", "                10")).memory_mb is None


def test_terminated_by_a_signal() -> None:
    """A signal is no exit code."""
    event = _event("005 (1.0.0) 2026-11-22 15:24:47 Job terminated.\n\t(0) Abnormal termination (signal 9)")
    assert (event.exit_code, event.exit_signal) == (None, 9)


def test_held() -> None:
    """Code, subcode and reason of a hold are told."""
    event = _event(
        "012 (1.0.0) 2026-11-22 15:24:47 Job was held.\n"
        "\tTransfer input files failure at execution point: reading from file /x: (errno 2) No such file\n"
        "\tCode 13 Subcode 2"
    )
    assert (event.kind, event.hold_code, event.hold_subcode) == (EventKind.HELD, 13, 2)
    assert event.reason.startswith("Transfer input files failure")


@pytest.mark.parametrize(
    ("number", "body", "kind", "reason"),
    [
        ("004", "\t(0) CPU times\n\t\tUsr 0 00:00:00, Sys 0 00:00:00  -  Run Remote Usage", EventKind.EVICTED, ""),
        (
            "007",
            "\tError from slot1@node1: lost it\n\t0  -  Run Bytes Sent",
            EventKind.SHADOW_EXCEPTION,
            "Error from slot1@node1: lost it",
        ),
        ("009", "\tnot needed (by user loans)", EventKind.ABORTED, "not needed (by user loans)"),
        ("013", "\tgo on (by user loans)", EventKind.RELEASED, "go on (by user loans)"),
        (
            "022",
            "    Socket between submit and execute hosts closed\n    Trying",
            EventKind.DISCONNECTED,
            "Socket between submit and execute hosts closed",
        ),
        ("023", "    startd name: slot1@node1", EventKind.RECONNECTED, ""),
        ("024", "    Job disconnected too long\n    Can not", EventKind.RECONNECT_FAILED, "Job disconnected too long"),
        ("028", "", EventKind.OTHER, ""),
        ("036", "", EventKind.CLUSTER_REMOVED, ""),
    ],
)
def test_other_kinds(number: str, body: str, kind: EventKind, reason: str) -> None:
    """Every kind that the product acts on is known, with its reason where it has one; others pass."""
    event = _event(f"{number} (1.0.0) 2026-11-22 15:24:47 Something.\n{body}")
    assert (event.kind, event.number, event.reason) == (kind, int(number), reason)


def test_image_size_tells_memory() -> None:
    """The memory used so far is told in MB."""
    event = _event(
        "006 (1.0.0) 2026-11-22 15:24:47 Image size of job updated: 2592\n"
        "\t8  -  MemoryUsage of job (MB)\n\t7184  -  ResidentSetSize of job (KB)"
    )
    assert (event.kind, event.memory_mb) == (EventKind.IMAGE_SIZE, 8)


def test_event_of_a_cluster_has_no_job() -> None:
    """An event of a whole cluster tells proc -1."""
    assert _event("035 (12.-1.-1) 2026-11-22 15:24:47 Cluster submitted from host: <x>").proc == -1


@pytest.mark.parametrize(
    ("written", "when"),
    [
        ("2026-11-22 15:24:47.125Z", datetime(2026, 11, 22, 15, 24, 47, 125_000, UTC)),
        ("2026-11-22T15:24:47Z", datetime(2026, 11, 22, 15, 24, 47, 0, UTC)),
        ("11/22/26 15:24:47Z", datetime(2026, 11, 22, 15, 24, 47, 0, UTC)),
    ],
)
def test_times_of_other_formats(written: str, when: datetime) -> None:
    """Finer and universal times are read where a pool is set up to log them."""
    assert _event(f"009 (1.0.0) {written} Job was aborted.").time == when.timestamp()


def test_time_without_a_year_is_not_in_the_future() -> None:
    """The older format leaves out the year: it is this year's, or last year's."""
    tomorrow = time.localtime(time.time() + 3 * 86_400)
    event = _event(f"009 (1.0.0) {time.strftime('%m/%d %H:%M:%S', tomorrow)} Job was aborted.")
    assert event.time < time.time()
    yesterday = time.localtime(time.time() - 86_400)
    event = _event(f"009 (1.0.0) {time.strftime('%m/%d %H:%M:%S', yesterday)} Job was aborted.")
    assert event.time == pytest.approx(time.time() - 86_400, abs=2)


@pytest.mark.parametrize(
    "text", ["", "garbage", "005 (1.0.0) 2026-13-45 99:99:99 Job terminated.", "<c><a n='MyType'/></c>", '{"A": 1}']
)
def test_what_is_no_event(text: str) -> None:
    """Anything else is no event, and no error either."""
    assert parse_event(text.encode()) is None
