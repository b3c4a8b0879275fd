"""What tests/deploy/validate.sh runs. Each function below CHECKS yields a sentence for everything that is wrong."""

import json
import re
import shutil
import subprocess
import sys
import tempfile
from functools import cache
from pathlib import Path

import kubernetes_validate
import yaml

DEPLOY = Path("deploy")
OVERLAYS = ["keda", "single", "workers"]
RULES = DEPLOY / "rules.yml"
RULE_OBJECT = DEPLOY / "base" / "prometheus_rule.yaml"
KUBERNETES = "1.37"

# kubernetes-validate passes what it does not know. CRD_KEYS checks these kinds instead.
OPERATOR_KINDS = {"PrometheusRule", "ServiceMonitor"}
UNKNOWN_KINDS = {
    "keda": OPERATOR_KINDS | {"ScaledObject", "TriggerAuthentication"},
    "single": OPERATOR_KINDS,
    "workers": OPERATOR_KINDS,
}

# The keys of custom resources that we write; `!` marks those that must be there. A text is the pattern of a value, and
# `*` stands for any key.
ANY = r"[\s\S]+"
DURATION = r"\d+(ms|s|m|h)"
METADATA = {"name!": ANY, "labels": {"*": ANY}}
CRD_KEYS = {
    "monitoring.coreos.com/v1 ServiceMonitor": {
        "selector!": {"matchLabels!": {"*": ANY}},
        "endpoints!": [{
            "port!": ANY, "scheme": "https?", "path": "/.*", "interval": DURATION,
            "relabelings": [{"action!": "labeldrop", "regex!": "endpoint"}],
            "tlsConfig": {"serverName": ANY, "ca": {"secret!": {"name!": ANY, "key!": ANY}}},
        }],
    },
    "monitoring.coreos.com/v1 PrometheusRule": {
        "groups!": [{"name!": ANY, "rules!": [{
            "alert!": ANY, "expr!": ANY, "for": DURATION, "labels": {"*": ANY}, "annotations": {"*": ANY},
        }]}],
    },
    "keda.sh/v1alpha1 ScaledObject": {
        "scaleTargetRef!": {"apiVersion": ANY, "kind": ANY, "name!": ANY},
        "minReplicaCount": int, "maxReplicaCount": int, "pollingInterval": int, "cooldownPeriod": int,
        "fallback": {"failureThreshold!": int, "replicas!": int},
        "advanced": {"horizontalPodAutoscalerConfig": {
            "behavior": {"scaleDown": {"stabilizationWindowSeconds": int}},
        }},
        "triggers!": [{
            "type!": "postgresql",
            "metadata!": {"query!": ANY, "targetQueryValue!": r"\d+", "activationTargetQueryValue": r"\d+"},
            "authenticationRef!": {"name!": ANY},
        }],
    },
    "keda.sh/v1alpha1 TriggerAuthentication": {
        "secretTargetRef!": [{"parameter!": "connection", "name!": ANY, "key!": ANY}],
    },
}

# What windrow accepts. docs/configuration.md has all keys, and those of `serve` must be these.
SERVE_KEYS = {
    "listen": ANY, "queue": r"(sqlite:/.+|postgres://.+|\$\{\w+\})", "workers": int, "min_workers": int,
    "max_workers": int, "grace": DURATION, "cache": ANY, "cache_memory": ANY, "cache_bytes": ANY, "file_cache": ANY,
    "file_cache_bytes": ANY, "inputs_check": ANY, "tokens": ANY, "tls": {"cert!": ANY, "key!": ANY}, "max_symbols": int, "max_queued": int,
    "max_queued_per_client": int, "history_rows": int, "history_age": ANY, "max_requests": int,
    "max_requests_per_client": int, "cors": [ANY], "endpoints": {"*": {"per_second": int, "at_once": int}},
    "warm_up": [{"sets!": [ANY], "symbols": [ANY], "cron": ANY}],
    "traces": {"endpoint": r"https?://.+", "sample_ratio": ANY, "service_name": ANY},
}
SHARED_FLAGS = {"--listen", "--queue", "--workers", "--grace", "--threads", "--memory-limit", "--log-format"}
FLAGS = {"serve": SHARED_FLAGS | {"--insecure"}, "worker": SHARED_FLAGS}
SECONDS_TO_SPARE = 15

