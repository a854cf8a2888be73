"""Models: the bytes that were sealed are the bytes that run, and a row's answer is its own, whoever is beside it."""

import io
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper

from scoring.chunk.plan import BatchPlan
from scoring.chunk.score import score_chunk
from scoring.contract import Contract
from scoring.csv.chunks import plan_chunks
from scoring.csv.reader import read_loans
from scoring.csv.source import open_source
from scoring.errors import ModelError
from scoring.models.golden import seal_golden
from scoring.models.model import INPUT, OUTPUT, Graph, open_model
from scoring.models.registry import GOLDEN, MODEL, VERSIONS, Pin, publish_version
from tests.unit.scoring.conftest import PlanRun, Registry
from tests.unit.scoring.linear_model import VERSION, linear_graph, publish_linear
from tests.unit.training.small_candidates import fit_small
from training.graphs.export import export_graph
from training.history.generate import generate_loans
from training.history.labelled_loans import LabelledLoans
from training.learners.candidates import CANDIDATES

SIZES = (1, 2, 3, 4, 5, 7, 8, 15, 16, 17, 31, 32, 33, 63, 64, 65, 127, 128, 129, 1000)
NAMES = ("linear", *CANDIDATES)

REPOSITORY = Path(__file__).parents[4]

_OPEN = """
import sys
from pathlib import Path
from scoring.models.model import open_model
open_model(Path(sys.argv[1]), sys.argv[2])
"""


@pytest.fixture(scope="session")
def loans(tmp_path_factory: pytest.TempPathFactory, contract: Contract) -> LabelledLoans:
    """Give 3,000 generated, labelled loans as a matrix."""
    sink = io.BytesIO()
    generate_loans(3_000, 8, labelled=True, sink=sink)
    path = tmp_path_factory.mktemp("loans") / "history.csv"
    path.write_bytes(sink.getvalue())
    plan = plan_chunks(open_source(path, contract, labelled=True), 1 << 30)
    (block,) = read_loans(plan.source, plan.chunks[0], contract, labelled=True)
    assert block.values.labels is not None
    return LabelledLoans(
        block.values.features, block.values.labels, block.rows, np.zeros(len(block.rows), np.int32), {}
    )


@pytest.fixture(scope="session")
def graphs(loans: LabelledLoans, contract: Contract) -> dict[str, bytes]:
    """Give the hand-made graph and one of each candidate, learnt from the generated loans."""
    learnt = {name: export_graph(fit_small(name, contract, loans), contract) for name in CANDIDATES}
    return {"linear": linear_graph(len(contract.features)), **learnt}


@pytest.fixture
def models(tmp_path: Path) -> Path:
    """Give a registry of its own with the hand-made model, to be damaged."""
    publish_linear(tmp_path / "models")
    return tmp_path / "models"


def bits(values: NDArray[np.float32]) -> NDArray[np.uint32]:
    """Give float32 numbers as their bits."""
    assert values.dtype == np.float32
    return np.ascontiguousarray(values).view(np.uint32)


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("name", NAMES)
def test_answer_of_a_row_is_its_own(name: str, threads: int, graphs: dict[str, bytes], loans: LabelledLoans) -> None:
    """Scored alone, in batches of any size, in another order or with other threads: the same float32, bit for bit."""
    features = loans.features[:1_000]
    expected = bits(Graph(graphs[name], 1, name).predict(features))
    graph = Graph(graphs[name], threads, name)
    assert len(np.unique(expected)) > 20
    for size in SIZES:
        parts = [graph.predict(features[at : at + size]) for at in range(0, len(features), size)]
        np.testing.assert_array_equal(bits(np.concatenate(parts)), expected, err_msg=f"batches of {size}")
    order = np.random.default_rng(1).permutation(len(features))
    np.testing.assert_array_equal(bits(graph.predict(features[order])), expected[order])
    np.testing.assert_array_equal(bits(graph.predict(np.tile(features, (40, 1)))), np.tile(expected, 40))


@pytest.mark.parametrize("name", CANDIDATES)
def test_number_of_chunks_does_not_show_with_learnt_models(
    name: str, tmp_path: Path, graphs: dict[str, bytes], loans: LabelledLoans, contract: Contract, plan_run: PlanRun,
    generated: bytes,
) -> None:  # fmt: skip
    """A file scored by a learnt model is byte-identical at 1, 2, 7 and 64 chunks, and with a chunk for each row."""
    graph = Graph(graphs[name], 1, name)
    pin = publish_version(
        tmp_path / "models", version=f"v-{name}", candidate=name, contract=contract,
        files={MODEL: graphs[name], GOLDEN: seal_golden(loans.features[:30], graph.predict)},
        metrics={}, parameters={}, training={}, packages={},
    )  # fmt: skip
    registry = Registry(tmp_path / "models", pin, contract)
    lines = generated.split(b"\n")
    whole = b"\n".join(lines[:400])
    assert len({plan_run(registry, whole, wanted).score_and_publish()[:2] for wanted in (1, 7, 64)}) == 1
    few = b"\n".join(lines[:9])
    assert len({plan_run(registry, few, wanted).score_and_publish()[:2] for wanted in (1, 20)}) == 1


def test_no_rows_have_no_answers(graphs: dict[str, bytes]) -> None:
    """An empty matrix gives an empty answer."""
    assert Graph(graphs["linear"], 1, "linear").predict(np.empty((0, 10), np.float32)).shape == (0,)


