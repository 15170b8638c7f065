"""Checks the security and resource policy for containers, and prints every violation.

usage: policy.py compose FILE      FILE: output of `docker compose config --format json` with every profile
       policy.py chart FILE...     FILE: output of `helm template`
"""

import json
import re
import sys

import yaml

PROBES = ("startupProbe", "readinessProbe", "livenessProbe")
# A tag with a version, such as `1.2.3`, `26.7` or `v3.5.0-alpine`, but not `latest`.
VERSION = re.compile(r"^v?\d+(\.\d+)+([-.][0-9A-Za-z.]+)*$")


def tag_of(image):
    name, _, tag = image.rpartition(":")
    return tag if name and "/" not in tag else ""


def compose(config):
    """Yields the violations in a Compose file."""
    for name, service in config["services"].items():
        lacks = lambda key: not service.get(key)
        if not VERSION.match(tag_of(service.get("image", ""))):
            yield f"{name}: image {service.get('image')!r} has no version as its tag"
        if lacks("healthcheck") or not service["healthcheck"].get("test"):
            yield f"{name}: no healthcheck"
        user = str(service.get("user", "")).split(":")[0]
        if not user.isdigit() or int(user) == 0:
            yield f"{name}: user {service.get('user')!r} is not a numeric id other than 0"
        if not service.get("read_only"):
            yield f"{name}: the root file system can be written"
        if service.get("cap_drop") != ["ALL"]:
            yield f"{name}: keeps capabilities"
        if service.get("privileged") or service.get("cap_add") or service.get("network_mode") == "host":
            yield f"{name}: has privileges outside its container"
        if "no-new-privileges:true" not in service.get("security_opt", []):
            yield f"{name}: can gain privileges"
        for limit in ("mem_limit", "cpus", "pids_limit"):
            if lacks(limit):
                yield f"{name}: no {limit}"
        for other, how in service.get("depends_on", {}).items():
            if how.get("condition") != "service_healthy":
                yield f"{name}: does not wait until {other} is healthy"
        for port in service.get("ports", []):
            if not port.get("host_ip"):
                yield f"{name}: port {port.get('published')} is published on every address"


def chart(documents):
    """Yields the violations in the rendered documents of a chart."""
    workloads = [d for d in documents if d.get("kind") in ("Deployment", "StatefulSet", "DaemonSet", "Job")]
    if not workloads:
        yield "the chart renders no workload, so there is nothing to check"
    for workload in workloads:
        name, pod = workload["metadata"]["name"], workload["spec"]["template"]["spec"]
        context = pod.get("securityContext", {})
        if not context.get("runAsNonRoot") or not context.get("runAsUser"):
            yield f"{name}: can run as root"
        if context.get("seccompProfile", {}).get("type") != "RuntimeDefault":
            yield f"{name}: no seccomp profile"
        if pod.get("automountServiceAccountToken", True):
            yield f"{name}: mounts a service account token"
        if pod.get("hostNetwork") or pod.get("hostPID") or pod.get("hostIPC"):
            yield f"{name}: shares the host's namespaces"
        if any("hostPath" in volume for volume in pod.get("volumes", [])):
            yield f"{name}: mounts files of the host"
        if not pod.get("topologySpreadConstraints"):
            yield f"{name}: no topologySpreadConstraints, so all pods can be on one node"
        for kind in ("PodDisruptionBudget", "NetworkPolicy"):
            if not any(d.get("kind") == kind and d["metadata"]["name"] == name for d in documents):
                yield f"{name}: no {kind}"
        for container in pod.get("initContainers", []) + pod["containers"]:
            yield from container_violations(f"{name}/{container['name']}", container)


def container_violations(name, container):
    """Yields the violations of one container in a pod."""
    context = container.get("securityContext", {})
    if not context.get("readOnlyRootFilesystem"):
        yield f"{name}: the root file system can be written"
    if context.get("allowPrivilegeEscalation", True) or context.get("privileged"):
        yield f"{name}: can gain privileges"
    if context.get("capabilities", {}).get("drop") != ["ALL"] or context.get("capabilities", {}).get("add"):
        yield f"{name}: keeps capabilities"
    if not VERSION.match(tag_of(container["image"])):
        yield f"{name}: image {container['image']!r} has no version as its tag"
    for probe in PROBES:
        if probe not in container:
            yield f"{name}: no {probe}"
    for kind in ("requests", "limits"):
        for resource in ("cpu", "memory"):
            if not container.get("resources", {}).get(kind, {}).get(resource):
                yield f"{name}: no {resource} in resources.{kind}"


def main():
    kind, files = sys.argv[1], sys.argv[2:]
    violations = []
    for path in files:
        with open(path, encoding="utf-8") as file:
            if kind == "compose":
                found = compose(json.load(file))
            else:
                found = chart([document for document in yaml.safe_load_all(file) if document])
            violations += [f"{path}: {violation}" for violation in found]
    print("\n".join(violations) or f"{kind}: no violations in {len(files)} file(s)")
    sys.exit(1 if violations else 0)


if __name__ == "__main__":
    main()
