"""Which accelerator class each service runs on. Pure: values in, values out.

Start with ``planner``. ``fit`` holds the predicates, ``roster`` the nodes of each class (sorted
into ``candidates``), ``ledger`` what is free, ``options`` what each service could take and what
that is worth, ``areas`` where it is cleaner; ``search`` (with prices from ``market``) and ``exact``
choose for all ``seats`` at once; ``answers`` tells each what came of it, in the sentences of
``explain``. How an assignment reads in a pod is ``render.placement``.
"""

from conch.placement.planner import Planner, plan

__all__ = ["Planner", "plan"]