# The table of the queue that counts its jobs, and the other words that the query of the ScaledObject may use.
QUEUE_NAMES = {"windrow_queue", "counts", "state", "priority", "cost", "queued", "running"}
QUERY_WORDS = {"select", "coalesce", "sum", "0", "bigint", "from", "where", "in"}

METRICS = Path("docs/metrics.md")
LABELS_OF_PROMETHEUS = {"le", "job", "instance", "namespace"}
PROMQL_WORDS = {"and", "or", "unless", "offset", "bool", "inf", "nan"}
OF_PROMETHEUS = {"up"}
DASHBOARD_VARIABLES = {"$__rate_interval": "5m", "$__range": "6h", "$namespace": ".*", "$set": ".*"}

# systemd rates what a unit could still do, from 0 to 100.
EXPOSURE = 15


class UniqueKeys(yaml.SafeLoader):
    """Refuses a mapping that has a key twice, of which YAML readers silently take one."""


def mapping_of(loader, node):
    keys = [loader.construct_object(key) for key, _ in node.value]
    for key in keys:
        if keys.count(key) > 1:
            raise yaml.YAMLError(f"the key {key} is there twice,{node.start_mark}")
    return yaml.SafeLoader.construct_mapping(loader, node, deep=True)


UniqueKeys.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, mapping_of)


def parse(text):
    return [document for document in yaml.load_all(text, UniqueKeys) if document is not None]


def read(path):
    return parse(path.read_text())


def run(*command):
    return subprocess.run([str(word) for word in command], capture_output=True, text=True)


@cache
def render(overlay):
    done = run("kubectl", "kustomize", DEPLOY / "overlays" / overlay)
    if done.returncode != 0 or done.stderr:
        raise RuntimeError(f"{overlay}: {done.stderr.strip()}")
    return parse(done.stdout)


def rendered():
    return ((overlay, item) for overlay in OVERLAYS for item in render(overlay))


def name_of(item):
    return f"{item['kind']} {item['metadata']['name']}"


def of_kind(overlay, *kinds):
    return [item for item in render(overlay) if item["kind"] in kinds]


def workloads(overlay):
    return of_kind(overlay, "Deployment", "StatefulSet")


def pods():
    """Each pod of each overlay: the overlay, the workload's name, the labels of the pod, its spec."""
    for overlay in OVERLAYS:
        for workload in workloads(overlay):
            template = workload["spec"]["template"]
            yield overlay, name_of(workload), template["metadata"]["labels"], template["spec"]


def matches(selector, labels):
    return selector and selector.items() <= labels.items()


def compare(value, shape, place):
    """Yields where a value differs from its shape, in the notation of CRD_KEYS."""
    if shape is int:
        if type(value) is not int:
            yield f"{place} is {value!r}, expected a whole number"
    elif isinstance(shape, str):
        if not isinstance(value, str) or not re.fullmatch(shape, value):
            yield f"{place} is {value!r}, expected a text that matches {shape}"
    elif isinstance(shape, list):
        if not isinstance(value, list) or not value:
            yield f"{place} is {value!r}, expected a list"
            return
        for at, item in enumerate(value):
            yield from compare(item, shape[0], f"{place}[{at}]")
    elif not isinstance(value, dict):
        yield f"{place} is {value!r}, expected a mapping"
    else:
        known = {key.rstrip("!"): inner for key, inner in shape.items()}
        for key in (key.rstrip("!") for key in shape if key.endswith("!")):
            if key not in value:
                yield f"{place} lacks {key}"
        for key, item in value.items():
            if key in known or "*" in known:
                yield from compare(item, known.get(key, known.get("*")), f"{place}.{key}")
            else:
                yield f"{place} has the unknown key {key}"


