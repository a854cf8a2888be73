"""`make bench`: every figure of docs/benchmarks.md, measured in one run on this machine.

    python -m benchmarks.bench FOLDER [GROUP ...]

Rivals and floor run as whole processes (imports included), pinned to one core, in turns; the median of the rounds is
told. FOLDER takes the generated data (about 4 GB).
"""

import os
import platform
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import msgspec

from benchmarks.retraining import Retraining

HERE = Path(__file__).resolve().parent
REPORT = HERE.parent / "docs" / "benchmarks.md"
LOANS = Path(sys.executable).with_name("loans")
ROUNDS = 3
RIVAL_ROWS = 2_000_000
GROWTH_ROWS = (200_000, 2_000_000, 20_000_000)
POOL_ROWS = 10_000_000
POOL_SLOTS = 2
FILES, FILE_ROWS, DROP_SECONDS = 10_000, 20, 60
CORE = max(os.sched_getaffinity(0))
TASKSET = shutil.which("taskset") or "taskset"


@dataclass(frozen=True)
class Run:
    """One process, measured from outside."""

    seconds: float
    """Wall time, from start to end."""
    peak_mb: float
    """Largest resident memory (10^6 bytes)."""


def measure(command: Sequence[str | Path], *, one_core: bool = True) -> Run:
    """Run a command; raise CalledProcessError when it fails."""
    pinned = [TASKSET, "-c", str(CORE)] if one_core else []
    environment = {**os.environ, "POLARS_MAX_THREADS": "1"} if one_core else dict(os.environ)
    started = time.perf_counter()
    process = subprocess.Popen(
        [*pinned, *map(str, command)], env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    )
    assert process.stderr is not None
    words = process.stderr.read()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    seconds = time.perf_counter() - started
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, [*map(str, command)], stderr=words)
    return Run(seconds, usage.ru_maxrss * 1024 / 1e6)


def in_turns(commands: dict[str, Sequence[str | Path]], rounds: int = ROUNDS) -> dict[str, Run]:
    """Run each command `rounds` times, in turns, so that a slow minute of the machine hits all alike; give medians."""
    runs: dict[str, list[Run]] = {name: [] for name in commands}
    for _ in range(rounds):
        for name, command in commands.items():
            runs[name].append(measure(command))
            print(f"  {name}: {runs[name][-1].seconds:.2f} s, {runs[name][-1].peak_mb:.0f} MB", flush=True)
    return {
        name: Run(statistics.median(run.seconds for run in each), max(run.peak_mb for run in each))
        for name, each in runs.items()
    }


