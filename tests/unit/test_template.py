"""Rules of the architecture, as failing checks on template.yaml and on what the code really does."""

import ast
import json
import re
import tomllib
from collections.abc import Iterator
from dataclasses import replace
from datetime import date
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from functions.notify_user.app import MAX_WHY
from local.topology import load, whole
from payments.calls import ANSWER_S, SECRET_TRY_S, TRY_S
from payments.domain.case import Case, Resolution
from payments.domain.guest_messages import Delivery, GuestMessages, Message
from payments.domain.order import MAX_HINTS, OrderStatus
from payments.domain.payment import MAX_TRADES, PaymentStatus
from payments.domain.refund import MAX_REASON, RefundOrigin, automatic_refund
from payments.domain.shipping import RECORDED_AFTER, ShippingRecord, ShippingStatus, shipping_of
from payments.domain.stock import MOST_RUNS, Holds
from payments.domain.texts import Field, for_wechat
from payments.domain.times import millis, utc_now
from payments.edge.events import TYPES
from payments.parts import LambdaFunction
from payments.products import PRODUCTS
from payments.products.homestay.offer import HOMESTAY, MAX_ID
from payments.store.dynamodb import plain
from payments.store.orders import arrival
from payments.store.purchase import kept
from payments.store.store import Store
from payments.store.users import User, user_item
from payments.wechat.pay import TIMEOUT_S
from tests.examples import FEN, LARGEST, NOW, ORDER_SN, order, payment, trade

TEMPLATE: dict[str, Any] = load()
RESOURCES: dict[str, Any] = TEMPLATE["Resources"]
PAYMENTS = Path("layers/payments/python/payments")
LIMIT = 1024
"""What one write unit takes."""

OFFER_LIMIT = 4096
"""What one read unit takes: offers are read with every order, and written seldom."""

ORDER_LIMIT = 1280
"""An order at the limits of all its fields at once; decision 76."""


def of_type(name: str) -> dict[str, Any]:
    return {logical_id: r["Properties"] for logical_id, r in RESOURCES.items() if r["Type"] == name}


FUNCTIONS = of_type("AWS::Serverless::Function")
FOLDERS = {logical_id: Path(properties["CodeUri"]) for logical_id, properties in FUNCTIONS.items()}


def role_of(function: str) -> dict[str, Any]:
    role: dict[str, Any] = RESOURCES[FUNCTIONS[function]["Role"]["Fn::GetAtt"][0]]["Properties"]
    return role


def grants(function: str) -> Iterator[tuple[str, Any]]:
    for policy in role_of(function)["Policies"]:
        for statement in policy["PolicyDocument"]["Statement"]:
            resources = statement["Resource"] if isinstance(statement["Resource"], list) else [statement["Resource"]]
            yield from ((action, resource) for action in statement["Action"] for resource in resources)


# --- functions


def test_every_function_folder_is_deployed_and_has_an_event() -> None:
    assert {folder.name for folder in Path("functions").iterdir()} == {folder.name for folder in FOLDERS.values()}
    for folder in FOLDERS.values():
        events = list((Path("events") / folder.name).glob("*.json"))
        assert events, folder
        assert all(json.loads(event.read_text()) for event in events)


@pytest.mark.parametrize("function", FUNCTIONS)
def test_a_function_has_a_role_and_a_log_group_of_its_own(function: str) -> None:
    name = function.removesuffix("Function")
    properties = FUNCTIONS[function]
    logging = TEMPLATE["Globals"]["Function"]["LoggingConfig"] | properties["LoggingConfig"]
    assert properties["Role"] == {"Fn::GetAtt": [f"{name}Role", "Arn"]}
    assert logging["LogGroup"] == {"Ref": f"{name}LogGroup"}
    assert logging["LogFormat"] == "JSON"
    assert RESOURCES[f"{name}LogGroup"]["Properties"]["RetentionInDays"] == {"Ref": "LogRetentionDays"}
    assert properties["Tags"] == {"function": FOLDERS[function].name.replace("_", "-")}
    assert properties["Environment"]["Variables"]["POWERTOOLS_SERVICE_NAME"] == properties["Tags"]["function"]


@pytest.mark.parametrize("function", FUNCTIONS)
def test_a_role_has_no_wildcard_no_scan_and_no_managed_policy(function: str) -> None:
    assert "ManagedPolicyArns" not in role_of(function)
    assert role_of(function)["AssumeRolePolicyDocument"]["Statement"][0]["Principal"] == {
        "Service": "lambda.amazonaws.com"
    }
    for action, resource in grants(function):
        assert "*" not in action
        assert action not in ("dynamodb:Scan", "dynamodb:DeleteItem")
        assert resource != "*"
    assert ("logs:PutLogEvents", {"Fn::GetAtt": [function.removesuffix("Function") + "LogGroup", "Arn"]}) in set_of(
        grants(function)
    )


