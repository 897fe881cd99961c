"""What template.yaml deploys: functions with their routes, queues, filters and schedules; alarms, secrets, outputs.

There is no other list of these: packaging, the running stack, the commands, the live trace, the API's description and
the tests take theirs from here.
"""

import functools
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from local.home import PROJECT

Json = Any
Values = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Queue:
    """An SQS queue: its logical id, and the output that tells its URL; empty if none does."""

    logical_id: str
    output: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Function:
    """`name` is its folder in functions/, `service` its name in logs, metrics and tags; `variables` are its own, as the
    template has them. `takes` are the types of events that its subscription lets through, `payment.*` all that begin
    so."""

    name: str
    logical_id: str
    service: str
    variables: Mapping[str, Json]
    routes: tuple[str, ...] = ()
    queue: Queue | None = None
    dead_letters: Queue | None = None
    takes: tuple[str, ...] = ()
    reads_stream: bool = False
    schedules: tuple[str, ...] = ()

    def is_sent(self, event_type: str) -> bool:
        """Whether the topic's filter lets an event of this type through to its queue."""
        return any(event_type.startswith(one[:-1]) if one.endswith("*") else event_type == one for one in self.takes)


@dataclass(frozen=True, slots=True, kw_only=True)
class Topology:
    """`routes` are the functions by route key (`POST /orders`), `open_routes` those that ask for no token. `silent` are
    the statuses that the stream's filter keeps back. `alarms` are the functions whose metric or dead letters each alarm
    watches, empty if it is no single one's. `secrets` are the outputs with their ARNs: {"app": "AppSecretArn"}."""

    path: Path
    functions: Mapping[str, Function]
    routes: Mapping[str, str]
    open_routes: frozenset[str]
    silent: frozenset[str]
    alarms: Mapping[str, str]
    secrets: Mapping[str, str]
    outputs: frozenset[str]

    @property
    def consumers(self) -> dict[str, Function]:
        """The functions that take events from a queue."""
        return {name: function for name, function in self.functions.items() if function.queue}

    def consumers_of(self, event_type: str) -> tuple[str, ...]:
        """The functions that get an event of this type."""
        return tuple(name for name, function in self.consumers.items() if function.is_sent(event_type))

    def queue_urls(self, outputs: Values) -> dict[str, str]:
        """The URL of each function's queue, from a stack's outputs. Raises KeyError with an output that is missing."""
        return {name: outputs[one.queue.output] for name, one in self.functions.items() if one.queue}

    def dead_letter_urls(self, outputs: Values) -> dict[str, str]:
        """The URL of each function's dead letters, likewise."""
        return {name: outputs[one.dead_letters.output] for name, one in self.functions.items() if one.dead_letters}

    def secret_arns(self, outputs: Values) -> dict[str, str]:
        """The ARN of each secret, likewise."""
        return {name: outputs[output] for name, output in self.secrets.items()}


class _Loader(yaml.CSafeLoader):
    """YAML with CloudFormation's tags: `!Ref X` is {"Ref": "X"}, `!GetAtt A.B` {"Fn::GetAtt": ["A", "B"]}."""


def _intrinsic(loader: Any, tag: str, node: yaml.Node) -> Json:
    value: Json
    if isinstance(node, yaml.ScalarNode):
        value = loader.construct_scalar(node)
        value = value.split(".", 1) if tag == "GetAtt" else value
    elif isinstance(node, yaml.SequenceNode):
        value = loader.construct_sequence(node, deep=True)
    else:
        value = loader.construct_mapping(node, deep=True)
    return {tag if tag in ("Ref", "Condition") else f"Fn::{tag}": value}


_Loader.add_multi_constructor("!", _intrinsic)


def load(path: Path = PROJECT / "template.yaml") -> dict[str, Json]:
    """A template as plain values, its intrinsic functions by their long names."""
    return dict(yaml.load(path.read_text(), _Loader))  # noqa: S506  # a SafeLoader


@functools.cache
def whole() -> Topology:
    """All that this project's template can deploy."""
    return read()


def read(path: Path = PROJECT / "template.yaml", parameters: Values | None = None) -> Topology:
    """What a template deploys with these parameters, the others at their defaults. Without any: all that it can deploy,
    as if every condition held."""
    template = load(path)
    if parameters is not None:
        defaults = {name: str(one["Default"]) for name, one in template["Parameters"].items() if "Default" in one}
        parameters = {**defaults, **parameters}
    there = _Conditions(template.get("Conditions", {}), parameters)
    resources = there.kept(template["Resources"])
    outputs = there.kept(template["Outputs"])
    functions = _functions(resources, {named(one["Value"]): name for name, one in outputs.items()})
    routes = {
        f"{event['Method']} {event['Path']}": (function, event)
        for function in functions.values()
        for event in _events(resources[function.logical_id], "HttpApi")
    }
    return Topology(
        path=path,
        functions=functions,
        routes={route: function.name for route, (function, _) in routes.items()},
        open_routes=frozenset(r for r, (_, event) in routes.items() if event.get("Auth") == {"Authorizer": "NONE"}),
        silent=frozenset(status for one in resources.values() for status in _silent(one)),
        alarms=_alarms(resources, functions.values()),
        secrets={
            logical_id.removesuffix("Secret").lower(): name
            for name, output in outputs.items()
            if resources.get(logical_id := named(output["Value"]), {}).get("Type") == "AWS::SecretsManager::Secret"
        },
        outputs=frozenset(outputs),
    )


