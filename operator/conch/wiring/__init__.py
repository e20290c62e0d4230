"""How the operator is put together: it starts, stops and connects, and knows no rule.

Start with ``runtime``. Custom resources come through kopf (``handlers``, without its ``storage``),
counted by ``census``; everything else through ``watches``, and ``changes`` says whom each wakes.
``health`` answers the kubelet.
"""
