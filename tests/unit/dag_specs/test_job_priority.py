"""Scoring before training: every scoring job has a higher priority than every training node."""

import re
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dag_specs.errors import DescriptionError
from dag_specs.job_priority import scoring_priority, training_priority
from dag_specs.scoring_cluster import ChunkCluster, describe_chunks
from dag_specs.training_dag import DagNode, TrainingDag, describe_dag
from tests.unit.dag_specs.submit_text import read_dag

CLUSTER = ChunkCluster(
    batch_id="batch",
    python=Path("/python"),
    plan_path=Path("/plan.json"),
    chunks=(0,),
    event_log=Path("/batch.log"),
    job_log_folder=Path("/logs"),
    memory_mb=512,
)
NODE = DagNode(
    name="node",
    arguments=(),
    parents=(),
    category="fit",
    cpus=1,
    memory_mb=512,
    disk_mb=128,
    output=Path("/node.out"),
    error=Path("/node.err"),
)
LARGEST_RANK_BEFORE = 345
"""What the longest chain of a run with every candidate came to when training nodes had their rank as priority."""


@given(jobs=st.integers(1, 2**40), rank=st.integers(0, 2**40))
def test_every_scoring_job_goes_before_every_training_node(jobs: int, rank: int) -> None:
    """Whatever the size of a batch and the rank of a node, also of a run that an earlier version began."""
    assert training_priority(rank) < 0 < scoring_priority(jobs)
    assert scoring_priority(jobs) > LARGEST_RANK_BEFORE


@given(ranks=st.lists(st.integers(0, 100_000), min_size=1, max_size=5), jobs=st.integers(1, 3000))
def test_priorities_in_what_htcondor_is_given(ranks: list[int], jobs: int) -> None:
    """Every node of a DAG file has a priority, and each is below that in a batch's submit description."""
    nodes = tuple(replace(NODE, name=f"n{number}", priority=rank) for number, rank in enumerate(ranks))
    dag = TrainingDag(
        run_id="run", python=Path("/python"), folder=Path("/run"), submit_file=Path("/node.sub"), nodes=nodes
    )
    priorities = read_dag(describe_dag(dag)).priorities
    scoring = re.search(
        r"^priority = (-?\d+)$", describe_chunks(replace(CLUSTER, chunks=tuple(range(jobs)))), re.MULTILINE
    )
    assert scoring is not None
    assert priorities.keys() == {node.name for node in nodes}
    assert max(priorities.values()) < int(scoring[1])


@given(st.lists(st.integers(0, 9998), min_size=2, max_size=2, unique=True))
def test_ranks_keep_their_order(ranks: list[int]) -> None:
    """Among training nodes, the higher rank still goes first."""
    low, high = sorted(ranks)
    assert training_priority(low) < training_priority(high)


def test_a_rank_is_a_whole_number_from_0_up() -> None:
    """Another rank is refused before it becomes text."""
    dag = TrainingDag(
        run_id="run",
        python=Path("/python"),
        folder=Path("/run"),
        submit_file=Path("/node.sub"),
        nodes=(replace(NODE, priority=-1),),
    )
    with pytest.raises(DescriptionError):
        describe_dag(dag)
