"""The rival: pandas and a pickled scikit-learn pipeline. `pandas_pickle.py INPUT MODEL.pickle OUTPUT`."""

import pickle
import sys
from pathlib import Path

import numpy as np
import pandas as pd
from rival_schema import CATEGORIES, FEATURES

pipeline = pickle.loads(Path(sys.argv[2]).read_bytes())  # noqa: S301 (the benchmark made it a moment ago)
loans = pd.read_csv(sys.argv[1])
for name, categories in CATEGORIES.items():
    loans[name] = pd.Categorical(loans[name], categories=categories).codes
matrix = loans[FEATURES].to_numpy(np.float32)
pd.DataFrame({"id": loans["id"], "pd": pipeline.predict_proba(matrix)[:, 1]}).to_csv(sys.argv[3], index=False)
