"""Which accelerator class each service runs on. Pure: values in, values out.

Start with ``planner.plan``; ``fit`` holds the predicates, ``ledger`` what is free, ``explain`` the
sentences. How an assignment reads in a pod is ``render.placement``.
"""

from conch.placement.planner import Planner, plan

__all__ = ["Planner", "plan"]
