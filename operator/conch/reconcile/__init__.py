"""What is done with what is known: queue, plan, the loops beside it, and the only writer.

Start with ``controller``: one key at a time, ``plan`` (pure) says what to write, ``apply`` writes.
``steps`` has a module per condition. Beside it run the loops that decide for many services at once
and only publish: ``scaling`` (how many), ``placement`` with ``relief`` and ``moves`` (where),
``energy`` and ``carbon`` (for how much), ``activators`` (who waits at zero). ``memory`` keeps what
outlives the operator.
"""