def set_of(pairs: Iterator[tuple[str, Any]]) -> list[tuple[str, Any]]:
    return list(pairs)


# What each operation of the table asks of DynamoDB. The test below fails for an operation that is not here.
NEEDS: dict[str, set[str]] = {
    "catalogue.put": {"PutItem"},
    "catalogue.get": {"GetItem"},
    "catalogue.on_sale": {"Query index/catalogue"},
    "catalogue.find": {"GetItem"},
    "catalogue.readable": {"Query index/catalogue"},
    "catalogue.all": {"Query index/catalogue"},
    "bills.first": {"PutItem"},
    "bills.begun": {"GetItem"},
    "bills.days": {"BatchGetItem"},
    "bills.differences": {"Query"},
    "bills.statements": {"Query"},
    "bills.statements_of": {"BatchGetItem"},
    "bills.keep": {"PutItem"},
    "bills.keep_results": {"PutItem", "Query"},
    "bills.of_day": {"Query index/settled", "BatchGetItem"},
    "bills.reopen": {"BatchGetItem", "PutItem"},
    "cases.open_again": {"PutItem"},
    "bills.owners": {"BatchGetItem"},
    "payments.book": {"UpdateItem"},
    "refunds.book": {"UpdateItem"},
    "users.put": {"PutItem"},
    "users.get": {"GetItem"},
    "access_tokens.get": {"GetItem"},
    "access_tokens.replace": {"PutItem"},
    "orders.put": {"PutItem", "UpdateItem"},
    "orders.get": {"GetItem"},
    "orders.of_user": {"Query index/user", "BatchGetItem"},
    "orders.put_for_key": {"PutItem", "UpdateItem"},
    "orders.reservation": {"GetItem"},
    "orders.placed_since": {"Query index/user"},
    "collection": {"Query"},
    "items": {"Query"},
    "orders.mark_paid": {"UpdateItem"},
    "payments.put": {"PutItem"},
    "payments.get": {"GetItem"},
    "payments.claim_prepay": {"UpdateItem"},
    "payments.store_prepay_id": {"UpdateItem"},
    "payments.close": {"UpdateItem"},
    "payments.claim_query": {"UpdateItem"},
    "payments.record_success": {"UpdateItem"},
    "payments.record_refunded_elsewhere": {"UpdateItem", "PutItem"},
    "payments.record_mispaid": {"UpdateItem", "PutItem"},
    "orders.mark_closing": {"UpdateItem"},
    "orders.cancel": {"UpdateItem", "PutItem"},
    "orders.expire": {"UpdateItem"},
    "orders.by_code": {"Query index/code", "BatchGetItem"},
    "orders.redeem": {"UpdateItem"},
    "orders.save_sums": {"UpdateItem", "PutItem"},
    "orders.release": {"UpdateItem", "PutItem"},
    "orders.arrivals": {"Query index/arrivals", "BatchGetItem"},
    "stocks.get": {"Query"},
    "stocks.plan": {"Query"},
    "stocks.over": {"Query"},
    "stocks.blocks": {"Query"},
    "stocks.get_block": {"GetItem"},
    "stocks.block": {"PutItem", "UpdateItem"},
    "stocks.unblock": {"UpdateItem"},
    "catalogue.set_stock": {"UpdateItem"},
    "orders.hint": {"UpdateItem"},
    "refunds.get": {"GetItem"},
    "refunds.add": {"UpdateItem", "PutItem"},
    "refunds.request": {"UpdateItem", "PutItem"},
    "refunds.record": {"UpdateItem", "PutItem"},
    "refunds.note_first_no": {"UpdateItem"},
    "refunds.refuse": {"UpdateItem"},
    "refunds.mark_withdrawing": {"UpdateItem"},
    "refunds.withdraw": {"UpdateItem"},
    "refunds.look_at": {"UpdateItem"},
    "refunds.postpone": {"UpdateItem"},
    "cases.open": {"PutItem"},
    "cases.get": {"GetItem"},
    "cases.beginning": {"Query"},
    "cases.all_open": {"Query index/open_cases", "BatchGetItem"},
    "cases.open_page": {"Query index/open_cases", "BatchGetItem"},
    "orders.businesses": {"BatchGetItem"},
    "cases.count_open": {"Query index/open_cases"},
    "cases.close": {"UpdateItem"},
    "cases.close_with_order": {"UpdateItem", "GetItem"},
    "looks.due": {"Query index/due"},
    "looks.move": {"UpdateItem"},
    "guesses.take": {"PutItem", "UpdateItem"},
    "guesses.forgive": {"UpdateItem"},
    "guest_messages.save": {"PutItem"},
    "shippings.put": {"PutItem"},
    "shippings.finish": {"UpdateItem"},
    "shippings.refuse": {"UpdateItem", "PutItem"},
}