@pytest.mark.parametrize("name", [MODEL, GOLDEN])
@pytest.mark.parametrize("place", [0, 100, -1])
def test_one_flipped_bit_is_refused(models: Path, name: str, place: int) -> None:
    """One flipped bit anywhere in the graph or the golden rows keeps the version from being opened."""
    version = publish_linear_version(models)
    path = models / VERSIONS / version / name
    content = bytearray(path.read_bytes())
    content[place] ^= 1
    path.write_bytes(content)
    with pytest.raises(ModelError, match="was altered"):
        open_model(models, version)


def publish_linear_version(models: Path) -> str:
    """Name the hand-made version, which opens as it stands."""
    (version,) = [folder.name for folder in (models / VERSIONS).iterdir()]
    assert open_model(models, version).manifest.version == version
    return version


@pytest.mark.parametrize("name", [MODEL, GOLDEN])
def test_missing_file_is_refused(models: Path, name: str) -> None:
    """A version whose graph or golden rows are gone is not opened, and the file is named."""
    version = publish_linear_version(models)
    (models / VERSIONS / version / name).unlink()
    with pytest.raises(ModelError, match=name):
        open_model(models, version)


def test_other_pin_is_refused(models: Path) -> None:
    """With another hash pinned the version is not opened."""
    version = publish_linear_version(models)
    with pytest.raises(ModelError, match="was altered"):
        open_model(models, version, "0" * 64)
    with pytest.raises(ModelError, match="is not the name"):
        open_model(models, "../models")


def made_of(node: str, inputs: str = INPUT, outputs: str = OUTPUT) -> bytes:
    """Make a graph of one node."""
    graph = helper.make_graph(
        [helper.make_node(node, [inputs], [outputs])],
        "made up",
        [helper.make_tensor_value_info(inputs, TensorProto.FLOAT, [None, 1])],
        [helper.make_tensor_value_info(outputs, TensorProto.FLOAT, [None, 1])],
    )
    model: onnx.ModelProto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    content: bytes = model.SerializeToString()
    return content


@pytest.mark.parametrize(
    "content",
    [b"", b"garbage", made_of("NoSuchOperator"), made_of("Abs", inputs="x"), made_of("Abs", outputs="y")],
    ids=["empty", "garbage", "unknown operator", "other input", "other output"],
)
def test_graph_that_does_not_fit_is_refused(content: bytes) -> None:
    """What is no graph, or one that takes or gives something else, is refused by name and on one line."""
    with pytest.raises(ModelError, match="The model v1") as refused:
        Graph(content, 1, "v1")
    assert "\n" not in refused.value.what


def test_what_is_no_probability_is_refused(tmp_path: Path, plan_run: PlanRun, every_rule: Registry) -> None:
    """A model that gives a number outside 0 to 1, or none at all, publishes nothing."""
    for node, value in (("Abs", b"2"), ("Sqrt", b"-1")):
        models = tmp_path / node
        contract = Contract(1, "made up", every_rule.contract.columns[:1] + every_rule.contract.columns[2:3])
        pin = publish_version(
            models, version="v1", candidate="x", contract=contract,
            files={
                MODEL: made_of(node),
                GOLDEN: seal_golden(np.ones((1, 1), np.float32), Graph(made_of(node), 1, "x").predict),
            },
            metrics={}, parameters={}, training={}, packages={},
        )  # fmt: skip
        run = plan_run(Registry(models, pin, contract), b"id,rate\n1,0.5\n2," + value + b"\n")
        with pytest.raises(ModelError, match="not a probability"):
            run.score()
        assert list(Path(run.batch.parts).iterdir()) == []


def test_node_that_computes_otherwise_writes_nothing(tmp_path: Path, plan_run: PlanRun, reference: Registry) -> None:
    """Where the golden rows come out otherwise, host and versions are named and no part is written."""
    graph = Graph(linear_graph(10), 1, "linear")
    rows = np.ones((4, 10), np.float32)
    rows[2, 3] = np.nan
    answers = graph.predict(rows) + np.array([0, 0, 2e-6, 0], np.float32)
    pin = publish_version(
        tmp_path, version="v1", candidate="x", contract=reference.contract,
        files={MODEL: linear_graph(10), GOLDEN: seal_golden(rows, lambda _: answers)},
        metrics={}, parameters={}, training={}, packages={},
    )  # fmt: skip
    with pytest.raises(ModelError, match=r"1 of 4 golden rows differ, row 3 .*host .*onnxruntime .*numpy"):
        open_model(tmp_path, pin.version)
    header = ",".join(column.name for column in reference.contract.required).encode()
    run = plan_run(reference, header + b"\n1" + b"," * 10 + b"\n")
    batch: BatchPlan = run.batch
    moved = BatchPlan(batch.format, batch.batch, batch.plan, str(tmp_path), Pin("v1", pin.manifest_sha256), batch.parts)
    with pytest.raises(ModelError, match="golden rows differ"):
        score_chunk(moved, 0, threads=1)
    assert list(Path(batch.parts).iterdir()) == []


@pytest.mark.parametrize("variable", ["HOME", "XDG_CACHE_HOME"])
def test_opening_a_model_collects_nothing(tmp_path: Path, variable: str) -> None:
    """A process that opens and runs a model leaves no trace in an empty home or cache folder."""
    home, models = tmp_path / "home", tmp_path / "models"
    home.mkdir()
    publish_linear(models)
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("ORT_", "XDG_"))}
    subprocess.run(
        [sys.executable, "-c", _OPEN, str(models), VERSION],
        cwd=REPOSITORY, env=environment | {variable: str(home)}, check=True,
    )  # fmt: skip
    assert list(home.iterdir()) == []
