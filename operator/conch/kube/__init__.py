"""The Kubernetes API: requests, local copies, leadership.

`transport` sends, `credentials` say to whom and as whom, `reflector` mirrors one kind, `views` are
what is kept of it, `lease` elects a leader, `quantity` does exact arithmetic on "500m" and "1.5Gi".
Nothing here knows what Conch is about.
"""
