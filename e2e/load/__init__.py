"""An open-loop load of real inference requests, over HTTP and gRPC.

Open loop: requests are sent when their time has come, whether or not earlier ones were answered;
a closed loop would slow down with the server and hide its lateness. Latency counts from the moment
a request was due, so a generator that cannot keep up makes itself look late, never the server good.

``python -m e2e.load --help``; start with ``arrivals``, then ``run``.
"""