class Bench:
    """The data, sites and models of one run."""

    def __init__(self, folder: Path) -> None:
        """Work in `folder`."""
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    def loans(self, rows: int) -> Path:
        """Give a file of generated loans, made where it is not there yet."""
        path = self.folder / f"loans-{rows}.csv"
        if not path.exists():
            measure([LOANS, "generate", str(rows), "--seed", "5", "-o", path])
        return path

    def make_models(self) -> None:
        """Train the shared models, once, and make a site for each."""
        if not (self.folder / "boosting" / "production").exists():
            measure([sys.executable, HERE / "models.py", self.folder], one_core=False)
        for model in ("logistic", "boosting"):
            site = self.folder / f"site-{model}"
            if not site.exists():
                measure(
                    [LOANS, "init", site / "root", "--site", self.site(model, make=True), "--state", site / "state"]
                )
                shutil.rmtree(site / "root" / "models")
                shutil.copytree(self.folder / model, site / "root" / "models")

    def site(self, model: str, *, make: bool = False) -> Path:
        """Give the site file of a model."""
        folder = self.folder / f"site-{model}"
        if make:
            folder.mkdir(parents=True, exist_ok=True)
        return folder / "loans.toml"

    def ours(self, model: str, rows: int) -> list[str | Path]:
        """Give the command that scores on one core."""
        output = self.folder / "ours.csv"
        return [LOANS, "score", self.loans(rows), "-o", output, "--threads", "1", "--site", self.site(model)]

    def rivals(self) -> list[str]:
        """Compare with floor and pandas, on the same loans and the same model."""
        lines = [
            f"## One core, CSV in, CSV out, {RIVAL_ROWS:,} loans",
            "",
            "Whole processes, imports included. `floor` is bare polars: `read_csv`, float32 matrix, onnxruntime,",
            "`write_csv`, without validation or proof (`benchmarks/floor.py`). `pandas` is pandas and the same",
            "pipeline as a scikit-learn pickle (`benchmarks/pandas_pickle.py`). Both write id and `pd` alone; ours",
            "also row number, points, band, decision and model version.",
            "",
            "| model | program | seconds | peak memory | time against floor | against pandas |",
            "| --- | --- | --- | --- | --- | --- |",
        ]
        loans = self.loans(RIVAL_ROWS)
        for model in ("logistic", "boosting"):
            graph = self.folder / model / "versions" / f"benchmark-{model}" / "model.onnx"
            medians = in_turns(
                {
                    "ours": self.ours(model, RIVAL_ROWS),
                    "floor": [sys.executable, HERE / "floor.py", loans, graph, self.folder / "floor.csv"],
                    "pandas": [
                        sys.executable,
                        HERE / "pandas_pickle.py",
                        loans,
                        self.folder / f"{model}.pickle",
                        self.folder / "pandas.csv",
                    ],
                }
            )
            for name, run in medians.items():
                lines.append(
                    f"| {model} | {name} | {run.seconds:.2f} | {run.peak_mb:.0f} MB "
                    f"| {run.seconds / medians['floor'].seconds:.2f} "
                    f"| {medians['pandas'].seconds / run.seconds:.1f} times faster |"
                )
        return [*lines, "", *self._stages()]

    def _stages(self) -> list[str]:
        receipt = msgspec.json.decode((self.folder / "ours.receipt.json").read_bytes())
        lines = [
            "Where the time goes in ours, boosting, by the receipt of the last round (seconds; the rest is imports,",
            "planning with its two hashes, and merge with read-back):",
            "",
            "| stage | seconds |",
            "| --- | --- |",
        ]
        stages = receipt["parts"][0]["seconds"]
        return [*lines, *(f"| {stage} | {seconds:.2f} |" for stage, seconds in stages.items()), ""]

    def growth(self) -> list[str]:
        """Show time per row and memory as files grow."""
        lines = [
            "## Growth, one core, logistic",
            "",
            "| rows | seconds | µs per row | peak memory |",
            "| --- | --- | --- | --- |",
        ]
        for rows in GROWTH_ROWS:
            run = in_turns({f"{rows:,} rows": self.ours("logistic", rows)}, 1 if rows > RIVAL_ROWS else ROUNDS)
            (median,) = run.values()
            lines.append(
                f"| {rows:,} | {median.seconds:.2f} | {median.seconds / rows * 1e6:.2f} | {median.peak_mb:.0f} MB |"
            )
        return [*lines, ""]

    def planning(self) -> list[str]:
        """Show how quickly a file in the page cache is planned."""
        code = (
            "import sys, time; from pathlib import Path; from scoring.contract import *; "
            "from scoring.csv.source import open_source; from scoring.csv.chunks import plan_chunks; "
            "source = open_source(Path(sys.argv[1]), load_contract(REFERENCE)); Path(sys.argv[1]).read_bytes(); "
            "best = min((lambda t: (plan_chunks(source, 32 << 20), time.perf_counter() - t)[1])(time.perf_counter()) "
            "for _ in range(3)); print(source.bytes / best / 1e9)"
        )
        plain = self.loans(RIVAL_ROWS)
        quoted = self.folder / "quoted.csv"
        if not quoted.exists():
            with plain.open("rb") as source, quoted.open("wb") as target:
                for line in source:
                    target.write(b'"' + line.rstrip(b"\n").replace(b",", b'","') + b'"\n')
        lines = ["## Planning, one core, file in the page cache", "", "| file | GB/s |", "| --- | --- |"]
        for name, path in (("no quotes", plain), ("every field quoted", quoted)):
            ended = subprocess.run(
                [TASKSET, "-c", str(CORE), sys.executable, "-c", code, path],
                check=True,
                capture_output=True,
                text=True,
            )
            lines.append(f"| {name}, {path.stat().st_size / 1e6:.0f} MB | {float(ended.stdout):.2f} |")
        return [*lines, "", "Both include two BLAKE3 hashes of every byte: the file's and the chunk's.", ""]

    def pool(self) -> list[str]:
        """Score a large file through a real pool and compare with one core."""
        single = measure(self.ours("logistic", POOL_ROWS))
        site = self.site("logistic")
        root = site.parent / "root"
        home = self.folder / "pool"
        self._use_pool(site, home)
        subprocess.run([LOANS, "pool", "up", "--home", home, "--slots", str(POOL_SLOTS)], check=True)
        try:
            with (self.folder / "watch.log").open("wb") as log:
                daemon = subprocess.Popen([LOANS, "watch", "--site", site], stderr=log)
            try:
                self._drop(root, 1000)  # the claims that a pool in use has
                seconds = self._drop(root, POOL_ROWS)
            finally:
                daemon.terminate()
                daemon.wait(20)
        finally:
            subprocess.run([LOANS, "pool", "down", "--home", home], check=True)
        bound = 1.3 * single.seconds / POOL_SLOTS + 5
        return [
            f"## {POOL_ROWS:,} loans through the pool, {POOL_SLOTS} slots, logistic",
            "",
            f"`loans score` on one core: {single.seconds:.1f} s. Through the daemon and HTCondor, from drop to",
            f"publication: {seconds:.1f} s (1.3 times one-core time / {POOL_SLOTS} + 5 s = {bound:.1f} s).",
            "",
        ]

    def files(self) -> list[str]:
        """Drop ten thousand small files in a minute and wait for the last."""
        sample = self.folder / "small.csv"
        subprocess.run([LOANS, "generate", str(FILE_ROWS * 100), "-o", sample], check=True, capture_output=True)
        header, *loans = sample.read_bytes().splitlines(keepends=True)
        site = self.site("logistic")
        root, home = site.parent / "root", self.folder / "pool"
        self._use_pool(site, home)
        stem = f"small-{time.time_ns()}"
        subprocess.run([LOANS, "pool", "up", "--home", home, "--slots", str(POOL_SLOTS)], check=True)
        try:
            with (self.folder / "watch.log").open("wb") as log:
                daemon = subprocess.Popen([LOANS, "watch", "--site", site], stderr=log)
            try:
                self._drop(root, 1000)
                started = time.monotonic()
                for number in range(FILES):
                    first = number % 100 * FILE_ROWS
                    hidden = root / "inbox" / f".{stem}.tmp"
                    hidden.write_bytes(header + b"".join(loans[first : first + FILE_ROWS]))
                    os.rename(hidden, root / "inbox" / f"{stem}-{number}.csv")
                    time.sleep(max(started + number * DROP_SECONDS / FILES - time.monotonic(), 0))
                while len(list((root / "outbox").glob(f"{stem}-*.predictions.csv"))) < FILES:
                    if time.monotonic() - started > 1200:
                        raise TimeoutError("the small files were not published; see watch.log")
                    time.sleep(0.5)
                seconds = time.monotonic() - started
                status = Path(f"/proc/{daemon.pid}/status").read_text()
                peak = int(status.split("VmHWM:")[1].split()[0]) * 1024 / 1e6
            finally:
                daemon.terminate()
                daemon.wait(20)
        finally:
            subprocess.run([LOANS, "pool", "down", "--home", home], check=True)
        return [
            f"## {FILES:,} files of {FILE_ROWS} loans through the pool, {POOL_SLOTS} slots, logistic",
            "",
            f"Dropped evenly over {DROP_SECONDS} s; the last was published {seconds:.0f} s after the first drop:",
            f"{FILES / seconds:.0f} files/s. The daemon took {peak:.0f} MB at most.",
            "",
        ]

    def retraining(self) -> list[str]:
        """Retrain with several seeds through a pool."""
        return Retraining(self.folder / "retraining", POOL_SLOTS).report()

    def _use_pool(self, site: Path, home: Path) -> None:
        text = site.read_text(encoding="utf-8")
        if "bench-pool" not in text:
            site.write_text(text.replace('# home = ""', f'home = "{home}"  # bench-pool'), encoding="utf-8")

    def _drop(self, root: Path, rows: int) -> float:
        name = f"pool-{rows}-{time.time_ns()}"
        hidden = root / "inbox" / f".{name}.tmp"
        shutil.copyfile(self.loans(rows), hidden)
        time.sleep(1.5)  # renamed once its content has stood still for the settle time, as a copy from elsewhere does
        started = time.monotonic()
        os.rename(hidden, root / "inbox" / f"{name}.csv")
        while not (root / "outbox" / f"{name}.predictions.csv").exists():
            if time.monotonic() - started > 600:
                raise TimeoutError(f"{name} was not published; see watch.log")
            time.sleep(0.02)
        return time.monotonic() - started

    def others(self) -> list[str]:
        """Run Ray Data and Spark where they are installed."""
        lines = [f"## Other engines, all cores, {RIVAL_ROWS:,} loans, logistic", ""]
        graph = self.folder / "logistic" / "versions" / "benchmark-logistic" / "model.onnx"
        for package, script in (("ray", "ray_data.py"), ("pyspark", "spark_local.py")):
            try:
                found = version(package)
            except PackageNotFoundError:
                lines.append(f"- {package}: not installed in this environment, not run.")
                continue
            output = self.folder / package
            shutil.rmtree(output, ignore_errors=True)
            run = measure([sys.executable, HERE / script, self.loans(RIVAL_ROWS), graph, output], one_core=False)
            lines.append(f"- {package} {found}: {run.seconds:.1f} s.")
        return [*lines, ""]


