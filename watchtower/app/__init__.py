"""The composition root: puts the real parts behind the ports, starts them, reloads them, stops them.

`parts` builds what follows from a configuration, `instance` owns the running whole, `tasks` is its periodic work.
"""

from watchtower.app.instance import Instance
from watchtower.app.options import Options

__all__ = ["Instance", "Options"]
