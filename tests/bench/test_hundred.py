from e2e.bench.hundred import bare


def test_bare_manifests_have_the_pods_and_nothing_of_the_owner_or_the_server() -> None:
    spec = {"selector": {"a": "b"}, "clusterIP": "10.96.0.7", "clusterIPs": ["10.96.0.7"]}
    live = {
        "metadata": {
            "name": "s",
            "namespace": "n",
            "labels": {"a": "b"},
            "uid": "1",
            "resourceVersion": "2",
            "ownerReferences": [{"uid": "3"}],
            "annotations": {"conch.dev/applied": "4"},
        },
        "spec": spec,
        "status": {},
    }
    assert bare(live) == {
        "metadata": {"name": "s", "namespace": "n", "labels": {"a": "b"}},
        "spec": {"selector": {"a": "b"}},
    }
