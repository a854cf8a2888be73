"""The training DAG as DAGMan reads it: one file of nodes and edges, one submit description for all.  Pure text.

What differs between nodes reaches the description as macros (`VARS`).  The description is a file of its own:
DAGMan 23.9 cannot represent an argument with a blank in one that stands inside the DAG file.  Each edge is a
line of its own: DAGMan may put a node of its own (and two of its cycles, 2 s) between several parents and
several children of one line.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

from dag_specs.errors import DescriptionError
from dag_specs.job_priority import training_priority
from dag_specs.submit_language import (
    check_identifier,
    check_number,
    check_path,
    job_environment,
    join_lines,
    quote_arguments,
    quote_string,
)

RUN = "LoansRun"
"""The ClassAd attribute that holds the run id: of the nodes' jobs and of DAGMan's own, so that a run is found again."""

_NAME = re.compile(r"[A-Za-z][0-9A-Za-z_-]{0,99}")
# Words of the DAG language that cannot name a node.
_RESERVED = {"PARENT", "CHILD", "ALL_NODES", "NODE", "JOB"}
_KIB_PER_MB = 1024
# Values of our own, without a blank, so that they need no quotes; the number of threads is the node's macro.
_ENVIRONMENT = '"' + " ".join(f"{name}={value}" for name, value in job_environment("$(node_cpus)").items()) + '"'


@dataclass(frozen=True, slots=True, kw_only=True)
class DagNode:
    """One node: one job."""

    name: str
    """A letter, then letters, digits, `-`, `_`."""
    arguments: tuple[str, ...]
    """What the interpreter is given."""
    parents: tuple[str, ...]
    """Names of the nodes that have to be done before."""
    category: str
    """Nodes of one category are throttled together."""
    cpus: int
    """Cores, and threads that it takes."""
    memory_mb: int
    """Memory (MB)."""
    disk_mb: int
    """Scratch disk (MB)."""
    output: Path
    """What it prints."""
    error: Path
    """What it complains of."""
    priority: int = 0
    """Rank among the nodes, from 0 up: of nodes that wait, the highest goes first.  Every scoring job goes before."""
    done: bool = False
    """Whether it is finished already: it is not run, and does not hold up those that wait for it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingDag:
    """One run of the training DAG."""

    run_id: str
    """Id of the run: letters, digits, `.`, `_`, `-`."""
    python: Path
    """The interpreter as every execute node sees it."""
    folder: Path
    """The run's folder on the shared storage: where the jobs start; it must exist."""
    submit_file: Path
    """Where the submit description of the nodes is."""
    nodes: tuple[DagNode, ...]
    """Its nodes, in any order."""
    retries: int = 1
    """How many times more a failed node is run."""
    futile_exit: int | None = None
    """Exit code of a node that would fail again and is not run once more."""
    category_limits: tuple[tuple[str, int], ...] = ()
    """Categories of which only so many nodes run at a time."""
    keep_claim_idle_seconds: int = 10
    """How long a slot stays ours, so that the next node starts at once; one that needs more waits so long (seconds)."""
    job_lease_seconds: int = 600
    """How long a node outlives a lost connection to the submit node (seconds)."""


def describe_dag(dag: TrainingDag) -> str:
    """Return the text of the DAG file.

    Raises DescriptionError when names are doubled, unknown or no names for DAGMan, the nodes wait for each
    other in a circle, or a value cannot be told to HTCondor.
    """
    _check_graph(dag.nodes)
    submit_file = check_path(dag.submit_file, "submit file")
    if "\\" in submit_file:
        raise DescriptionError(f"The submit file {submit_file!r} cannot be told to DAGMan: it holds a backslash.")
    lines = [f"# Training run {check_identifier(dag.run_id, 'run id')}"]
    for node in dag.nodes:
        lines.append(f'JOB {node.name} "{submit_file}"' + (" DONE" if node.done else ""))
        lines += [f"VARS {node.name} {name}={_quote_macro(value)}" for name, value in _macros(node)]
        lines.append(f"CATEGORY {node.name} {_check_name(node.category, 'category')}")
        if check_number(dag.retries, "number of retries"):
            unless = "" if dag.futile_exit is None else f" UNLESS-EXIT {check_number(dag.futile_exit, 'exit code', 1)}"
            lines.append(f"RETRY {node.name} {dag.retries}{unless}")
        # Of every node: one without a line would have the priority 0.
        lines.append(f"PRIORITY {node.name} {training_priority(check_number(node.priority, 'priority'))}")
    lines += [f"PARENT {parent} CHILD {node.name}" for node in dag.nodes for parent in node.parents]
    for category, limit in dag.category_limits:
        lines.append(f"MAXJOBS {_check_name(category, 'category')} {check_number(limit, 'limit of a category', 1)}")
    return "\n".join(lines) + "\n"