def test_every_operation_of_the_table_is_known_here() -> None:
    store = Store(None, "table", utc_now)  # type: ignore[arg-type]
    assert store.bills  # made when it is first asked for
    entities = {name: entity for name, entity in vars(store).items() if not name.startswith("_")}
    operations = {f"{name}.{operation}" for name, entity in entities.items() for operation in public(type(entity))}
    assert set(NEEDS) == operations | (public(Store) - set(entities))


def public(cls: type) -> set[str]:
    return {name for name in vars(cls) if not name.startswith("_")}


def functions_of(path: Path) -> dict[str, tuple[set[str], set[str]]]:
    """Of each function in a file: all names in it, and what it calls on the store."""
    return {
        node.name: names_and_operations(node)
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef)
    }


def names_and_operations(tree: ast.AST) -> tuple[set[str], set[str]]:
    names, operations = set(), set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Name):
            names.add(node.id)
        if isinstance(node, ast.Attribute):
            names.add(node.attr)
            operations |= operation(node)
    return names, operations


def operation(node: ast.Attribute) -> set[str]:
    """`refunds.withdraw` of `store.refunds.withdraw` and of `parts.store.refunds.withdraw`; `collection` of
    `parts.store.collection`. An entity alone is none."""
    path = path_of(node)
    if "store" not in path[:-1]:
        return set()
    path = path[path.index("store") + 1 :]
    return set() if path[0] in ENTITIES and len(path) == 1 else {".".join(path[:2])}


def path_of(node: ast.expr) -> list[str]:
    """The names of `app.parts.store`, from its beginning on."""
    if isinstance(node, ast.Attribute):
        return [*path_of(node.value), node.attr]
    return [node.id] if isinstance(node, ast.Name) else []


ENTITIES = {name.partition(".")[0] for name in NEEDS if "." in name}


CALLERS = ("recording.py", "cancellation.py", "edge/staff.py")
"""The files of the layer that call the store for functions."""

SHARED = {name: of for file in CALLERS for name, of in functions_of(PAYMENTS / file).items()}


WITH_TOKEN = {"send_message", "upload_shipping", "order_state"}
"""What a mini-program's client does with the shared access token."""


def operations_of(folder: Path) -> set[str]:
    """The table's operations that a function reaches by itself, or through what it calls in the layer."""
    names, operations = names_and_operations(ast.parse((folder / "app.py").read_text()))
    reached: set[str] = set()
    while more := (names & set(SHARED)) - reached:
        reached |= more
        for name in more:
            names = names | SHARED[name][0]
            operations = operations | SHARED[name][1]
    if names & WITH_TOKEN:
        operations |= {"access_tokens.get", "access_tokens.replace"}
    return operations


@pytest.mark.parametrize("function", FUNCTIONS)
def test_every_grant_on_the_table_is_used_and_every_use_is_granted(function: str) -> None:
    needed = {need for operation in operations_of(FOLDERS[function]) for need in NEEDS[operation]}
    granted = set()
    for action, resource in grants(function):
        if action.startswith("dynamodb:") and "Stream" not in json.dumps([action, resource]):
            index = re.search(r"index/\w+", json.dumps(resource))
            granted.add(action.removeprefix("dynamodb:") + (f" {index[0]}" if index else ""))
    assert granted == needed


VARIABLES: dict[str, set[str]] = {
    "wechat_pay": {"MCHID", "WECHAT_PAY_BASE_URL", "MERCHANT_SECRET_ARN", "VERIFICATION_SECRET_ARN"},
    "mini_program": {"APPID", "MINI_PROGRAM_BASE_URL", "APP_SECRET_ARN", "TABLE_NAME"},
    "verification": {"VERIFICATION_SECRET_ARN"},
    "token_keys": {"TOKEN_SECRET_ARN"},
    "store": {"TABLE_NAME"},
    "publish": {"TOPIC_ARN"},
    "set_aside": {"STREAM_DLQ_URL"},
    "products": set(),
}
"""What each part is told by the environment."""

ALWAYS_THERE = {"settings", "clock", "random", "attempt"}
"""Of Parts: what a function need not name."""


def named(function: str) -> set[str]:
    """The parts that a function names."""
    handler: LambdaFunction = import_module(f"functions.{FOLDERS[function].name}.app").handler
    return set(handler.names)


@pytest.mark.parametrize("function", FUNCTIONS)
def test_a_function_names_just_the_parts_that_it_uses(function: str) -> None:
    tree = ast.parse((FOLDERS[function] / "app.py").read_text())
    paths = [path_of(node) for node in ast.walk(tree) if isinstance(node, ast.Attribute)]
    used = {path[path.index("parts") + 1] for path in paths if "parts" in path[:-1]}
    assert named(function) == used - ALWAYS_THERE


