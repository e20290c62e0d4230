"""What a service costs, draws and emits: pure arithmetic on what was seen.

Start with ``account.Account``; ``power`` says whose watts are whose, ``rates`` which grid feeds a
pod and what its energy emits. Sources of intensity and meters are `conch.grid`, the loop is
`conch.reconcile.energy`.
"""