def _macros(node: DagNode) -> tuple[tuple[str, str], ...]:
    return (
        # The description has the double quotes around them.
        ("node_arguments", quote_arguments(node.arguments)[1:-1]),
        ("node_output", check_path(node.output, "file for what a node prints")),
        ("node_error", check_path(node.error, "file for what a node complains of")),
        ("node_cpus", str(check_number(node.cpus, "number of CPUs", 1))),
        ("node_memory", str(check_number(node.memory_mb, "memory (MB)", 1))),
        ("node_disk", str(check_number(node.disk_mb, "disk (MB)", 1) * _KIB_PER_MB)),
    )


def _quote_macro(value: str) -> str:
    # Double quotes were refused before; a backslash is DAGMan's own escape.
    return '"' + value.replace("\\", "\\\\") + '"'


def describe_nodes(dag: TrainingDag) -> str:
    """Return the submit description that all nodes share.  Raises DescriptionError as `describe_dag`."""
    pairs: list[tuple[str, str | int]] = [
        ("universe", "vanilla"),
        ("executable", check_path(dag.python, "Python interpreter")),
        ("arguments", '"$(node_arguments)"'),
        ("transfer_executable", "false"),
        ("should_transfer_files", "NO"),
        ("getenv", "false"),
        ("environment", _ENVIRONMENT),
        ("initialdir", check_path(dag.folder, "run folder")),
        ("output", "$(node_output)"),
        ("error", "$(node_error)"),
        ("request_cpus", "$(node_cpus)"),
        ("request_memory", "$(node_memory)"),
        ("request_disk", "$(node_disk)"),
        ("keep_claim_idle", check_number(dag.keep_claim_idle_seconds, "time to keep a claim (s)")),
        ("job_lease_duration", check_number(dag.job_lease_seconds, "job lease (s)", 60)),
        ("notification", "never"),
        (f"My.{RUN}", quote_string(check_identifier(dag.run_id, "run id"), "run id")),
    ]
    return join_lines(pairs) + "queue\n"


def dagman_settings(nodes_log: Path) -> Mapping[str, str]:
    """Return DAGMan's settings for a run whose node events go to `nodes_log`, on the submit node's local disk.

    DAGMan looks at its log once per interval and submits what that made ready at the next look, so a
    level of the DAG costs one to two intervals; 1 s is the least that it takes.
    """
    return {
        "DAGMAN_USER_LOG_SCAN_INTERVAL": "1",
        "DAGMAN_DEFAULT_NODE_LOG": check_path(nodes_log, "log of the nodes' events"),
        "DAGMAN_SUBMIT_DELAY": "0",
        "DAGMAN_USE_JOIN_NODES": "False",
        # The operator chose the folder; that a machine may empty /tmp is told where it is configured.
        "DAGMAN_AVOID_SLASH_TMP": "False",
        "DAGMAN_SUPPRESS_NOTIFICATION": "True",
    }


def dagman_output(dag_file: Path) -> Path:
    """Return where DAGMan tells what it does: a file beside the DAG, named after it by HTCondor."""
    return dag_file.with_name(f"{dag_file.name}.dagman.out")


def _check_name(name: str, what: str) -> str:
    if not _NAME.fullmatch(name) or name.upper() in _RESERVED:
        raise DescriptionError(f"The {what} {name!r} is no name for DAGMan: a letter, then letters, digits, - or _.")
    return name


def _check_graph(nodes: tuple[DagNode, ...]) -> None:
    names = [_check_name(node.name, "node") for node in nodes]
    # DAGMan tells names apart by case, people do not.
    if len({name.lower() for name in names}) != len(names):
        raise DescriptionError("Two nodes of the DAG have the same name.")
    for node in nodes:
        if unknown := set(node.parents) - set(names):
            raise DescriptionError(f"Node {node.name} waits for {', '.join(sorted(unknown))}, which is not in the DAG.")
    try:
        TopologicalSorter({node.name: node.parents for node in nodes}).prepare()
    except CycleError as error:
        raise DescriptionError(
            f"Nodes of the DAG wait for each other in a circle: {' → '.join(error.args[1])}."
        ) from None