def check_files():
    """Each manifest is part of a kustomization, and Secrets are never written down."""
    used = set()
    for path in DEPLOY.rglob("kustomization.yaml"):
        [found] = read(path)
        names = found.get("resources", []) + found.get("components", [])
        names += [patch["path"] for patch in found.get("patches", []) if "path" in patch]
        names += [file for maker in found.get("configMapGenerator", []) for file in maker["files"]]
        used |= {(path.parent / name).resolve() for name in names} | {path.resolve()}
    for folder in ("base", "pod", "overlays"):
        for path in (DEPLOY / folder).rglob("*"):
            if path.is_file() and path.resolve() not in used:
                yield f"{path} is not part of any kustomization"
    if sorted(path.name for path in (DEPLOY / "overlays").iterdir()) != OVERLAYS:
        yield f"the overlays are no longer {', '.join(OVERLAYS)}"
    for overlay, item in rendered():
        if item["kind"] == "Secret":
            yield f"{overlay}: {name_of(item)} would be part of the repository"


def check_schemas():
    """Each object fits the schema of its kind, and we know which kinds have none."""
    for overlay in OVERLAYS:
        unknown = set()
        for item in render(overlay):
            try:
                kubernetes_validate.validate(item, KUBERNETES, strict=True)
            except kubernetes_validate.SchemaNotFoundError:
                unknown.add(item["kind"])
            except kubernetes_validate.ValidationError as error:
                place = ".".join(str(step) for step in error.path)
                yield f"{overlay}: {name_of(item)}: {place}: {error.message}"
        if unknown != UNKNOWN_KINDS[overlay]:
            yield f"{overlay}: kinds without a schema are {sorted(unknown)}, expected {sorted(UNKNOWN_KINDS[overlay])}"


def check_custom_resources():
    """Custom resources have the keys that their operators read."""
    for overlay, item in rendered():
        if item["kind"] in UNKNOWN_KINDS[overlay]:
            shape = CRD_KEYS.get(f"{item['apiVersion']} {item['kind']}")
            if shape is None:
                yield f"{overlay}: {name_of(item)} has the unknown version {item['apiVersion']}"
                continue
            whole = {"apiVersion!": ANY, "kind!": ANY, "metadata!": METADATA, "spec!": shape}
            yield from compare(item, whole, f"{overlay}: {name_of(item)}")


def check_selectors():
    """What selects something by labels or by name finds it."""
    for overlay in OVERLAYS:
        found = [(labels, spec) for place, _, labels, spec in pods() if place == overlay]
        ports = {port["name"] for _, spec in found for port in spec["containers"][0]["ports"]}
        services = of_kind(overlay, "Service")
        for workload in workloads(overlay):
            template = workload["spec"]["template"]
            if not matches(workload["spec"]["selector"]["matchLabels"], template["metadata"]["labels"]):
                yield f"{overlay}: {name_of(workload)} does not select its own pods"
        for item in services + of_kind(overlay, "PodDisruptionBudget", "NetworkPolicy"):
            selector = item["spec"].get("selector", item["spec"].get("podSelector"))
            selector = selector.get("matchLabels", selector)
            selected = [spec for labels, spec in found if matches(selector, labels)]
            if not selected:
                yield f"{overlay}: {name_of(item)} selects no pod"
            if item["kind"] == "PodDisruptionBudget" and len(selected) != 1:
                yield f"{overlay}: {name_of(item)} selects {len(selected)} workloads, expected one"
            for port in item["spec"].get("ports", []):
                opened = [spec["containers"][0]["ports"][0] for spec in selected]
                if any((port["targetPort"], port["port"]) != (to["name"], to["containerPort"]) for to in opened):
                    yield f"{overlay}: {name_of(item)} leads to a port that a pod does not have"
            for rule in item["spec"].get("ingress", []):
                if any(port["port"] not in ports for port in rule["ports"]):
                    yield f"{overlay}: {name_of(item)} names a port that no pod has"
        unwatched = {name_of(service) for service in services}
        for monitor in of_kind(overlay, "ServiceMonitor"):
            selector = monitor["spec"]["selector"]["matchLabels"]
            watched = [service for service in services if matches(selector, service["metadata"]["labels"])]
            if not watched:
                yield f"{overlay}: {name_of(monitor)} watches no Service"
            unwatched -= {name_of(service) for service in watched}
            for endpoint in monitor["spec"]["endpoints"]:
                for service in watched:
                    if endpoint["port"] not in [port["name"] for port in service["spec"]["ports"]]:
                        yield f"{overlay}: {name_of(monitor)} names a port that {name_of(service)} lacks"
                if endpoint["path"] != "/metrics":
                    yield f"{overlay}: {name_of(monitor)} reads {endpoint['path']}"
                if endpoint["scheme"] != endpoint["port"] or ("tlsConfig" in endpoint) != (endpoint["port"] == "https"):
                    yield f"{overlay}: {name_of(monitor)} reads {endpoint['port']} by {endpoint['scheme']}"
                if "relabelings" not in endpoint:
                    yield f"{overlay}: {name_of(monitor)} would hide the label endpoint of windrow"
        for service in sorted(unwatched):
            yield f"{overlay}: no ServiceMonitor watches {service}"