@pytest.mark.parametrize("function", FUNCTIONS)
def test_variables_are_those_that_the_code_reads_and_secrets_are_not_among_them(function: str) -> None:
    app = (FOLDERS[function] / "app.py").read_text()
    read = set(re.findall(r'settings(?:\.optional\(|\[)"([A-Z_]+)"', app))
    read |= {"SHIPPING_RECORD"} if "settings.shipping_record" in app else set()
    read = read.union(*(VARIABLES[name] for name in named(function)))
    own: set[str] = set()  # a product may have some of its own
    for suffix in ("_TEMPLATE_ID", "_FIELDS"):
        if f'{suffix}"' in app:
            read |= {f"{template.upper()}{suffix}" for template in HOMESTAY.messages()}
            own |= {
                f"{service_type}_{template}{suffix}".upper()
                for service_type, product in PRODUCTS.items()
                for template in product.messages()
            }
    declared = set(FUNCTIONS[function]["Environment"]["Variables"]) - {"POWERTOOLS_SERVICE_NAME"}
    assert declared - own == read
    secrets = {name for name in declared if re.search("KEY|TOKEN|SECRET|PASSWORD", name)}
    assert all(name.endswith("_SECRET_ARN") for name in secrets)


@pytest.mark.parametrize("function", FUNCTIONS)
def test_a_function_may_read_just_the_secret_that_it_uses(function: str) -> None:
    variables = FUNCTIONS[function]["Environment"]["Variables"]
    granted = [resource for action, resource in grants(function) if action == "secretsmanager:GetSecretValue"]
    assert granted == [value for name, value in variables.items() if name.endswith("_SECRET_ARN")]


def test_secrets_are_created_without_a_value() -> None:
    secrets = of_type("AWS::SecretsManager::Secret")
    assert set(secrets) == {"MerchantSecret", "VerificationSecret", "AppSecret", "TokenSecret"}
    assert all(set(properties) == {"Description"} for properties in secrets.values())


# --- the API


def test_every_route_but_two_asks_for_a_token() -> None:
    assert whole().open_routes == {"POST /login", "POST /wxpay/notify"}
    events = [event for properties in FUNCTIONS.values() for event in properties.get("Events", {}).values()]
    assert sum("Auth" in event["Properties"] for event in events) == len(whole().open_routes)
    auth = RESOURCES["HttpApi"]["Properties"]["Auth"]
    assert auth["DefaultAuthorizer"] in auth["Authorizers"]


def test_the_routes_are_those_that_the_functions_serve() -> None:
    served = set()
    for folder in FOLDERS.values():
        for method, path in re.findall(r'@app\.(get|post|put|delete)\(\s*"([^"]+)"', (folder / "app.py").read_text()):
            served.add(f"{method.upper()} {path.replace('<', '{').replace('>', '}')}")
    assert served | {"POST /wxpay/notify"} == set(whole().routes)


def test_throttling_and_an_access_log_that_holds_no_secret() -> None:
    api = RESOURCES["HttpApi"]["Properties"]
    assert api["DefaultRouteSettings"]["ThrottlingRateLimit"]
    assert set(api["RouteSettings"]) == {"POST /login", "POST /wxpay/notify"}
    line = json.loads(api["AccessLogSettings"]["Format"])
    assert {"requestId", "routeKey", "status"} <= set(line)
    assert not re.search("authorization|queryString|body|\\$context.path", json.dumps(line), re.IGNORECASE)


def test_wx_callback_answers_within_wechats_patience() -> None:
    assert FUNCTIONS["WxCallbackFunction"]["Timeout"] <= 5


# --- the stream, the topic, the queues


def test_the_stream_mapping_gives_up_by_age_and_never_by_count() -> None:
    mapping = FUNCTIONS["PublishEventsFunction"]["Events"]["Stream"]["Properties"]
    assert mapping["StartingPosition"] == "TRIM_HORIZON"
    assert mapping["BisectBatchOnFunctionError"] is True
    assert 3600 <= mapping["MaximumRecordAgeInSeconds"] < 24 * 3600
    assert "MaximumRetryAttempts" not in mapping
    assert "FunctionResponseTypes" not in mapping
    assert mapping["DestinationConfig"]["OnFailure"]["Destination"] == {"Fn::GetAtt": ["StreamDlq", "Arn"]}


def test_the_stream_filter_lets_through_what_makes_an_event_and_no_more() -> None:
    silent = ({*OrderStatus} - {*TYPES["ORDER"]}) | ({*PaymentStatus} - {*TYPES["PAYMENT"]})
    silent |= {*ShippingStatus} - {*TYPES["REFUND"]}  # REFUSED is a refund's too
    assert whole().silent == silent


CONSUMERS = {function.logical_id.removesuffix("Function"): name for name, function in whole().consumers.items()}


