"""The floor: a bare polars + onnxruntime script, no validation, no proof. `floor.py INPUT MODEL.onnx OUTPUT`."""

import os
import sys

os.environ["ORT_DISABLE_TELEMETRY"] = "1"  # before the import, or onnxruntime collects usage data

import numpy as np
import onnxruntime
import polars as pl
from rival_schema import CATEGORIES, FEATURES

loans = pl.read_csv(sys.argv[1])
matrix = loans.select(
    pl.col(name).cast(pl.Enum(CATEGORIES[name])).to_physical().cast(pl.Float32)
    if name in CATEGORIES
    else pl.col(name).cast(pl.Float32)
    for name in FEATURES
).to_numpy(order="c")
options = onnxruntime.SessionOptions()
options.intra_op_num_threads = 1
options.inter_op_num_threads = 1
session = onnxruntime.InferenceSession(sys.argv[2], options, providers=["CPUExecutionProvider"])
(pd,) = session.run(["pd"], {"features": np.ascontiguousarray(matrix)})
loans.select("id").with_columns(pl.Series("pd", pd.reshape(-1))).write_csv(sys.argv[3])
