"""Files that people of another machine drop, in every way that there is: each is published whole, and once."""

import threading
import time

import pytest

from tests.lab.estate import ROOT
from tests.lab.machines import Lab
from tests.lab.service import Service

INBOX = f"{ROOT}/inbox"

_WRITE = """\
import sys, time
name, how, pause = sys.argv[1], sys.argv[2], float(sys.argv[3])
rows = open("slow.csv").readlines()
if how == "append":
    for row in rows:
        with open(name, "a") as file:
            file.write(row)
        time.sleep(pause)
elif how == "hold":
    with open(name, "w") as file:
        for row in rows:
            file.write(row)
            file.flush()
            time.sleep(pause)
elif how == "stall":
    text = "".join(rows)
    with open(name, "w") as file:
        for part in (text[: len(text) // 2 + 7], text[len(text) // 2 + 7 :]):
            file.write(part)
            file.flush()
            time.sleep(pause)
"""

pytestmark = pytest.mark.timeout(1200)


def test_slow_writers(service: Service) -> None:
    """Whoever writes row by row, holding the file open or not, or stalls within a row, loses none of them."""
    service.generate("slow.csv", 100, 11)
    service.as_analyst(f"cat >write.py <<'E'\n{_WRITE}\nE")
    writers = {"append": 0.5, "hold": 0.5, "stall": 20.0}
    threads = [
        threading.Thread(
            target=service.as_analyst, args=(f"python3 write.py {INBOX}/{how}.csv {how} {pause}", 300), name=how
        )
        for how, pause in writers.items()
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    took = service.await_published([f"{how}.csv" for how in writers], 300)
    for how in writers:
        service.check_once(f"{how}.csv", 100)
    print(f"\nslow writers: published within {took:.0f} s of the last row")


def test_ways_to_drop_a_file(service: Service) -> None:
    """Renamed, with a sidecar and plainly copied files are published; how long each takes is printed."""
    service.generate("way.csv", 1000, 12)
    ways = {
        "sidecar": f"cp way.csv {INBOX}/sidecar.csv; touch {INBOX}/sidecar.csv.done",
        "renamed": f"cp way.csv {INBOX}/.renamed; sleep 3; mv {INBOX}/.renamed {INBOX}/renamed.csv",
        "copied": f"cp way.csv {INBOX}/copied.csv",
    }
    for way, script in ways.items():
        service.as_analyst(script)
        took = service.await_published([f"{way}.csv"], 200)
        service.check_once(f"{way}.csv", 1000)
        print(f"\n{way}: published {took:.0f} s after the drop")


def test_many_small_files(service: Service) -> None:
    """200 small files from another machine are published, each once."""
    service.generate("many.csv", 20, 13)
    service.as_analyst(
        f"for i in $(seq 200); do cp many.csv {INBOX}/.m$i; mv {INBOX}/.m$i {INBOX}/many-$i.csv; done", 200
    )
    names = [f"many-{number}.csv" for number in range(1, 201)]
    took = service.await_published(names, 400)
    found = [batch for batch in service.batches() if batch.name in set(names)]
    assert sorted(batch.name for batch in found) == sorted(names)
    assert {(batch.state, batch.scored) for batch in found} == {("done", 20)}
    print(f"\n200 small files: published within {took:.0f} s")


def test_a_file_that_may_not_be_read(lab: Lab, service: Service) -> None:
    """A file that only its owner may read is told in the log, holds up no other, and is taken once it may be read."""
    service.generate("secret.csv", 50, 14)
    service.as_analyst(f"chmod 600 secret.csv; cp -p secret.csv {INBOX}/")
    deadline = time.monotonic() + 90
    while "'secret.csv' in the inbox cannot be read" not in lab.on("n2", "journalctl -u loans-watch --no-pager"):
        assert time.monotonic() < deadline
        time.sleep(2)
    service.as_analyst(f"chmod 640 {INBOX}/secret.csv")
    service.await_published(["secret.csv"], 150)
    service.check_once("secret.csv", 50)
