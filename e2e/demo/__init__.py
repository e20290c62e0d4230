"""The demo: from nothing to a real model that scales with its load, and a verdict.

``__main__`` holds the steps in order, ``access`` how a cluster is reached (the embedded one or a
kubectl context), ``served`` the service that is shown, ``show`` the live table and the verdict.
"""