def describe_machine() -> list[str]:
    """Tell what was measured on."""
    processor = next(
        (
            line.partition(":")[2].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if "model name" in line
        ),
        platform.machine(),
    )
    names = ("polars", "onnxruntime", "numpy", "scikit-learn", "pandas", "blake3")
    packages = ", ".join(f"{name} {version(name)}" for name in names)
    return [
        "# Benchmarks",
        "",
        "Written by `make bench`; every figure was measured in that one run.",
        "",
        f"Machine: {processor}, {len(os.sched_getaffinity(0))} cores, Linux {platform.release()}.",
        f"Python {platform.python_version()}, {packages}. {time.strftime('%Y-%m-%d')}.",
        "",
    ]


def main(arguments: list[str]) -> None:
    """Run the groups that are named, or all, and write the report when all ran."""
    bench = Bench(Path(arguments[0]).absolute())
    groups: dict[str, Callable[[], list[str]]] = {
        "rivals": bench.rivals,
        "growth": bench.growth,
        "planning": bench.planning,
        "pool": bench.pool,
        "files": bench.files,
        "retraining": bench.retraining,
        "others": bench.others,
    }
    chosen = arguments[1:] or list(groups)
    bench.make_models()
    lines = describe_machine()
    for group in chosen:
        print(f"== {group}", flush=True)
        lines += groups[group]()
    text = "\n".join(lines).rstrip() + "\n"
    print(text)
    if chosen == list(groups):
        REPORT.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
