"""The training DAG, letter by letter."""

import dataclasses
from pathlib import Path

import pytest

from dag_specs.errors import DescriptionError
from dag_specs.training_dag import (
    DagNode,
    TrainingDag,
    dagman_output,
    dagman_settings,
    describe_dag,
    describe_nodes,
)

FOLDER = Path("/nfs/our loans/training/run-1")


def _node(name: str, *parents: str, category: str = "train") -> DagNode:
    return DagNode(
        name=name,
        arguments=("-I", "-m", f"training.nodes.{name}", "--note", "it's back\\slashed"),
        parents=parents,
        category=category,
        cpus=1,
        memory_mb=512,
        disk_mb=64,
        output=FOLDER / f"logs/{name}.out",
        error=FOLDER / f"logs/{name}.err",
    )


DAG = TrainingDag(
    run_id="run-1",
    python=Path("/opt/loans/.venv/bin/python"),
    folder=FOLDER,
    submit_file=FOLDER / "node.sub",
    nodes=(
        dataclasses.replace(_node("split", category="split"), done=True),
        dataclasses.replace(_node("train-tree", "split"), priority=35),
        _node("end", "split", "train-tree"),
    ),
    category_limits=(("train", 2),),
    futile_exit=3,
)

GOLDEN_DAG = r"""# Training run run-1
JOB split "/nfs/our loans/training/run-1/node.sub" DONE
VARS split node_arguments="-I -m training.nodes.split --note 'it''s back\\slashed'"
VARS split node_output="/nfs/our loans/training/run-1/logs/split.out"
VARS split node_error="/nfs/our loans/training/run-1/logs/split.err"
VARS split node_cpus="1"
VARS split node_memory="512"
VARS split node_disk="65536"
CATEGORY split split
RETRY split 1 UNLESS-EXIT 3
PRIORITY split -10000
JOB train-tree "/nfs/our loans/training/run-1/node.sub"
VARS train-tree node_arguments="-I -m training.nodes.train-tree --note 'it''s back\\slashed'"
VARS train-tree node_output="/nfs/our loans/training/run-1/logs/train-tree.out"
VARS train-tree node_error="/nfs/our loans/training/run-1/logs/train-tree.err"
VARS train-tree node_cpus="1"
VARS train-tree node_memory="512"
VARS train-tree node_disk="65536"
CATEGORY train-tree train
RETRY train-tree 1 UNLESS-EXIT 3
PRIORITY train-tree -9965
JOB end "/nfs/our loans/training/run-1/node.sub"
VARS end node_arguments="-I -m training.nodes.end --note 'it''s back\\slashed'"
VARS end node_output="/nfs/our loans/training/run-1/logs/end.out"
VARS end node_error="/nfs/our loans/training/run-1/logs/end.err"
VARS end node_cpus="1"
VARS end node_memory="512"
VARS end node_disk="65536"
CATEGORY end train
RETRY end 1 UNLESS-EXIT 3
PRIORITY end -10000
PARENT split CHILD train-tree
PARENT split CHILD end
PARENT train-tree CHILD end
MAXJOBS train 2
"""

GOLDEN_NODES = """\
universe = vanilla
executable = /opt/loans/.venv/bin/python
arguments = "$(node_arguments)"
transfer_executable = false
should_transfer_files = NO
getenv = false
environment = "PATH=/usr/local/bin:/usr/bin:/bin LANG=C.UTF-8 OMP_NUM_THREADS=$(node_cpus) \
OPENBLAS_NUM_THREADS=$(node_cpus) MKL_NUM_THREADS=$(node_cpus) POLARS_MAX_THREADS=$(node_cpus)"
initialdir = /nfs/our loans/training/run-1
output = $(node_output)
error = $(node_error)
request_cpus = $(node_cpus)
request_memory = $(node_memory)
request_disk = $(node_disk)
keep_claim_idle = 10
job_lease_duration = 600
notification = never
My.LoansRun = "run-1"
queue
"""


