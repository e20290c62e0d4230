import json

from e2e.testbed import gpus, kwok


def test_nodes_take_the_fleet_in_turn_and_have_names_of_their_own() -> None:
    made = kwok.nodes(12, first=3)
    assert len({one["metadata"]["name"] for one in made}) == 12
    assert made[0]["metadata"]["name"] == "kwok-gpu-0003"
    products = [one["metadata"]["labels"]["nvidia.com/gpu.product"] for one in made]
    assert set(products) == {model.product for model in gpus.FLEET}


def test_a_node_offers_the_gpus_that_its_labels_count() -> None:
    for one in kwok.nodes(len(gpus.FLEET)):
        count = one["metadata"]["labels"]["nvidia.com/gpu.count"]
        assert one["status"]["allocatable"][gpus.RESOURCE] == count
        assert one["status"]["capacity"] == one["status"]["allocatable"]


def test_the_configuration_is_documents_of_json() -> None:
    kinds = [json.loads(document)["kind"] for document in kwok.config().split("\n---\n")]
    assert kinds[0] == "KwokConfiguration"
    assert kinds[1:] == ["Stage"] * len(kwok.stages())


def test_templates_open_and_close_their_blocks() -> None:
    for stage in kwok.stages():
        template = stage["spec"]["next"].get("statusTemplate", "")
        opened = template.count("{{ range") + template.count("{{ if")
        assert template.count("{{ end }}") == opened
