"""What a service costs, draws and emits: pure arithmetic on what was seen.

Start with ``account.Account``; ``power`` says whose watts are whose, ``rates`` what an hour of a
pod costs and emits. Sources of intensity and meters are `conch.grid`, the loop is
`conch.reconcile.energy`.
"""
