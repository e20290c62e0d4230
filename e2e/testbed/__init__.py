"""The test bed: a throwaway Kubernetes on this machine, without a container engine.

Look next at `cluster.py` (what up and down do, in order) and `spec.py` (what can be asked for).
Standard library only: it has to start on a machine that has nothing but Python.
"""

from e2e.testbed.cluster import Cluster
from e2e.testbed.errors import TestbedError
from e2e.testbed.progress import Progress
from e2e.testbed.spec import ClusterSpec

__all__ = ["Cluster", "ClusterSpec", "Progress", "TestbedError"]
