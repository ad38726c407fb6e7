"""Probes: what a pipeline makes and needs, looked at from outside, since many a task tells nobody of its data.

`tables` asks databases (`sql` has their dialects), `objects` lists files of `places`, `dependencies` tries addresses,
certificates and files. What is wrong is a problem of the source that says which jobs or datasets it concerns.
"""

from collectors.probes.dependencies import DependencyProbe
from collectors.probes.objects import ObjectProbe
from collectors.probes.tables import DatasetProbe

__all__ = ["DatasetProbe", "DependencyProbe", "ObjectProbe"]