def check_pods():
    """Each pod is confined, is probed, and ends in time."""
    for overlay, name, _, spec in pods():
        place = f"{overlay}: {name}"
        [container] = spec["containers"]
        expected = {
            "the account": (spec.get("serviceAccountName"), "windrow"),
            "the token of the account": (spec.get("automountServiceAccountToken"), False),
            "service links": (spec.get("enableServiceLinks"), False),
            "the user": (spec["securityContext"].get("runAsNonRoot"), True),
            "seccomp": (spec["securityContext"].get("seccompProfile"), {"type": "RuntimeDefault"}),
            "the container's security": (container.get("securityContext"), {
                "allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]},
            }),
            "the working directory": (container.get("workingDir"), "/etc/windrow"),
        }
        for kind, path in {"startup": "/live", "liveness": "/live", "readiness": "/ready"}.items():
            probe = container.get(f"{kind}Probe", {}).get("httpGet")
            # A worker speaks plain HTTP.
            port = "http" if container["args"][0] == "worker" else "https"
            expected[f"the {kind} probe"] = (probe, {"path": path, "port": port, "scheme": port.upper()})
            expected["the port"] = (container["ports"][0]["name"], port)
        for what, (value, wanted) in expected.items():
            if value != wanted:
                yield f"{place}: {what} is {value!r}, expected {wanted!r}"
        for volume in spec["volumes"]:
            if "emptyDir" in volume and "sizeLimit" not in volume["emptyDir"]:
                yield f"{place}: the volume {volume['name']} may fill the disk of the node"
        if "/tmp" not in [mount["mountPath"] for mount in container["volumeMounts"]]:
            yield f"{place}: sorts cannot spill, since /tmp is read-only"
        memory = [variable["valueFrom"]["resourceFieldRef"]["resource"] for variable in container["env"]
                  if variable["name"] == "WINDROW_MEMORY_LIMIT"]
        if memory != ["requests.memory"] or {"requests", "limits"} - container["resources"].keys():
            yield f"{place}: WINDROW_MEMORY_LIMIT is not the memory that the pod requests"
        sleep = container.get("lifecycle", {}).get("preStop", {}).get("sleep", {}).get("seconds", 0)
        least = sleep + grace_seconds(settings(overlay)) + SECONDS_TO_SPARE
        if spec["terminationGracePeriodSeconds"] < least:
            yield f"{place}: terminationGracePeriodSeconds is {spec['terminationGracePeriodSeconds']}, expected {least}"


def check_references():
    """Volumes, ConfigMaps and Secrets that pods and operators name are there, or in the README."""
    readme = (DEPLOY / "README.md").read_text()
    secrets = set()
    for overlay, name, _, spec in pods():
        [container] = spec["containers"]
        maps = {item["metadata"]["name"] for item in of_kind(overlay, "ConfigMap")}
        volumes = {volume["name"]: volume for volume in spec["volumes"]}
        for workload in workloads(overlay):
            if name_of(workload) == name:
                claims = workload["spec"].get("volumeClaimTemplates", [])
                volumes |= {claim["metadata"]["name"]: claim for claim in claims}
        mounted = {mount["name"] for mount in container["volumeMounts"]}
        if mounted != volumes.keys():
            yield f"{overlay}: {name} mounts {sorted(mounted)}, its volumes are {sorted(volumes)}"
        for volume in spec["volumes"]:
            if "configMap" in volume and volume["configMap"]["name"] not in maps:
                yield f"{overlay}: {name} mounts a ConfigMap that does not exist: {volume['configMap']['name']}"
            for source in volume.get("projected", {}).get("sources", []):
                secrets |= {(source["secret"]["name"], entry["key"]) for entry in source["secret"]["items"]}
        for variable in container["env"]:
            secret = variable.get("valueFrom", {}).get("secretKeyRef")
            if secret:
                secrets.add((secret["name"], secret["key"]))
        secrets |= {(source["secretRef"]["name"], "") for source in container["envFrom"]}
    for overlay in OVERLAYS:
        for item in of_kind(overlay, "TriggerAuthentication"):
            secrets |= {(target["name"], target["key"]) for target in item["spec"]["secretTargetRef"]}
        for item in of_kind(overlay, "ServiceMonitor"):
            endpoints = [endpoint for endpoint in item["spec"]["endpoints"] if "tlsConfig" in endpoint]
            named = [endpoint["tlsConfig"]["ca"]["secret"] for endpoint in endpoints]
            secrets |= {(secret["name"], secret["key"]) for secret in named}
    for secret, key in sorted(secrets):
        if not re.search(rf"^\| `{secret}` \|.*{f'`{re.escape(key)}`' if key else ''}", readme, re.MULTILINE):
            yield f"the README does not say what {key or 'variables'} of the Secret {secret} is"