@pytest.mark.parametrize("consumer", CONSUMERS)
def test_a_consumer_has_its_queue_its_dead_letters_and_partial_answers(consumer: str) -> None:
    queue = RESOURCES[f"{consumer}Queue"]["Properties"]
    assert queue["RedrivePolicy"]["deadLetterTargetArn"] == {"Fn::GetAtt": [f"{consumer}Dlq", "Arn"]}
    assert queue["SqsManagedSseEnabled"] is True
    assert RESOURCES[f"{consumer}Dlq"]["Properties"]["MessageRetentionPeriod"] > queue["MessageRetentionPeriod"]
    timeout = FUNCTIONS[f"{consumer}Function"]["Timeout"]
    assert TEMPLATE["Parameters"]["QueueVisibilityTimeout"]["Default"] >= 6 * timeout
    assert TEMPLATE["Parameters"]["MaxReceiveCount"]["Default"] >= 5
    mapping = FUNCTIONS[f"{consumer}Function"]["Events"]["Queue"]["Properties"]
    assert mapping["FunctionResponseTypes"] == ["ReportBatchItemFailures"]
    (statement,) = RESOURCES[f"{consumer}QueuePolicy"]["Properties"]["PolicyDocument"]["Statement"]
    assert statement["Condition"] == {"ArnEquals": {"aws:SourceArn": {"Ref": "Topic"}}}
    assert RESOURCES[f"{consumer}DlqAlarm"]["Properties"]["MetricName"] == "ApproximateNumberOfMessagesVisible"


@pytest.mark.parametrize("consumer", CONSUMERS)
def test_a_consumer_is_sent_the_events_that_it_handles(consumer: str) -> None:
    assert RESOURCES[f"{consumer}Subscription"]["Properties"]["RawMessageDelivery"] is True
    handled = re.findall(
        r'event\.type [!=]= "([a-z.]+)"', (Path("functions") / CONSUMERS[consumer] / "app.py").read_text()
    )
    assert handled
    known = {event_type for types in TYPES.values() for event_type in types.values()}
    for event_type in handled:
        assert event_type in known
        assert whole().functions[CONSUMERS[consumer]].is_sent(event_type)


def test_shipping_is_recorded_from_the_event_that_the_parameter_names() -> None:
    record = TEMPLATE["Parameters"]["ShippingRecord"]
    assert (record["Default"], record["AllowedValues"]) == ("off", [*ShippingRecord])
    assert TEMPLATE["Conditions"]["ShipsOnPayment"] == {
        "Fn::Equals": [{"Ref": "ShippingRecord"}, ShippingRecord.ON_PAYMENT]
    }
    rules = RESOURCES["UploadShippingSubscription"]["Properties"]["FilterPolicy"]["type"]
    assert rules == {"Fn::If": ["ShipsOnPayment", ["order.paid", "order.used"], ["order.used"]]}
    for mode, let_through in zip(
        (ShippingRecord.ON_PAYMENT, ShippingRecord.ON_REDEMPTION), rules["Fn::If"][1:], strict=True
    ):
        events = {TYPES["ORDER"][status] for status in RECORDED_AFTER[mode]}
        assert events - {"order.expired"} == set(let_through)


def test_without_shipping_nothing_of_it_exists() -> None:
    """Every resource and output of its own has the condition, and nothing else leads to one of them."""
    assert TEMPLATE["Conditions"]["RecordsShipping"] == {
        "Fn::Not": [{"Fn::Equals": [{"Ref": "ShippingRecord"}, "off"]}]
    }
    own = {name: r for name, r in (RESOURCES | TEMPLATE["Outputs"]).items() if "UploadShipping" in name}
    kinds = ("Function", "Role", "LogGroup", "Queue", "QueuePolicy", "Dlq", "DlqAlarm", "Subscription")
    assert {f"UploadShipping{kind}" for kind in kinds} <= set(own)
    assert {resource.get("Condition") for resource in own.values()} == {"RecordsShipping"}
    others = {name: r for name, r in RESOURCES.items() if name not in own}
    assert "UploadShipping" not in json.dumps(others)
    assert RECORDED_AFTER[ShippingRecord.OFF] == frozenset()


def test_every_alarm_on_our_own_metrics_is_on_one_that_its_function_counts() -> None:
    alarms = {name: a for name, a in of_type("AWS::CloudWatch::Alarm").items() if a["Namespace"] == "WxPay"}
    secrets = {f"{name}Alarm" for name in of_type("AWS::SecretsManager::Secret")} | {"SecretStaleAlarm"}
    known = {
        *("OpenCasesAlarm", "RefundNotEnoughAlarm", "RefundWaitsAlarm", "SweepFailedAlarm", "CallbackNotOpenedAlarm"),
        *("UnreadableItemAlarm", "NotifyBlockedAlarm"),
    }
    assert known | secrets <= set(alarms)
    for name, alarm in alarms.items():
        (dimension,) = alarm["Dimensions"]
        assert dimension["Name"] == "service"
        function = dimension["Value"].replace("-", "_")
        file = PAYMENTS / "edge/observability.py" if function == "any" else Path("functions") / function / "app.py"
        code = file.read_text()
        if name in secrets:  # counted where secrets are read, by a function that reads this one
            code = (PAYMENTS / "edge/secret.py").read_text()
            (reader,) = (logical_id for logical_id, folder in FOLDERS.items() if folder.name == function)
            own = {resource["Fn::GetAtt"][0] for action, resource in grants(reader) if "secretsmanager" in action}
            assert name == "SecretStaleAlarm" or name.removesuffix("Alarm") in own
        assert f'"{alarm["MetricName"]}"' in code, name


