"""The product as a site runs it: made by its own commands, watched by systemd, used by people of other machines."""

import shlex
import time
from collections.abc import Iterable

import msgspec

from tests.lab.estate import LOANS, NODE_PYTHON, ROOT
from tests.lab.machines import Lab, LabError, Ran, wait_for

SITE = "/etc/loans.toml"
UNIT = "loans-watch"

_HISTORY = 4000
"""Labelled loans that the model learns from."""
_RUN = int(time.time())
"""Makes what is dropped new in each run."""
_CHUNK = 1_450_000
"""Bytes of input per job: twelve jobs for a file of 300,000 loans, which a site left to itself scores as one."""

_MAKE_SITE = f"""
cd /
install -d -m 700 -o loans -g loans /var/lib/loans
runuser -u loans -- {LOANS} init {ROOT} --analysts lenders --site /var/lib/loans/new.toml --state /var/lib/loans/state
sed -i -e 's|^# condor_config = .*|condor_config = "host"|' -e 's|^# python = .*|python = "{NODE_PYTHON}"|' \\
    -e 's|^# candidates = .*|candidates = ["logistic", "tree"]|' \\
    -e 's|^# chunk_bytes = .*|chunk_bytes = {_CHUNK}|' /var/lib/loans/new.toml
install -m 644 /var/lib/loans/new.toml {SITE}
"""

_START = f"""
cp /host/deploy/loans-watch.service /etc/systemd/system/{UNIT}.service
systemctl daemon-reload
systemctl enable --now {UNIT}
"""


class Facts(msgspec.Struct):
    """What `loans status --json` tells of a batch, as far as the lab asks."""

    name: str
    """Of the file that was dropped."""
    state: str
    """Where it stands."""
    rows: int = 0
    """Records in the file."""
    scored: int = 0
    """Of these, with a prediction."""
    chunks_done: int = 0
    """Chunks whose part is there."""
    attempt: int = 0
    """How often jobs were submitted for it."""
    setbacks: int = 0
    """Of these, attempts that the storage kept from their end."""


class Service:
    """One site of the product on the machines of the lab: the daemon on n2, people on n3."""

    def __init__(self, lab: Lab) -> None:
        """Use a pool that is up."""
        self.lab = lab

    def make(self) -> None:
        """Make the shared tree and the site file as the account of the service."""
        self.lab.on("n2", _MAKE_SITE)

    def train(self) -> str:
        """Train on generated loans through the pool; give what the command printed."""
        history = f"{ROOT}/history/loans.csv"
        self.loans(f"generate {_HISTORY} --labelled -o {history}", site=False)
        return self.loans("retrain --promote force", patience=1500).out

    def start(self) -> None:
        """Start the daemon as the unit in deploy/ has it."""
        self.lab.on("n2", _START, patience=200)

    def loans(self, words: str, *, site: bool = True, patience: float = 120.0) -> Ran:
        """Run the command on the access point as the account of the service. Raises LabError when it fails."""
        ran = self.try_loans(words, site=site, patience=patience)
        if ran.code:
            raise LabError(f"loans {words}: exit code {ran.code}\n{ran.out}{ran.err}")
        return ran

    def try_loans(self, words: str, *, site: bool = True, patience: float = 120.0) -> Ran:
        """Run the command, whatever becomes of it."""
        where = f"LOANS_SITE={SITE} " if site else ""
        return self.lab.try_on("n2", f"cd /; runuser -u loans -- env {where}{LOANS} {words}", patience)

    def batches(self) -> list[Facts]:
        """Give every batch as `loans status` tells it."""
        return msgspec.json.decode(self.loans("status --json --count 10000").out, type=list[Facts])

    def batch_of(self, name: str) -> Facts:
        """Give the newest batch of a file; one in no state while there is none."""
        return next((batch for batch in self.batches() if batch.name == name), Facts(name=name, state=""))

    def generate(self, name: str, rows: int, seed: int) -> None:
        """Make loans that people will drop, on n3's own disk."""
        self.lab.on("n3", f"runuser -u analyst -- {LOANS} generate {rows} --seed {seed} -o /home/analyst/{name}")

    def as_analyst(self, script: str, patience: float = 120.0) -> str:
        """Run a shell script as a person on n3, another client of the storage than the daemon's machine."""
        return self.lab.on("n3", f"cd /home/analyst; runuser -u analyst -- bash -euc {shlex.quote(script)}", patience)

    def drop(self, name: str) -> None:
        """Drop a file with a sidecar, the way that needs no waiting."""
        self.as_analyst(f"cp {name} {ROOT}/inbox/{name}; touch {ROOT}/inbox/{name}.done")

    def await_published(self, names: Iterable[str], patience: float) -> float:
        """Wait until files are published or have failed; give how long it took (seconds)."""
        wanted = set(names)

        def ended() -> bool:
            states = {batch.name: batch.state for batch in reversed(self.batches())}
            return all(states.get(name) in ("done", "failed") for name in wanted)

        return wait_for(ended, f"the end of {', '.join(sorted(wanted)[:3])}", patience)

    def begin_large(self, stem: str, seed: int, rows: int = 300_000) -> str:
        """Drop a file of many chunks, come back when two of them are scored and more are at work; give its name.

        Name and content are new in each run: a lab that is up has not seen them, or would answer with what it has.
        """
        name = f"{stem}-{_RUN}.csv"
        self.generate(name, rows, _RUN + seed)
        self.drop(name)
        wait_for(lambda: self.batch_of(name).chunks_done >= 2, f"two chunks of {name}", 150, 0.3)
        return name

    def check_once(self, name: str, rows: int) -> Facts:
        """Prove that a file was published once, whole: its batch, its receipt, one row for each of its loans."""
        found = [batch for batch in self.batches() if batch.name == name]
        assert [(batch.state, batch.scored) for batch in found] == [("done", rows)], found
        self.loans(f"verify {name}", patience=300)
        stem = name.removesuffix(".csv")
        each = f"tail -n +2 {ROOT}/outbox/{stem}.predictions.csv | cut -d, -f1 | sort | uniq -c"
        count = "awk '{n += 1; if ($1 != 1) d += 1} END {print n, d + 0}'"
        numbers = self.lab.on("n2", f"runuser -u loans -- bash -c '{each}' | {count}", 300)
        assert numbers.split() == [str(rows), "0"], numbers
        return found[0]

    def restarts(self) -> int:
        """Tell how often systemd has started the daemon anew."""
        return int(self.lab.on("n2", f"systemctl show -p NRestarts --value {UNIT}"))

    def is_up(self) -> bool:
        """Tell whether systemd takes the daemon for started."""
        return self.lab.try_on("n2", f"systemctl is-active {UNIT}").out.strip() == "active"
