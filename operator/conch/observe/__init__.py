"""What is known of the cluster, as values; it talks to nobody.

Start with ``types``, the vocabulary, and ``state``, which holds it all: fed by watches, read by
placement, scaling and reconciling. ``observation`` is the picture of one service. ``inventory``
counts units on nodes, for ``classes`` that people declare or ``discovery`` reads off labels;
``dra`` and ``cel`` do that for claimed devices. ``catalogue`` and ``speeds`` know GPUs.
"""