# --- time


def test_every_functions_time_holds_what_it_may_wait_for() -> None:
    """The calls themselves are bounded by the time that an invocation has; here, that there is enough of it."""
    for name, properties in FUNCTIONS.items():
        variables = properties["Environment"]["Variables"]
        least = ANSWER_S
        if any(variable.endswith("_SECRET_ARN") for variable in variables):
            least += 2 * SECRET_TRY_S  # the first read is tried twice
        if "WECHAT_PAY_BASE_URL" in variables or "MINI_PROGRAM_BASE_URL" in variables:
            least = max(least, sum(TIMEOUT_S) + TRY_S + ANSWER_S)  # WeChat's answer is stored
        assert properties["Timeout"] >= max(least, TRY_S), name
        if any(event["Type"] == "HttpApi" for event in properties.get("Events", {}).values()):
            assert properties["Timeout"] < 30, "the gateway waits no longer"
    assert FUNCTIONS["AuthorizerFunction"]["Timeout"] <= 10, "the gateway waits no longer"


def test_an_old_copy_of_a_secret_leaves_time_to_store_what_came() -> None:
    assert FUNCTIONS["WxCallbackFunction"]["Timeout"] >= SECRET_TRY_S + TRY_S + ANSWER_S


def test_dead_letters_and_a_silent_or_failing_janitor_ring() -> None:
    alarms = of_type("AWS::CloudWatch::Alarm")
    for dlq in (name for name in of_type("AWS::SQS::Queue") if name.endswith("Dlq")):
        alarm = alarms[f"{dlq}Alarm"]
        assert alarm["Dimensions"][0]["Value"] == {"Fn::GetAtt": [dlq, "QueueName"]}
        assert (alarm["Threshold"], alarm["ComparisonOperator"]) == (0, "GreaterThanThreshold")
    assert alarms["SweepSilentAlarm"]["TreatMissingData"] == "breaching"
    assert alarms["SweepErrorAlarm"]["MetricName"] == "Errors"
    for alarm in alarms.values():
        assert alarm["AlarmActions"]["Fn::If"][0] == "HasAlarmTopic"


def test_the_janitor_comes_every_minute_and_ends_before_the_next_one() -> None:
    sweep = FUNCTIONS["SweepFunction"]
    assert sweep["Events"]["EveryMinute"]["Properties"]["Schedule"] == "rate(1 minute)"
    assert sweep["Timeout"] < 60


# --- the table


def test_the_table_is_kept_recoverable_and_streams_both_images() -> None:
    table = RESOURCES["Table"]
    assert table["DeletionPolicy"] == "RetainExceptOnCreate"
    assert table["UpdateReplacePolicy"] == "Retain"
    properties = table["Properties"]
    assert properties["PointInTimeRecoverySpecification"] == {"PointInTimeRecoveryEnabled": True}
    assert properties["StreamSpecification"] == {"StreamViewType": "NEW_AND_OLD_IMAGES"}
    assert properties["TimeToLiveSpecification"] == {"AttributeName": "ttl", "Enabled": True}


def test_indexes_hold_keys_only_so_that_a_change_of_state_does_not_write_them() -> None:
    indexes = RESOURCES["Table"]["Properties"]["GlobalSecondaryIndexes"]
    kinds = {index["IndexName"]: index["Projection"]["ProjectionType"] for index in indexes}
    keys = ("due", "user", "code", "settled", "open_cases", "arrivals")
    assert kinds == dict.fromkeys(keys, "KEYS_ONLY") | {"catalogue": "ALL"}


def size(item: dict[str, Any]) -> int:
    """DynamoDB's measure: names and values in UTF-8; a number a byte for two digits and one more."""

    def value_size(value: Any) -> int:
        if isinstance(value, bool):
            return 1
        if isinstance(value, int):
            return (len(str(value)) + 1) // 2 + 1
        if isinstance(value, dict):
            return 3 + sum(len(name.encode()) + value_size(v) + 1 for name, v in value.items())
        return len(str(value).encode())

    return sum(len(name.encode()) + value_size(value) for name, value in item.items())


