"""Ray Data with the same graph. `ray_data.py INPUT MODEL.onnx OUTPUT_FOLDER`; run where ray is installed."""

import os
import sys

os.environ["ORT_DISABLE_TELEMETRY"] = "1"  # before the import, or onnxruntime collects usage data

import onnxruntime
import pandas as pd
import ray
from rival_schema import CATEGORIES, FEATURES


class Scorer:
    """Holds one session for each worker."""

    def __init__(self, graph: str) -> None:
        """Open the graph."""
        self._session = onnxruntime.InferenceSession(graph, providers=["CPUExecutionProvider"])

    def __call__(self, loans: pd.DataFrame) -> pd.DataFrame:
        """Score a block."""
        for name, categories in CATEGORIES.items():
            loans[name] = pd.Categorical(loans[name], categories=categories).codes
        (default,) = self._session.run(["pd"], {"features": loans[FEATURES].to_numpy("float32")})
        return pd.DataFrame({"id": loans["id"], "pd": default.reshape(-1)})


ray.init(num_cpus=os.cpu_count(), include_dashboard=False, configure_logging=False)
scored = ray.data.read_csv(sys.argv[1]).map_batches(
    Scorer,
    fn_constructor_args=(sys.argv[2],),
    batch_format="pandas",
    # Half a CPU each: workers that took all of them would leave none for reading.
    num_cpus=0.5,
    concurrency=os.cpu_count(),
)
scored.write_csv(sys.argv[3])
