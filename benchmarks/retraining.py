"""Retraining through a real pool: what each candidate reaches on loans it has not seen, and what it costs to score."""

import re
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

LOANS = Path(sys.executable).with_name("loans")
REAL = Path(__file__).resolve().parents[2] / "shared" / "data" / "loans_history.csv"
"""Real labelled loans, where they lie beside the checkout."""
MADE_ROWS = 46_916
SEEDS = (0, 1, 2, 3, 4)
CLASSICS = ("logistic", "tree")


def run(*words: object) -> str:
    """Run a command of ours; give what it printed. Raises CalledProcessError with its words when it fails."""
    ended = subprocess.run([LOANS, *map(str, words)], check=True, capture_output=True, text=True)
    return ended.stdout


class Retraining:
    """A site with a pool of its own and one file of history."""

    def __init__(self, folder: Path, slots: int) -> None:
        """Make the site in `folder`, unless it stands there from an earlier run."""
        self.folder, self.slots = folder, slots
        self.site, self.home = folder / "loans.toml", folder / "pool"
        self.real = REAL.exists()
        if not self.site.exists():
            folder.mkdir(parents=True, exist_ok=True)
            run("init", folder / "root", "--site", self.site, "--state", folder / "state")
        self.history = REAL if self.real else folder / "history.csv"
        if not self.history.exists():
            run("generate", MADE_ROWS, "--labelled", "--seed", 7, "-o", self.history)

    def retrain(self, seed: int, candidates: Sequence[str] = ()) -> tuple[dict[str, Any], float]:
        """Retrain; give the manifest of the version that came of it, and the wall time (seconds)."""
        text = re.sub(r"(?m)^(seed|candidates|home) = .*\n", "", self.site.read_text(encoding="utf-8"))
        named = f"candidates = [{', '.join(f'{name!r}' for name in candidates)}]\n" if candidates else ""
        text = text.replace("[training]\n", f"[training]\nseed = {seed}\n{named}")
        text = text.replace("[pool]\n", f"[pool]\nhome = {str(self.home)!r}\n")
        self.site.write_text(text, encoding="utf-8")
        started = time.perf_counter()
        told = run("retrain", "--history", self.history, "--promote", "never", "--site", self.site, "--json")
        seconds = time.perf_counter() - started
        version = msgspec.json.decode(told)["version"]
        shown = msgspec.json.decode(run("models", "show", version, "--site", self.site, "--json"))
        print(f"  seed {seed}: {version} in {seconds:.1f} s", flush=True)
        return shown["manifest"], seconds

    def report(self) -> list[str]:
        """Retrain with every seed, and once with the classics alone; tell what came of it."""
        run("pool", "up", "--home", self.home, "--slots", self.slots)
        try:
            manifests, seconds = zip(*(self.retrain(seed) for seed in SEEDS), strict=True)
            _, classics = self.retrain(0, CLASSICS)
        finally:
            run("pool", "down", "--home", self.home)
        source = "real loans" if self.real else "generated loans"
        usual, longest = statistics.median(seconds), max(seconds)
        lines = [
            f"## Retraining, {manifests[0]['training']['history_rows']} {source}, {self.slots} slots",
            "",
            f"Every candidate, default site file, seeds {SEEDS[0]} to {SEEDS[-1]}: {usual:.0f} s a run (median; the",
            f"longest {longest:.0f} s). The classics alone, {' and '.join(CLASSICS)}: {classics:.0f} s. Figures",
            "are means of the seeds, on the held-out fifth.",
            "Rows/s are CSV to CSV on one core, as a chunk job scores (median).",
            "",
            "| candidate | AUC | lowest AUC | F1 | expected calibration error | rows/s | won |",
            "| --- | --- | --- | --- | --- | --- | --- |",
        ]
        for candidate in manifests[0]["metrics"]:
            each = [manifest["metrics"][candidate] for manifest in manifests]

            def mean(name: str, each: Sequence[dict[str, float]] = each) -> float:
                return statistics.fmean(figures[name] for figures in each)

            lines.append(
                f"| {candidate} | {mean('auc'):.4f} | {min(figures['auc'] for figures in each):.4f} "
                f"| {mean('f1'):.3f} | {mean('ece'):.4f} "
                f"| {statistics.median(figures['rows_per_second'] for figures in each):,.0f} "
                f"| {sum(manifest['candidate'] == candidate for manifest in manifests)} of {len(manifests)} |"
            )
        winners = [manifest["metrics"][manifest["candidate"]] for manifest in manifests]
        means = {name: statistics.fmean(one[name] for one in winners) for name in ("auc", "f1", "ece")}
        return [
            *lines,
            "",
            f"Winners: AUC {means['auc']:.4f}, F1 {means['f1']:.3f}, expected calibration error {means['ece']:.4f}.",
            "",
        ]