def test_dag_text() -> None:
    """A DAG's text is exactly this, one edge a line."""
    assert describe_dag(DAG) == GOLDEN_DAG


def test_node_text() -> None:
    """The description that the nodes share is exactly this."""
    assert describe_nodes(DAG) == GOLDEN_NODES


def test_node_that_is_not_tried_again() -> None:
    """Without retries there is no RETRY line."""
    assert "RETRY" not in describe_dag(dataclasses.replace(DAG, retries=0))


def test_node_that_is_tried_again_whatever_its_exit_code() -> None:
    """Without an exit code that says so, no failure is taken for one that would repeat itself."""
    assert "RETRY split 1\n" in describe_dag(dataclasses.replace(DAG, futile_exit=None))


def _with(*nodes: DagNode) -> TrainingDag:
    return dataclasses.replace(DAG, nodes=nodes)


@pytest.mark.parametrize(
    ("dag", "complaint"),
    [
        (_with(_node("a"), _node("A")), "same name"),
        (_with(_node("a", "b")), "waits for b, which is not"),
        (_with(_node("a", "b"), _node("b", "a")), "in a circle"),
        (_with(_node("a.b")), "no name"),
        (_with(_node("a+b")), "no name"),
        (_with(_node("parent")), "no name"),
        (_with(_node("a\nJOB b")), "no name"),
        (_with(_node("a", category="x y")), "no name"),
        (_with(dataclasses.replace(_node("a"), arguments=("$(HOME)",))), "told to HTCondor"),
        (_with(dataclasses.replace(_node("a"), arguments=('"',))), "told to HTCondor"),
        (_with(dataclasses.replace(_node("a"), output=Path("/a\nb"))), "told to HTCondor"),
        (_with(dataclasses.replace(_node("a"), memory_mb=0)), "memory"),
        (_with(dataclasses.replace(_node("a"), cpus=0)), "CPUs"),
        (dataclasses.replace(DAG, run_id="a b"), "run id"),
        (dataclasses.replace(DAG, submit_file=Path("/a\\b/node.sub")), "backslash"),
        (dataclasses.replace(DAG, submit_file=Path("node.sub")), "absolute"),
        (dataclasses.replace(DAG, category_limits=(("train", 0),)), "limit"),
        (dataclasses.replace(DAG, futile_exit=0), "exit code"),
        (_with(dataclasses.replace(_node("a"), priority=-1)), "priority"),
    ],
)
def test_dag_that_dagman_would_misread_is_refused(dag: TrainingDag, complaint: str) -> None:
    """Names, edges and values that mean something else to DAGMan are refused with the reason."""
    with pytest.raises(DescriptionError, match=complaint):
        describe_dag(dag)


@pytest.mark.parametrize("change", [{"python": Path("/a$b")}, {"folder": Path("run")}, {"job_lease_seconds": 1}])
def test_values_of_the_shared_description_are_looked_at(change: dict[str, object]) -> None:
    """The values that all nodes share are refused likewise."""
    with pytest.raises(DescriptionError):
        describe_nodes(dataclasses.replace(DAG, **change))  # type: ignore[arg-type]


def test_dagman_looks_at_its_log_as_often_as_it_can() -> None:
    """Each level costs one to two looks, so a look is made every second, at a log on local disk."""
    settings = dagman_settings(Path("/var/lib/loans/run-1.nodes.log"))
    assert settings["DAGMAN_USER_LOG_SCAN_INTERVAL"] == "1"
    assert settings["DAGMAN_DEFAULT_NODE_LOG"] == "/var/lib/loans/run-1.nodes.log"
    with pytest.raises(DescriptionError):
        dagman_settings(Path("nodes.log"))


def test_dagman_output_lies_beside_the_dag() -> None:
    """HTCondor names DAGMan's own log after the DAG."""
    assert dagman_output(Path("/x/run.dag")) == Path("/x/run.dag.dagman.out")
