"""What an analyst on another machine may do on the shared tree, over NFS."""

import pytest

from tests.lab.estate import ROOT
from tests.lab.service import Service

CLOSED = "archive batches history models models/versions training"

pytestmark = pytest.mark.timeout(1800)


def test_an_analyst_drops_and_reads_and_nothing_else(service: Service) -> None:
    """Through the NFS client of another machine an analyst creates in the inbox only and changes no result."""
    service.generate("mine.csv", 200, 51)
    service.drop("mine.csv")
    service.await_published(["mine.csv"], 200)
    results = f"{ROOT}/outbox/mine.predictions.csv"
    service.as_analyst(f"head -1 {results} >/dev/null; ls {ROOT}/outbox {ROOT}/failed {ROOT}/inbox >/dev/null")
    refused = service.as_analyst(
        f"""
        for folder in . outbox failed {CLOSED}; do
          ! touch {ROOT}/$folder/planted 2>/dev/null || echo created in $folder
        done
        for folder in {CLOSED}; do ! ls {ROOT}/$folder >/dev/null 2>&1 || echo lists $folder; done
        ! echo x 2>/dev/null >>{results} || echo altered
        ! mv -f mine.csv {results} 2>/dev/null || echo replaced
        ! rm -f {results} 2>/dev/null || echo removed
        """
    )
    assert refused == ""
    service.check_once("mine.csv", 200)
    assert service.as_analyst(f"stat -c %a {ROOT}/inbox {ROOT}/outbox").split() == ["3770", "2750"]
