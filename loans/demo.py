"""`make demo`: the whole product on this machine, from nothing to published predictions, by its own commands.

    python -m loans.demo [FOLDER]

Everything it makes stands in FOLDER (default: `demo` in the working directory) and can be looked at, or gone on with,
afterwards: the site file is FOLDER/loans.toml. Pool and daemon are stopped at the end. A folder that is there already
is gone on with: the file is dropped again under a name of its own.
"""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import msgspec

HISTORY_ROWS = 30_000
DROPPED_ROWS = 20_000
_WAIT_SECONDS = 180.0


def main(arguments: list[str]) -> int:
    """Run the demo; give its exit code."""
    folder = Path(arguments[0] if arguments else "demo").absolute()
    demo = Demo(folder)
    try:
        demo.run()
    except DemoError as error:
        _tell(f"The demo failed: {error}")
        return 1
    return 0


class DemoError(Exception):
    """A command of the demo did not do what it should."""


class Demo:
    """One run of the demo in one folder."""

    def __init__(self, folder: Path) -> None:
        """Work in `folder`."""
        self._folder = folder
        self._root = folder / "shared"
        self._site = folder / "loans.toml"
        self._loans = Path(sys.executable).with_name("loans")

    def run(self) -> None:
        """Do everything, telling each step. Raises DemoError when one fails."""
        begun = time.monotonic()
        self._folder.mkdir(parents=True, exist_ok=True)
        if not self._site.exists():
            _tell("A shared tree and a site file")
            self._call("init", str(self._root), "--state", str(self._folder / "state"))
            self._name_pool()
        _tell("A real HTCondor pool on this machine (the first time, HTCondor itself is fetched)")
        self._call("pool", "up")
        try:
            self._train_and_score()
        finally:
            _tell("Stopping the pool")
            self._call("pool", "down")
        _tell(f"Done in {time.monotonic() - begun:.0f} s. To go on with this site:")
        for command in ("pool up", "status", "models list", "watch"):
            print(f"  {_relative(self._loans)} {command} --site {_relative(self._site)}")  # noqa: T201

    def _name_pool(self) -> None:
        text = self._site.read_text(encoding="utf-8")
        home = msgspec.json.encode(str(self._folder / "pool")).decode()
        self._site.write_text(text.replace('# home = ""', f"home = {home}"), encoding="utf-8")

    def _train_and_score(self) -> None:
        history = self._root / "history" / "generated.csv"
        if not history.exists():
            _tell(f"A history of {HISTORY_ROWS:,} generated loans, with labels")
            self._call("generate", str(HISTORY_ROWS), "--labelled", "--seed", "1", "-o", str(history))
        _tell("Training on the pool: each candidate on its own node, the best is published and promoted")
        self._call("retrain")
        _tell("The daemon that watches the inbox")
        log = self._folder / "watch.log"
        with log.open("ab") as file:
            daemon = subprocess.Popen(
                [self._loans, "watch", "--site", self._site], stderr=file, stdin=subprocess.DEVNULL
            )
        try:
            self._drop_and_show(daemon, log)
        finally:
            daemon.send_signal(signal.SIGTERM)
            daemon.wait(20)

    def _drop_and_show(self, daemon: "subprocess.Popen[bytes]", log: Path) -> None:
        name = f"applications-{time.strftime('%Y%m%d-%H%M%S')}"
        _tell(f"Dropping {DROPPED_ROWS:,} loan applications into the inbox: {name}.csv")
        hidden = self._root / "inbox" / f".{name}.tmp"
        self._call("generate", str(DROPPED_ROWS), "--seed", "2", "-o", str(hidden))
        dropped = time.monotonic()
        os.rename(hidden, self._root / "inbox" / f"{name}.csv")
        predictions = self._root / "outbox" / f"{name}.predictions.csv"
        while not predictions.exists():
            if daemon.poll() is not None or time.monotonic() - dropped > _WAIT_SECONDS:
                raise DemoError(f"no predictions appeared; see {log}")
            time.sleep(0.05)
        _tell(f"Published {time.monotonic() - dropped:.1f} s after the drop: {_relative(predictions)}")
        with predictions.open(encoding="utf-8") as file:
            for _ in range(6):
                print("  " + file.readline().rstrip("\n"))  # noqa: T201
        receipt = self._root / "outbox" / f"{name}.receipt.json"
        facts = msgspec.json.decode(receipt.read_bytes())
        print(f"  ... {facts['rows_in']} rows in, {facts['scored']} scored, {facts['rejected']} rejected")  # noqa: T201
        print(f"  receipt: {_relative(receipt)}")  # noqa: T201
        self._call("status")

    def _call(self, *arguments: str) -> None:
        command = [str(self._loans), *arguments]
        if arguments[0] != "generate":
            command += ["--site", str(self._site)]
        print("$ " + " ".join(map(_relative_text, ["loans", *command[1:]])), flush=True)  # noqa: T201
        ended = subprocess.run(command, check=False)
        if ended.returncode:
            raise DemoError(f"`loans {' '.join(arguments)}` ended with exit code {ended.returncode}")


def _relative(path: Path) -> str:
    here = Path.cwd()
    return str(path.relative_to(here)) if path.is_relative_to(here) else str(path)


def _relative_text(text: str) -> str:
    return _relative(Path(text)) if text.startswith("/") else text


def _tell(message: str) -> None:
    print(f"\n== {message}", flush=True)  # noqa: T201


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