OPENID = "o" * 40
NOTIFY_URL = "https://" + "x" * (100 - len("https://")) + "/wxpay/notify"
MOST_HELD = Holds(offer_id="h" * MAX_ID, nights=tuple(f"2026-12-{10 + n}+10#{40 + n}" for n in range(MOST_RUNS)))
FULL_ORDER = order(
    purchase=kept(LARGEST["homestay"][0]),
    business_id="b" * 24,
    user_id="u" * 27,
    openid=OPENID,
    attempt="a" * 6,
    total_fen=FEN,
    status=OrderStatus.CANCELLED,
    paid_by=99,
    paid_at=NOW,
    refundable_fen=FEN,
    refunded_fen=FEN,
    used_by="u" * 27,
    redeem_code="X" * 10,
    hints=MAX_HINTS,
    holds=MOST_HELD,
    given_up=True,
    entered=99,
    at=dict.fromkeys(("closing", "WAIT_USE", "EXPIRED", "REFUNDED"), millis(NOW)),
)
FULL_PAYMENT = payment(
    MAX_TRADES,
    total_fen=FEN,
    appid="w" * 32,
    mchid="1" * 32,
    openid=OPENID,
    description=HOMESTAY.bill(replace(LARGEST["homestay"][0], end_date=date(2027, 2, 28))),
    notify_url=NOTIFY_URL,
    status=PaymentStatus.SUCCESS,
    prepay_id="p" * 64,
    prepay_expires_at=NOW,
    attempt="a" * 6,
    called_at=NOW,
    asked_at=NOW,
    learned_by="reconcile-bill",
    due_at=NOW,
    entered=99,
    at=dict.fromkeys(("CLOSED", "SUCCESS"), millis(NOW)),
)
SETTLED = {
    "transaction_id": "4" * 32,
    "payer_total_fen": FEN,
    "success_time": NOW.isoformat(),
    "booked_on": "2026-11-23#1",
    "due_shard": "1",
}
FULL_REFUND = replace(
    automatic_refund(FULL_PAYMENT, RefundOrigin.SECOND, NOW),
    reason="长" * MAX_REASON,
    requested_by="u" * 27,
    out_refund_no="r" * 64,
    body_hash="b" * 16,
    refund_id="5" * 32,
    accepted_at=NOW,
    at=dict.fromkeys(("PROCESSING", "ABNORMAL", "CLOSED", "SUCCESS"), millis(NOW)),
)
ITEMS = {
    "ORDER": plain(FULL_ORDER) | {"due_shard": "1", "arrives": arrival(FULL_ORDER), "booked_on": "2026-11-23#1"},
    f"PAYMENT#{MAX_TRADES}": plain(FULL_PAYMENT) | SETTLED,
    "REFUND#" + "r" * 64: plain(FULL_REFUND) | {"due_shard": "1", "booked_on": "2026-11-23#1"},
    "NOTICE#order.paid": plain(
        GuestMessages(
            order_sn=ORDER_SN,
            event="order.paid",
            version=9,
            attempt="a" * 12,
            at=NOW,
            messages=dict.fromkeys(
                ("order_confirmed", "check_in_code"), Message(state=Delivery.UNKNOWN, why="w" * MAX_WHY, at=millis(NOW))
            ),
        )
    ),
    f"SHIPPING#{MAX_TRADES}": plain(
        replace(
            shipping_of(replace(FULL_PAYMENT, transaction_id="4" * 32), NOW),
            status=ShippingStatus.UPLOADED,
            why="errcode 268485216",
            entered=99,
            at={"UPLOADED": millis(NOW)},
        )
    ),
    "CASE#second_transaction#" + "4" * 32: plain(
        Case(
            kind="second_transaction",
            case_id="4" * 64,
            out_trade_no="x" * 64,
            amount_fen=FEN,
            currency="CNY",
            transaction_id="4" * 32,
            detail="d" * 160,
            opened_at=NOW,
            resolution=Resolution.REFUNDED,
            reference="r" * 128,
            closed_by="u" * 27,
            closed_at=NOW,
        )
    ),
    "USER": user_item(User(user_id="u" * 27, openid=OPENID, unionid="u" * 64, created_at=NOW)),
    **{
        f"OFFER of {service_type}": plain(offer) | {"catalogue": f"{service_type}#OFF_SALE"}
        for service_type, (_, offer) in LARGEST.items()
        if offer is not None
    },
}