def check_image():
    """The pods and the units fit what the Dockerfile builds, and call windrow with flags that it has."""
    dockerfile = Path("Dockerfile").read_text()
    if not re.search(r'^ENTRYPOINT \["windrow"\]$', dockerfile, re.MULTILINE):
        yield "the Dockerfile no longer starts windrow"
    for overlay, name, _, spec in pods():
        [container] = spec["containers"]
        user = f"USER {spec['securityContext']['runAsUser']}:{spec['securityContext']['runAsGroup']}"
        if user not in dockerfile.splitlines():
            yield f"{overlay}: {name} runs as another user than the image: {user}"
        if not container["image"].startswith("registry.example/windrow:") or "command" in container:
            yield f"{overlay}: {name} runs another program than windrow"
        listen = f"0.0.0.0:{container['ports'][0]['containerPort']}"
        yield from check_arguments(f"{overlay}: {name}", container["args"], listen)


def check_arguments(place, arguments, listen):
    command, *rest = arguments
    flags = dict(zip(rest[::2], rest[1::2]))
    if command not in FLAGS:
        yield f"{place}: windrow has no command {command}"
    for flag in flags.keys() - FLAGS.get(command, set()):
        yield f"{place}: windrow {command} has no flag {flag}"
    if flags.get("--listen") != listen:
        yield f"{place}: --listen is {flags.get('--listen')}, expected {listen}"
    if not re.fullmatch(r"\d+", flags.get("--workers", "0")):
        yield f"{place}: --workers is {flags['--workers']}, expected a whole number"


@cache
def settings(overlay):
    [config] = [item for item in of_kind(overlay, "ConfigMap") if "windrow.yaml" in item["data"]]
    [found] = parse(config["data"]["windrow.yaml"])
    return found


def grace_seconds(config):
    number, unit = re.fullmatch(r"(\d+)(s|m)", config["serve"]["grace"]).groups()
    return int(number) * {"s": 1, "m": 60}[unit]


def check_settings():
    """Each windrow.yaml has keys that windrow knows, and names files and variables that are there."""
    table = Path("docs/configuration.md").read_text()
    outside, _, inside = table.partition("| key of `serve` |")
    shape = {key: None for key in re.findall(r"^\| `(\w+)` \|", outside, re.MULTILINE)} | {"serve": SERVE_KEYS}
    listed = re.findall(r"^\| `(\w+)` \|", inside.partition("\n\n")[0], re.MULTILINE)
    if set(listed) != SERVE_KEYS.keys():
        yield f"docs/configuration.md has other keys of serve: {sorted(set(listed) ^ SERVE_KEYS.keys())}"
    configs = [(overlay, settings(overlay)) for overlay in OVERLAYS]
    configs += [("systemd", read(DEPLOY / "systemd" / "windrow.yaml")[0])]
    for place, config in configs:
        for key in config.keys() - shape.keys():
            yield f"{place}: windrow.yaml has the unknown key {key}"
        yield from compare(config["serve"], SERVE_KEYS, f"{place}: windrow.yaml: serve")
        local_queue = config["serve"]["queue"].startswith("sqlite:")
        if not local_queue and config["serve"]["cache"].startswith("/"):
            yield f"{place}: processes that share a queue do not share the cache {config['serve']['cache']}"
    for overlay, name, _, spec in pods():
        text = yaml.safe_dump(settings(overlay)["serve"])
        [container] = spec["containers"]
        known = {variable["name"] for variable in container["env"]}
        for variable in set(re.findall(r"\$\{(\w+)\}", text)) - known:
            yield f"{overlay}: {name} does not set {variable}, which windrow.yaml names"
        mounts = [mount["mountPath"] for mount in container["volumeMounts"]]
        for path in re.findall(r"(?:: |sqlite:)(/\S+)", text):
            if not any(path.startswith(f"{mount}/") for mount in mounts):
                yield f"{overlay}: {name} has no volume for {path}, which windrow.yaml names"


