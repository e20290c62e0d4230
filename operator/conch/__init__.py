"""Conch: models on NVIDIA Triton, to a latency objective, on Kubernetes.

Where to look next: ``api.v1alpha1`` (what users write), ``reconcile.plan`` (what we do about it),
``docs/architecture.md`` (the one diagram).
"""

__version__ = "0.1.0"
