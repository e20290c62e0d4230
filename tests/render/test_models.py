from __future__ import annotations

from typing import Any

from conch.fetch.request import FetchRequest, parse
from conch.kube.views import Object
from conch.render.models import Staging, staging
from tests.render.cases import FULL_SPEC, MINIMAL_SPEC, MULTI_SPEC, RUNTIME, options, service


def _stage(spec: dict[str, Any], **changes: Any) -> Staging:
    return staging(service(spec), RUNTIME, options(**changes))


def _fetch(stage: Staging) -> Object:
    return stage.init_containers[-1]


def _understood(stage: Staging) -> FetchRequest:
    """What the puller reads once the kubelet has expanded the arguments."""
    return parse([argument.replace("$$", "$") for argument in _fetch(stage)["args"]])


def test_the_puller_reads_what_was_rendered() -> None:
    request = _understood(_stage(FULL_SPEC, fetch_max_bytes=7, allow_private_hosts=True))
    assert request.max_bytes == 7
    assert request.allow_private_hosts is True
    assert request.allowed_sources == ("s3://", "https://", "pvc://", "image://")
    (model,) = request.models
    assert model.name == "resnet50"
    assert model.uri == "s3://models/resnet$(HOME)50"  # the kubelet must not expand it
    assert model.digest == "sha256:" + "0" * 64
    assert model.secret_dir == "/secrets/0"
    assert model.config == {
        "maxBatchSize": 8,
        "dynamicBatching": {"maxQueueDelay": "2ms", "preferredBatchSizes": [4, 8]},
        "instances": 2,
    }


def test_a_baked_model_is_copied_out_by_the_runtime_image() -> None:
    stage = _stage(MINIMAL_SPEC)
    bake, fetch = stage.init_containers
    assert bake["image"] == RUNTIME.image
    assert [*bake["command"], *bake["args"]] == [
        "cp",
        "-RLf",
        "/opt/models/resnet/.",
        "/models/.baked-0",
    ]
    assert fetch["image"] == "ghcr.io/conch-dev/conch:0.1.0"
    assert _understood(stage).models[0].source_dir == "/models/.baked-0"


def test_one_volume_per_claim_and_per_secret() -> None:
    stage = _stage(MULTI_SPEC)
    assert [volume["name"] for volume in stage.volumes] == ["models", "secret-1", "source-2"]
    mounts = {m["mountPath"]: m["name"] for m in _fetch(stage)["volumeMounts"]}
    assert mounts == {
        "/models": "models",
        "/secrets/1": "secret-1",
        "/sources/2": "source-2",
        "/sources/3": "source-2",
        "/secrets/4": "secret-1",
    }
    directories = [model.source_dir for model in _understood(stage).models]
    assert directories == ["/models/.baked-0", "", "/sources/2", "/sources/3", ""]


def test_credentials_are_files_that_only_the_puller_sees() -> None:
    for spec in (FULL_SPEC, MULTI_SPEC):
        stage = _stage(spec)
        for container in stage.init_containers:
            assert "env" not in container
            assert "envFrom" not in container
        others = stage.init_containers[:-1]
        assert all(m["name"] == "models" for c in others for m in c["volumeMounts"])
        secrets = [volume["secret"] for volume in stage.volumes if "secret" in volume]
        assert [secret["defaultMode"] for secret in secrets] == [0o440]


def test_only_a_release_that_knows_them_gets_buckets() -> None:
    for release, known in (("24.10", False), ("24.11", True), ("26.07", True)):
        runtime = RUNTIME.model_copy(update={"release": release})
        (model,) = _understood(staging(service(MINIMAL_SPEC), runtime, options())).models
        assert model.stream_buckets is known
