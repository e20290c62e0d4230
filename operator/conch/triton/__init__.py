"""Everything Conch knows about the Triton server itself.

- ``arguments``  its command line, gated by release (pure)
- ``capability`` which GPUs a release runs on (pure)
- ``sample``     what one look at one pod gives: the values the autoscaler is fed
- ``metrics``    its Prometheus text, parsed (pure)
- ``statistics`` its ``/v2/models/stats`` answer, parsed (pure)
- ``scrape``     one look at one pod, over HTTP

Whether a pod is *ready* is the kubelet's to find out; nothing here loads or unloads a model.
"""