LOGIC: Mapping[str, Callable[[Json], bool]] = {
    "Fn::Equals": lambda pair: bool(pair[0] == pair[1]),
    "Fn::Not": lambda one: not one[0],
    "Fn::And": all,
    "Fn::Or": any,
}
"""CloudFormation's functions for conditions."""


class _Conditions:
    """Which of a template's conditions hold; all of them where there are no parameters."""

    def __init__(self, conditions: Mapping[str, Json], parameters: Values | None) -> None:
        self._conditions, self._parameters = conditions, parameters

    def kept(self, entries: Mapping[str, Json]) -> dict[str, Json]:
        """The resources or outputs that are there, each `Fn::If` decided."""
        return {name: self._decided(one) for name, one in entries.items() if self._holds(one.get("Condition"))}

    def _holds(self, name: str | None) -> bool:
        return name is None or self._parameters is None or bool(self._decided(self._conditions[name]))

    def _decided(self, value: Json) -> Json:
        if isinstance(value, list):
            return [self._decided(one) for one in value]
        if not isinstance(value, dict):
            return value
        if len(value) == 1:
            ((name, argument),) = value.items()
            if name == "Fn::If":
                return self._decided(argument[1 if self._holds(argument[0]) else 2])
            if name == "Condition" and isinstance(argument, str):
                return self._holds(argument)
            if name == "Ref" and self._parameters is not None and argument in self._parameters:
                return self._parameters[argument]
            if name in LOGIC:
                return LOGIC[name](self._decided(argument))
        return {name: self._decided(one) for name, one in value.items()}


def named(value: Json) -> str:
    """The logical id that a Ref or a GetAtt names; empty if it is none."""
    if not isinstance(value, dict):
        return ""
    named: str = value.get("Ref") or value.get("Fn::GetAtt", [""])[0]
    return named


def _events(function: Json, kind: str) -> list[Json]:
    return [one["Properties"] for one in function["Properties"].get("Events", {}).values() if one["Type"] == kind]


def _functions(resources: Mapping[str, Json], outputs: Mapping[str, str]) -> dict[str, Function]:
    """By name, in the order of the template. `outputs` are those that name a resource, by its logical id."""

    def queue(logical_id: str) -> Queue | None:
        return Queue(logical_id, outputs.get(logical_id, "")) if logical_id else None

    def dead_letters_of(logical_id: str) -> str:
        redrive = resources[logical_id]["Properties"].get("RedrivePolicy", {}) if logical_id else {}
        return named(redrive.get("deadLetterTargetArn"))

    filters = {
        named(one["Properties"]["Endpoint"]): one["Properties"].get("FilterPolicy", {}).get("type", [{"prefix": ""}])
        for one in resources.values()
        if one["Type"] == "AWS::SNS::Subscription"
    }
    made = {}
    for logical_id, resource in resources.items():
        if resource["Type"] != "AWS::Serverless::Function":
            continue
        properties = resource["Properties"]
        source = next((named(event["Queue"]) for event in _events(resource, "SQS")), "")
        streams = _events(resource, "DynamoDB")
        failed = next((named(one["DestinationConfig"]["OnFailure"]["Destination"]) for one in streams), "")
        function = Function(
            name=Path(properties["CodeUri"]).name,
            logical_id=logical_id,
            service=properties["Tags"]["function"],
            variables=properties["Environment"]["Variables"],
            routes=tuple(f"{event['Method']} {event['Path']}" for event in _events(resource, "HttpApi")),
            queue=queue(source),
            dead_letters=queue(dead_letters_of(source) or failed),
            takes=tuple(f"{one['prefix']}*" if isinstance(one, dict) else one for one in filters.get(source, [])),
            reads_stream=bool(streams),
            schedules=tuple(event["Schedule"] for event in _events(resource, "Schedule")),
        )
        made[function.name] = function
    return made


def _silent(resource: Json) -> list[str]:
    """The statuses that a function's filter of the stream keeps back."""
    if resource["Type"] != "AWS::Serverless::Function":
        return []
    patterns = [one["Pattern"] for event in _events(resource, "DynamoDB") for one in event["FilterCriteria"]["Filters"]]
    rules = [rule for one in patterns for rule in json.loads(one)["dynamodb"]["NewImage"]["status"]["S"]]
    return [status for rule in rules for status in rule["anything-but"]]


def _alarms(resources: Mapping[str, Json], functions: Iterable[Function]) -> dict[str, str]:
    owners: dict[str, str] = {}
    for function in functions:
        names = (function.logical_id, function.service, function.dead_letters and function.dead_letters.logical_id)
        owners |= {name: function.name for name in names if name}
    alarms = {name: one["Properties"] for name, one in resources.items() if one["Type"] == "AWS::CloudWatch::Alarm"}
    watched = {name: alarm["Dimensions"][0]["Value"] for name, alarm in alarms.items()}
    return {name: owners.get(one if isinstance(one, str) else named(one), "") for name, one in watched.items()}
