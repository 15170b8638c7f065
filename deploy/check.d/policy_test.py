"""Checks that policy.py reports every violation: removes one required key at a time and expects a violation.

usage: policy_test.py COMPOSE.json CHART.yaml      neither may have violations
"""

import copy
import json
import sys

import policy
import yaml


def without(tree, path):
    """Returns a copy of `tree` without the key at `path`."""
    tree = copy.deepcopy(tree)
    parent = tree
    for key in path[:-1]:
        parent = parent[key]
    del parent[path[-1]]
    return tree


def main():
    compose = json.load(open(sys.argv[1], encoding="utf-8"))
    chart = [document for document in yaml.safe_load_all(open(sys.argv[2], encoding="utf-8")) if document]
    assert not list(policy.compose(compose)) and not list(policy.chart(chart)), "the files have violations before anything is removed"
    removed = 0
    service = ["services", "gateway"]
    for key in "image healthcheck user read_only cap_drop security_opt mem_limit cpus pids_limit".split():
        assert list(policy.compose(without(compose, [*service, key]))), f"the Compose file without {key} passes"
        removed += 1
    latest = copy.deepcopy(compose)
    latest["services"]["gateway"]["image"] = "tidemark-gateway:latest"
    assert list(policy.compose(latest)), "an image without a version passes"

    deployment = next(index for index, document in enumerate(chart) if document["kind"] == "Deployment")
    pod = [deployment, "spec", "template", "spec"]
    container = [*pod, "containers", 0]
    for path in (
        [*pod, "securityContext"],
        [*pod, "securityContext", "runAsNonRoot"],
        [*pod, "securityContext", "seccompProfile"],
        [*pod, "automountServiceAccountToken"],
        [*pod, "topologySpreadConstraints"],
        [*container, "securityContext"],
        [*container, "securityContext", "readOnlyRootFilesystem"],
        [*container, "securityContext", "allowPrivilegeEscalation"],
        [*container, "securityContext", "capabilities"],
        [*container, "resources", "limits"],
        [*container, "resources", "requests", "memory"],
        *([*container, probe] for probe in policy.PROBES),
    ):
        assert list(policy.chart(without(chart, path))), f"the chart without {path[2:]} passes"
        removed += 1
    for kind in ("PodDisruptionBudget", "NetworkPolicy"):
        fewer = [document for document in chart if document["kind"] != kind]
        assert list(policy.chart(fewer)), f"the chart without a {kind} passes"
        removed += 1
    print(f"policy: {removed + 1} violations made, all reported")


if __name__ == "__main__":
    main()
