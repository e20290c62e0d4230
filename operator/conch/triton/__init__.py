"""Everything Conch knows about the Triton server itself.

- ``arguments``  its command line, gated by release (pure)
- ``capability`` which GPUs a release runs on (pure)
- ``sample``     what one look at one pod gives: the values the autoscaler is fed
- ``metrics``    its Prometheus text, parsed (pure)
- ``statistics`` its ``/v2/models/stats`` answer, parsed (pure)
- ``waiting``    what of a model's times a client waits for: ensembles and streams (pure)
- ``scrape``     one look at one pod, over HTTP
- ``prometheus`` the same looks from a Prometheus, while pods cannot be reached

Whether a pod is *ready* is the kubelet's to find out; nothing here loads or unloads a model.
"""
