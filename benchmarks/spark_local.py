"""Spark in local mode with the same graph. `spark_local.py INPUT MODEL.onnx OUTPUT_FOLDER`; run where pyspark is."""

import os
import sys
from collections.abc import Iterator

import pandas as pd
from pyspark.sql import SparkSession
from rival_schema import CATEGORIES, FEATURES

graph = sys.argv[2]
os.environ["PYSPARK_PYTHON"] = sys.executable


def score(blocks: Iterator[pd.DataFrame]) -> Iterator[pd.DataFrame]:
    """Score the blocks of one partition with one session."""
    os.environ["ORT_DISABLE_TELEMETRY"] = "1"  # before the import, or onnxruntime collects usage data
    import onnxruntime

    session = onnxruntime.InferenceSession(graph, providers=["CPUExecutionProvider"])
    for loans in blocks:
        for name, categories in CATEGORIES.items():
            loans[name] = pd.Categorical(loans[name], categories=categories).codes
        (default,) = session.run(["pd"], {"features": loans[FEATURES].to_numpy("float32")})
        yield pd.DataFrame({"id": loans["id"], "pd": default.reshape(-1)})


spark = SparkSession.builder.master("local[*]").config("spark.driver.memory", "8g").getOrCreate()
read = spark.read.csv(sys.argv[1], header=True, inferSchema=True)
read.mapInPandas(score, "id long, pd float").write.mode("overwrite").csv(sys.argv[3], header=True)