def check_queues():
    """One process has a SQLite queue; workers are counted by one authority only."""
    for overlay in OVERLAYS:
        found = workloads(overlay)
        if settings(overlay)["serve"]["queue"].startswith("sqlite:"):
            counted = [(item["kind"], item["spec"].get("replicas")) for item in found]
            if counted != [("StatefulSet", 1)]:
                yield f"{overlay}: a SQLite queue needs one StatefulSet with one replica, found {counted}"
            claims = [claim for item in found for claim in item["spec"].get("volumeClaimTemplates", [])]
            if [claim["spec"]["accessModes"] for claim in claims] != [["ReadWriteOncePod"]]:
                yield f"{overlay}: two pods could mount the volume of the SQLite queue"
        scaled = {item["spec"]["scaleTargetRef"]["name"]: item for item in of_kind(overlay, "ScaledObject")}
        names = {item["metadata"]["name"] for item in found}
        for target in scaled.keys() - names:
            yield f"{overlay}: nothing is named {target}, which a ScaledObject scales"
        for item in found:
            if ("replicas" in item["spec"]) == (item["metadata"]["name"] in scaled):
                yield f"{overlay}: {name_of(item)} needs replicas or a ScaledObject, and not both"
        authentications = {item["metadata"]["name"] for item in of_kind(overlay, "TriggerAuthentication")}
        for name, item in scaled.items():
            if item["spec"]["minReplicaCount"] < 1 or item["spec"]["minReplicaCount"] > item["spec"]["maxReplicaCount"]:
                yield f"{overlay}: the ScaledObject {name} has no valid range of replicas"
            for trigger in item["spec"]["triggers"]:
                if trigger["authenticationRef"]["name"] not in authentications:
                    yield f"{overlay}: the ScaledObject {name} names a TriggerAuthentication that does not exist"
                words = set(re.findall(r"\w+", trigger["metadata"]["query"]))
                for word in {word for word in words if word not in QUEUE_NAMES and word.lower() not in QUERY_WORDS}:
                    yield f"{overlay}: the query of the ScaledObject {name} names {word}"


def rule_object():
    """The text of the PrometheusRule: its head, and the groups of rules.yml below `spec`."""
    groups = RULES.read_text().partition("\ngroups:\n")[2]
    head = {
        "apiVersion": "monitoring.coreos.com/v1",
        "kind": "PrometheusRule",
        "metadata": {"name": "windrow", "labels": {"app.kubernetes.io/name": "windrow"}},
    }
    made = "# `tests/deploy/validate.sh --write` makes this file from rules.yml.\n"
    lines = [f"  {line}" if line else "" for line in ["groups:", *groups.splitlines()]]
    return made + yaml.safe_dump(head, sort_keys=False) + "spec:\n" + "\n".join(lines) + "\n"


def check_rule_object():
    """The PrometheusRule is rules.yml."""
    if RULE_OBJECT.read_text() != rule_object():
        yield f"{RULE_OBJECT} is not made from {RULES}: run tests/deploy/validate.sh --write"
    [rules] = read(RULES)
    for overlay in OVERLAYS:
        if [item["spec"] for item in of_kind(overlay, "PrometheusRule")] != [rules]:
            yield f"{overlay}: the alerts are not those of {RULES}"


