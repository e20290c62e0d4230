"""The activator: it holds connections to services that have no replica, until one is ready.

A small process of its own, in two replicas. It is in the path of a service only while that has no
server: the operator writes it into an EndpointSlice of the service, and takes it out again. It
writes nothing to the cluster and keeps nothing: what it holds is lost with it, and nothing else is.

- ``slices``      what the EndpointSlices say: ports to listen on, servers to pass on to
- ``http1`` ``http2``  the little of the protocols that polite holding needs
- ``connection``  one client and, later, its server: bytes both ways, bounded
- ``holder``      who waits for what, for how long; who is passed on to whom
- ``probe``       does a server have its models
- ``control``     probes, metrics, and what the operator asks: who waits
- ``run``         start and stop

Why it is as it is: docs/design/003-activator.md.
"""
