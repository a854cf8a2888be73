"""Storage that makes trouble when it is told to: the preloaded shim, built where it is needed."""

import errno
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

SOURCE = Path(__file__).with_name("shim.c")


def build_shim(folder: Path) -> Path:
    """Compile the shim; a machine that runs these tests has a C compiler."""
    compiler = shutil.which("cc")
    assert compiler is not None, "these tests need a C compiler: cc was not found"
    built = folder / "shim.so"
    subprocess.run([compiler, "-shared", "-fPIC", "-O1", "-o", built, SOURCE, "-ldl"], check=True)
    return built


class Storage:
    """The storage under one folder, for processes that are started with `environment`."""

    def __init__(self, shim: Path, prefix: Path, control: Path) -> None:
        """Start without trouble."""
        self._control = control
        self.environment = {
            "LD_PRELOAD": str(shim),
            "LOANS_SHIM_PREFIX": str(prefix) + "/",
            "LOANS_SHIM_CONTROL": str(control),
        }
        self._say("")

    @contextmanager
    def trouble(self, action: str, number: str = "", *, ops: str = "all", percent: int = 100) -> Iterator[None]:
        """Make trouble while the block lasts: `errno`, `lie` (done, then the error is told) or `hang`."""
        self._say(f"{ops} {action} {getattr(errno, number) if number else 0} {percent}")
        try:
            yield
        finally:
            self._say("")

    def _say(self, text: str) -> None:
        fresh = self._control.with_suffix(".new")
        fresh.write_text(text)
        os.rename(fresh, self._control)
