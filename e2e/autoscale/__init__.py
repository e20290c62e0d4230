"""`make bench-autoscale`: Conch's scaler, everyone else's rules and the oracle on the same cases.

- ``cases``   what is measured: traces, service curves, cold starts, and how they become scenarios
- ``unseen``  others, drawn at random: cases that nobody tuned on
- ``jobs``    one unit of work each: a reference, a run of Conch, a tuned rule; values in and out
- ``store``   results on disk, by a hash of the case and of the code that they rest on
- ``runner``  the jobs over two processes, with the time left
- ``figures`` from results to the rows of the table; the rule that tells a surge is in it
- ``plot``    late share against cost, one self-contained page
"""
