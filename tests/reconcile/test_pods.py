"""Each way a pod can fail has one reason, a next step, and the words of whoever knows."""

from __future__ import annotations

import json

import pytest

from conch.api.conditions import Reason
from conch.kube import views
from conch.reconcile.steps.pods import diagnose
from tests.reconcile.builders import container, pod

FETCH = json.dumps({"reason": "ModelNotFound", "message": "resnet: nothing at s3://m/resnet."})
UNSCHEDULABLE = views.StatusCondition(
    "PodScheduled", "False", "Unschedulable", "0/3 nodes are available: 3 Insufficient memory."
)


@pytest.mark.parametrize(
    ("broken", "reason", "words"),
    [
        (
            pod(ready=False, container_statuses=(container(waiting=("ErrImagePull", "no such")),)),
            Reason.IMAGE_PULL,
            "triton:24.10",
        ),
        (
            pod(
                ready=False,
                init_container_statuses=(
                    container(name="fetch", ended=views.Terminated("Error", FETCH, 1)),
                ),
            ),
            Reason.MODEL_NOT_FOUND,
            "nothing at s3://m/resnet",
        ),
        (
            pod(
                ready=False,
                container_statuses=(container(ended=views.Terminated("OOMKilled", "", 137)),),
            ),
            Reason.OUT_OF_MEMORY,
            "spec.resources.memory",
        ),
        (
            pod(
                ready=False,
                init_container_statuses=(
                    container(name="fetch", ended=views.Terminated("OOMKilled", "", 137)),
                ),
            ),
            Reason.MODEL_INVALID,
            "more memory to be unpacked",
        ),
        (
            pod(
                ready=False,
                container_statuses=(container(ended=views.Terminated("Error", FETCH, 1)),),
            ),
            Reason.CRASH_LOOP,
            "ends with code 1",
        ),
        (
            pod(
                ready=False,
                container_statuses=(
                    container(
                        ended=views.Terminated("Error", "x\nerror: creating server: bad flag\n", 1)
                    ),
                ),
            ),
            Reason.CRASH_LOOP,
            "bad flag",
        ),
        (
            pod(
                ready=False,
                container_statuses=(
                    container(waiting=("CreateContainerConfigError", 'secret "s" not found')),
                ),
            ),
            Reason.CONFIG_ERROR,
            'secret "s" not found',
        ),
        (pod(ready=False, conditions=(UNSCHEDULABLE,)), Reason.UNSCHEDULABLE, "Insufficient"),
        (
            views.Pod(status=views.PodStatus(phase="Failed", reason="Evicted", message="disk")),
            Reason.EVICTED,
            "disk",
        ),
    ],
)
def test_each_failure_has_its_reason(broken: views.Pod, reason: Reason, words: str) -> None:
    problem = diagnose(broken)
    assert problem is not None
    assert problem.reason is reason
    assert words in problem.message
    assert problem.message.endswith(".")


def test_a_missing_secret_is_named() -> None:
    message = 'MountVolume.SetUp failed for volume "secret-0" : secret "s3-reader" not found'
    problem = diagnose(pod(ready=False), mount_problem=message)
    assert problem is not None
    assert problem.reason is Reason.SECRET_NOT_FOUND
    assert "s3-reader" in problem.message


def test_tritons_own_words_about_a_model() -> None:
    problem = diagnose(pod(ready=False), model_problem="resnet: Internal: SyntaxError")
    assert problem is not None
    assert problem.reason is Reason.MODEL_INVALID
    assert "SyntaxError" in problem.message


def test_starting_and_ready_pods_have_no_problem() -> None:
    assert diagnose(pod(ready=False)) is None
    assert diagnose(pod(), mount_problem="old news", model_problem="old news") is None


def test_a_pod_that_was_restarted_and_is_ready_again_is_fine() -> None:
    status = views.ContainerStatus(
        name="triton",
        ready=True,
        last_state=views.ContainerState(terminated=views.Terminated("OOMKilled", "", 137)),
    )
    assert diagnose(pod(container_statuses=(status,))) is None