@pytest.mark.parametrize("service_type", PRODUCTS)
def test_an_order_and_its_payment_have_room_for_what_every_product_keeps(service_type: str) -> None:
    """A product tells its largest purchase and offer in tests/examples.py."""
    product, (purchase, offer) = PRODUCTS[service_type], LARGEST[service_type]
    full = replace(FULL_ORDER, purchase=kept(purchase), service_type=service_type)
    if not product.redeemed:
        full = replace(full, redeem_code=None, used_by=None, without_code=True)
    key = {"pk": f"ORDER#{ORDER_SN}", "sk": "ORDER"}
    if service_type == "course":
        full = replace(full, holds=Holds(offer_id="c" * MAX_ID, seats={"2027-03-06T14:00": 1000}))
    assert size({**key, **plain(full), "due_shard": "1", "arrives": arrival(full)}) <= ORDER_LIMIT
    described = replace(FULL_PAYMENT, description=for_wechat(Field.DESCRIPTION, product.bill(purchase)))
    assert size({**key, "sk": f"PAYMENT#{MAX_TRADES}", **plain(described), **SETTLED}) <= LIMIT
    assert (offer is None) is (product.catalogue is None)


def test_each_index_holds_the_items_that_it_is_for_and_no_others() -> None:
    held = {
        index["IndexName"]: {
            name.partition("#")[0].partition(" ")[0]
            for name, item in ITEMS.items()
            if {key["AttributeName"] for key in index["KeySchema"]} <= {"pk", "sk", *item}
        }
        for index in RESOURCES["Table"]["Properties"]["GlobalSecondaryIndexes"]
    }
    assert held == {
        "due": {"ORDER", "PAYMENT", "REFUND"},
        "user": {"ORDER"},
        "code": {"ORDER"},
        "settled": {"ORDER", "PAYMENT", "REFUND"},
        "open_cases": set(),
        "catalogue": {"OFFER"},
        "arrivals": {"ORDER"},
    }


@pytest.mark.parametrize("sort_key", ITEMS)
def test_an_item_at_the_limits_of_its_fields_costs_one_write_unit(sort_key: str) -> None:
    item = {"pk": f"ORDER#{ORDER_SN}", "sk": sort_key, **ITEMS[sort_key]}
    limit = {"ORDER": ORDER_LIMIT, "OFFER": OFFER_LIMIT}.get(sort_key.partition(" ")[0], LIMIT)
    assert size(item) <= limit, size(item)
    assert trade().total_fen


# --- the whole


def test_the_template_is_partition_neutral() -> None:
    text = Path("template.yaml").read_text()
    assert "arn:aws" not in text
    services = set(re.findall(r"([\w.-]+)\.amazonaws\.com", text))
    assert services == {"lambda", "sns"}


@pytest.mark.parametrize(
    ("name", "least"),
    [
        ("boto3", (1, 44, 5)),
        ("pydantic", (2, 14, 3)),
        ("ministack", (1, 5, 33)),
        ("aws-sam-cli", (1, 170)),
        ("wechatpayv3", (2, 0, 4)),
        ("aws-lambda-powertools", (3, 37)),
        ("moto", (5, 2, 5)),
    ],
)
def test_the_lock_has_not_slipped_back_to_old_versions(name: str, least: tuple[int, ...]) -> None:
    packages = tomllib.loads(Path("uv.lock").read_text())["package"]
    newest = max(tuple(map(int, package["version"].split("."))) for package in packages if package["name"] == name)
    assert newest >= least


def test_the_layers_requirements_are_those_of_the_lock() -> None:
    packages = tomllib.loads(Path("uv.lock").read_text())["package"]
    locked = {(package["name"], package["version"]) for package in packages}
    lines = re.findall(
        r"^([a-z0-9-]+)==([^ ]+)", Path("layers/dependencies/requirements.txt").read_text(), re.MULTILINE
    )
    assert {"boto3", "pydantic", "wechatpayv3", "pyjwt", "aws-lambda-powertools"} <= {name for name, _ in lines}
    assert set(lines) <= locked


def test_the_parameter_architecture_alone_chooses_the_libraries() -> None:
    metadata = RESOURCES["DependenciesLayer"]["Metadata"]
    assert metadata["BuildArchitecture"] == {"Ref": "Architecture"}
    assert metadata["WorkingDirectory"] == {"Fn::Sub": "layers/dependencies/${Architecture}"}
    platforms = {path.parent.name: path.read_text() for path in Path("layers/dependencies").glob("*/platform")}
    assert platforms == {"arm64": "aarch64-manylinux_2_28\n", "x86_64": "x86_64-manylinux_2_28\n"}
    assert set(platforms) == set(TEMPLATE["Parameters"]["Architecture"]["AllowedValues"])
    assert "ARCHITECTURE" not in Path("layers/Makefile").read_text() + Path("layers/build.sh").read_text()


def test_every_function_and_layer_is_built_by_the_makefile_that_compiles() -> None:
    built = FUNCTIONS | of_type("AWS::Serverless::LayerVersion")
    assert len(built) == len(FUNCTIONS) + 2
    for logical_id in built:
        metadata = RESOURCES[logical_id]["Metadata"]
        assert (metadata["BuildMethod"], metadata["ContextPath"]) == ("makefile", "layers"), logical_id
        assert "SkipBuild" not in metadata
