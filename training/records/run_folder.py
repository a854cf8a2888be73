"""Every name inside `training/RUN_ID` on the shared storage, in one place; nothing here touches the disk.

run.json                    what was asked for, written before the first job
run-ATTEMPT.dag  node.sub   what DAGMan is told; each time that the run is resumed is an attempt of its own
history/N/NAME.csv          what a packed file of the history holds
shards/SHARD.npz            loans of one shard, read
train.npz  test.npz         the split
candidates/NAME/fold-SET-FOLD.npy      what a fit foretells for the loans of the fold that it was not fitted on
candidates/NAME/{fitted.pickle,model.onnx,golden.json}
outcomes/NODE.json          how each node ended
logs/NODE.out  logs/NODE.err    what each node printed
"""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class RunFolder:
    """The names of one training run."""

    root: Path
    """The run's folder, absolute."""

    @property
    def request(self) -> Path:
        """What was asked for."""
        return self.root / "run.json"

    def dag(self, attempt: int) -> Path:
        """Name the text that DAGMan runs at an attempt (1-based); DAGMan's own files are named after it."""
        return self.root / f"run-{attempt}.dag"

    @property
    def submit(self) -> Path:
        """The submit description that all nodes share."""
        return self.root / "node.sub"

    @property
    def history(self) -> Path:
        """Folder of what packed files of the history hold."""
        return self.root / "history"

    @property
    def shards(self) -> Path:
        """Folder of what `preprocess` read."""
        return self.root / "shards"

    def shard(self, number: int) -> Path:
        """Name the loans of one shard (1-based)."""
        return self.shards / f"{number:04d}.npz"

    @property
    def train(self) -> Path:
        """Loans to fit on."""
        return self.root / "train.npz"

    @property
    def test(self) -> Path:
        """Loans held out."""
        return self.root / "test.npz"

    @property
    def candidates(self) -> Path:
        """Folder with one folder for each candidate."""
        return self.root / "candidates"

    def candidate(self, name: str) -> Path:
        """Name the folder of one candidate."""
        return self.candidates / name

    def predictions(self, name: str, parameter_set: int, fold: int) -> Path:
        """Name what a parameter set (0-based) foretells for a fold (0-based)."""
        return self.candidate(name) / f"fold-{parameter_set + 1}-{fold + 1}.npy"

    def fitted(self, name: str) -> Path:
        """Name what a candidate has learnt, for this run only."""
        return self.candidate(name) / "fitted.pickle"

    def graph(self, name: str) -> Path:
        """Name the candidate as ONNX."""
        return self.candidate(name) / "model.onnx"

    def golden(self, name: str) -> Path:
        """Name the candidate's golden rows."""
        return self.candidate(name) / "golden.json"

    @property
    def outcomes(self) -> Path:
        """Folder of how nodes ended."""
        return self.root / "outcomes"

    def outcome(self, node: str) -> Path:
        """Name the file that tells how one node ended."""
        return self.outcomes / f"{node}.json"

    @property
    def logs(self) -> Path:
        """Folder of what nodes printed."""
        return self.root / "logs"

    def printed(self, node: str) -> Path:
        """Name what one node printed on stdout."""
        return self.logs / f"{node}.out"

    def complained(self, node: str) -> Path:
        """Name what one node printed on stderr."""
        return self.logs / f"{node}.err"

    def folders(self, candidates: tuple[str, ...]) -> tuple[Path, ...]:
        """Name every folder that must be there before the first job, parents first."""
        return (
            self.root,
            self.shards,
            self.outcomes,
            self.logs,
            self.candidates,
            *(self.candidate(name) for name in candidates),
        )


SPLIT = "split"
"""Name of the node that divides the loans."""

PROMOTE = "promote"
"""Name of the node that publishes and promotes."""


def preprocess_node(shard: int) -> str:
    """Name the node that reads a shard (1-based)."""
    return f"preprocess-{shard}"


def fit_node(candidate: str, parameter_set: int, fold: int) -> str:
    """Name the node that fits a parameter set (0-based, 1-based in the name) without a fold (the same)."""
    return f"fit-{candidate}-{parameter_set + 1}-{fold + 1}"


def train_node(candidate: str) -> str:
    """Name the node that chooses a candidate's parameters and fits it on all of the train side."""
    return f"train-{candidate}"


def evaluate_node(candidate: str) -> str:
    """Name the node that measures a candidate."""
    return f"evaluate-{candidate}"
