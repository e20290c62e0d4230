"""What runs against a real Kubernetes: the test bed, the demo and the benchmarks.

Look next at `testbed/`: it brings the cluster up that everything else here uses.
"""