def check_rules():
    """promtool accepts the rules and passes their tests, which raise each alert and keep each silent."""
    for command in (["check", "rules", RULES], ["test", "rules", DEPLOY / "rules_test.yml"]):
        done = run("promtool", *command)
        if done.returncode != 0:
            yield f"promtool {command[0]} rules: {done.stdout.strip()} {done.stderr.strip()}"
    tests = [test for group in read(DEPLOY / "rules_test.yml")[0]["tests"] for test in group["alert_rule_test"]]
    for name, _ in alerts():
        for raised in (True, False):
            if not any(test["alertname"] == name and bool(test["exp_alerts"]) == raised for test in tests):
                yield f"no test {'raises' if raised else 'keeps silent'} {name}"


def alerts():
    return [(rule["alert"], rule["expr"]) for group in read(RULES)[0]["groups"] for rule in group["rules"]]


def dashboard_expressions():
    """Each expression of the dashboard, with its place and with values for its variables."""
    board = json.loads((DEPLOY / "dashboard.json").read_text())
    found = [(panel["title"], target["expr"]) for panel in board["panels"] for target in panel["targets"]]
    for variable in board["templating"]["list"]:
        if variable["type"] == "query":
            expression, label = re.fullmatch(r"label_values\((.+), (\w+)\)", variable["query"]["query"]).groups()
            found.append((f"variable {variable['name']}", f"count by ({label}) ({expression})"))
    for place, expression in found:
        for variable, value in DASHBOARD_VARIABLES.items():
            expression = re.sub(rf"{re.escape(variable)}\b", value, expression)
        yield f"dashboard: {place}", expression


def check_dashboard():
    """promtool parses each expression, and the panels have what Grafana needs and do not overlap."""
    board = json.loads((DEPLOY / "dashboard.json").read_text())
    groups = [{"name": f"{at} {place}", "rules": [{"record": "checked", "expr": expression}]}
              for at, (place, expression) in enumerate(dashboard_expressions())]
    with tempfile.NamedTemporaryFile("w", suffix=".yml") as file:
        yaml.safe_dump({"groups": groups}, file)
        file.flush()
        done = run("promtool", "check", "rules", file.name)
        if done.returncode != 0:
            yield f"promtool: {done.stdout.strip()} {done.stderr.strip()}"
    for place, expression in dashboard_expressions():
        if "$" in expression:
            yield f"{place}: a variable is unknown: {expression}"
    if len({panel["id"] for panel in board["panels"]}) != len(board["panels"]):
        yield "dashboard: two panels have one id"
    taken = {}
    for panel in board["panels"]:
        title, at = panel["title"], panel["gridPos"]
        if panel["datasource"]["uid"] != "${datasource}" or not panel["description"]:
            yield f"dashboard: {title}: the data source or the description is missing"
        if at["x"] + at["w"] > 24:
            yield f"dashboard: {title} is wider than the page"
        for cell in [(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])]:
            if taken.setdefault(cell, title) != title:
                yield f"dashboard: {title} overlaps {taken[cell]}"
                break


def names_of(expression):
    """The metrics and the labels that an expression names."""
    bare = re.sub(r'"(\\.|[^"\\])*"', '""', expression)
    labels = set(re.findall(r'(\w+)\s*(?:=~|!~|!=|=)\s*""', bare))
    grouping = r"\b(?:by|without|on|ignoring|group_left|group_right)\s*\(([^)]*)\)"
    for group in re.findall(grouping, bare):
        labels |= set(re.findall(r"\w+", group))
    bare = re.sub(r"\{[^}]*\}|\[[^\]]*\]", " ", re.sub(grouping, " ", bare))
    words = re.findall(r"(?<![\w.])[A-Za-z_:][\w:]*\b(?!\s*\()", bare)
    # An aggregation may have its grouping between its name and its argument.
    functions = {"sum", "max", "min", "avg", "count"}
    return {word for word in words if word not in PROMQL_WORDS | functions}, labels


def listed_metrics():
    """The series of docs/metrics.md, their labels, and the bounds of the histograms."""
    text = METRICS.read_text()
    series, labels = set(), {}
    for name, kind, rest in re.findall(r"^\| `(\w+)` \| (counter|gauge|histogram) \|(.*)$", text, re.MULTILINE):
        parts = {f"{name}_{part}" for part in ("bucket", "sum", "count")} if kind == "histogram" else {name}
        series |= parts
        own = set(re.findall(r"`(\w+)`", rest.partition("|")[0])) if name.startswith("windrow_") else set()
        labels |= dict.fromkeys(parts, own)
    bounds = set(re.search(r"^Their bounds are (.+) s\.$", text, re.MULTILINE)[1].split(", "))
    return series, labels, bounds | {"+Inf"}


