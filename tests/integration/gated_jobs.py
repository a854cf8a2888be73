"""A site whose jobs say that they began, and of which some go on only when the test lets them."""

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from inbox_watcher.settings.site_file import load_site
from local_pool.status import PoolStatus
from tests.integration.site_fixtures import LOANS, PATIENCE, LiveSite, made_site
from tests.unit.scoring.linear_model import publish_linear

# The interpreter of the site's jobs. A job is named by its --node or, of scoring, by its --chunk; a group is "group".
PYTHON = """#!/bin/sh
name=group before=
for word in "$@"; do
    case "$before" in --node | --chunk) name=$word ;; esac
    before=$word
done
case "$name" in
{held})
    : > "{gate}/$name.began"
    while [ ! -e "{gate}/$name.go" ] && [ ! -e "{gate}/all.go" ]; do sleep 0.1; done ;;
esac
exec "{python}" "$@"
"""


@dataclass(frozen=True)
class GatedSite:
    """A site, and the folder through which its jobs are held up."""

    live: LiveSite
    """The site."""
    gate: Path
    """NAME.began: the job runs; NAME.go or all.go: it may go on."""

    @property
    def began(self) -> set[str]:
        """The jobs that were held up so far."""
        return {path.stem for path in self.gate.glob("*.began")}

    def let_go(self, name: str) -> None:
        """Let one job go on, or with `all` every one."""
        (self.gate / f"{name}.go").touch()

    @contextmanager
    def retraining(self) -> Iterator["subprocess.Popen[bytes]"]:
        """Run `loans retrain`; it is stopped at the end of the block."""
        environment = {name: value for name, value in os.environ.items() if name != "CONDOR_CONFIG"}
        with self.live.file.with_name("retrain.log").open("wb") as log:
            command = subprocess.Popen(
                [str(LOANS), "retrain", "--promote", "never", "--json", "--site", str(self.live.file)],
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=log,
            )
        try:
            yield command
        finally:
            command.terminate()
            command.wait(PATIENCE)


@contextmanager
def gated_site(
    pool: PoolStatus, folder: Path, held: str, *, training: str = "", scoring: Mapping[str, int] | None = None
) -> Iterator[GatedSite]:
    """Make a site with a hand-made model in production.

    `held` is a shell pattern for the names of the jobs that are held up, `training` what the site file says under
    [training], `scoring` the settings of [scoring] that are changed.
    """
    models, gate, python = folder / "models", folder / "gate", folder / "python"
    publish_linear(models)
    # Jobs may run as another account than the test.
    gate.mkdir()
    gate.chmod(0o777)
    python.write_text(PYTHON.format(held=held, gate=gate, python=sys.executable))
    python.chmod(0o755)
    with made_site(pool, models, 0) as made:
        text = made.file.read_text()
        changes = {"[training]\n": f"[training]\n{training}", '# python = ""': f'python = "{python}"'}
        changes |= {f"\n# {name} = ": f"\n{name} = {value} # " for name, value in (scoring or {}).items()}
        for shown, wanted in changes.items():
            assert shown in text
            text = text.replace(shown, wanted)
        made.file.write_text(text)
        yield GatedSite(LiveSite(made.file, load_site(made.file)), gate)
