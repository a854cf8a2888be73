"""Batch loan scoring on an HTCondor pool, from Python: `import loans; site = loans.open_site("loans.toml")`.

`loans.api` describes what an open site offers. The console command `loans` is in `loans.app`.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from loans.api import Session, open_site

__all__ = ["Session", "open_site"]


def __getattr__(name: str) -> Any:
    """Import the API when it is first asked for: the console command starts without it."""
    if name in __all__:
        from loans import api

        return getattr(api, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