def check_metrics():
    """Each metric, label and bound that rules, their tests and the dashboard name is one that docs/metrics.md has."""
    series, own_labels, bounds = listed_metrics()
    groups = read(DEPLOY / "rules_test.yml")[0]["tests"]
    tests = [("a test of rules", given["series"]) for group in groups for given in group["input_series"]]
    places = [*alerts(), *dashboard_expressions(), *tests]
    for place, expression in places:
        metrics, labels = names_of(expression)
        if not metrics:
            yield f"{place} names no metric: {expression}"
        for name in sorted(metrics - series - OF_PROMETHEUS):
            yield f"{place} names the metric {name}, which windrow does not have"
        known_labels = LABELS_OF_PROMETHEUS.union(*(own_labels.get(name, ()) for name in metrics))
        for label in sorted(labels - known_labels):
            yield f"{place} names the label {label}, which its metrics do not have"
        for bound in sorted(set(re.findall(r'\ble="([^"]*)"', expression)) - bounds):
            yield f"{place} has the bound {bound}, which no histogram has"


def check_systemd():
    """systemd understands every line of the units, finds them confined, and stops them in time."""
    config = read(DEPLOY / "systemd" / "windrow.yaml")[0]
    with tempfile.TemporaryDirectory() as folder:
        for unit in sorted((DEPLOY / "systemd").glob("*.service")):
            text = unit.read_text()
            timeout = int(re.search(r"^TimeoutStopSec=(\d+)s$", text, re.MULTILINE)[1])
            if timeout < grace_seconds(config) + SECONDS_TO_SPARE:
                yield f"{unit}: TimeoutStopSec is shorter than the grace time and {SECONDS_TO_SPARE} s"
            [words] = re.findall(r"^ExecStart=/usr/local/bin/windrow (.+)$", text, re.MULTILINE)
            listen = "127.0.0.1:%i" if "@" in unit.name else "127.0.0.1:8686"
            yield from check_arguments(unit, words.split(), listen)
            if not shutil.which("systemd-analyze"):
                continue
            # systemd wants the program to exist.
            copy = Path(folder) / unit.name.replace("@.", "@8687.")
            copy.write_text(text.replace("/usr/local/bin/windrow ", "/bin/true "))
            done = run("systemd-analyze", "verify", "--man=no", "--recursive-errors=no", copy)
            said = [line for line in (done.stdout + done.stderr).splitlines() if unit.name[:12] in line]
            if done.returncode != 0 or said:
                yield f"{unit}: {' '.join(said) or done.stderr.strip()}"
            done = run("systemd-analyze", "security", "--offline=yes", f"--threshold={EXPOSURE}", "--no-pager", copy)
            if done.returncode != 0:
                yield f"{unit}: {done.stdout.strip().splitlines()[-1:]} {done.stderr.strip()}"


CHECKS = [
    check_files, check_schemas, check_custom_resources, check_selectors, check_pods, check_references, check_image,
    check_settings, check_queues, check_rule_object, check_rules, check_dashboard, check_metrics, check_systemd,
]


def main(arguments):
    if arguments == ["--write"]:
        RULE_OBJECT.write_text(rule_object())
        return 0
    try:
        for overlay in OVERLAYS:
            render(overlay)
    except (RuntimeError, yaml.YAMLError) as error:
        print(f"FAILED, nothing else was checked: {error}\n0 passed, 1 failed")
        return 1
    failed = 0
    for check in CHECKS:
        try:
            wrong = list(check())
        except Exception as error:
            wrong = [f"{type(error).__name__}: {error}"]
        failed += bool(wrong)
        print(f"{'FAILED' if wrong else 'ok'} {check.__name__.removeprefix('check_')}: {check.__doc__}")
        for sentence in wrong:
            print(f"  {sentence}")
    if not shutil.which("systemd-analyze"):
        print("skipped: systemd-analyze is missing, so nothing read the units")
    print(f"{len(CHECKS) - failed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
