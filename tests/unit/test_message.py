"""What goes into a message: mappings that fit WeChat's types, texts that are cut where people would cut them."""

import re
from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from functions.notify_user.app import order_paid_values, refund_values
from local.topology import load
from payments.domain.message import TYPES, BadMapping, Kind, fields_pattern, fill, page_of, parse_fields
from payments.domain.order import OrderStatus
from payments.domain.refund import RefundOrigin, automatic_refund
from payments.products import PRODUCTS
from payments.products.homestay.offer import HOMESTAY
from simulator.mini_program import _RULES
from tests.examples import NOW, ORDER_SN, STAY, order, paid_payment

PARAMETERS: dict[str, Any] = load()["Parameters"]
PARAMETER = {"order_confirmed": "OrderConfirmed", "check_in_code": "CheckInCode", "refund": "Refund"}

VALUES = HOMESTAY.messages()
PAID = order(status=OrderStatus.WAIT_USE, redeem_code="ABCDEFGH23", paid_at=NOW)
BACK = automatic_refund(paid_payment(), RefundOrigin.LATE, NOW)
SAID = dict.fromkeys(("order_confirmed", "check_in_code"), order_paid_values(PAID, HOMESTAY, STAY))
SAID["refund"] = refund_values(PAID, BACK, STAY.title)


def mappings() -> dict[str, Mapping[str, Kind]]:
    """The parameters that say which value goes into which field, with the values of each: a product's own, else that of
    all products, which tells of a home."""
    found: dict[str, Mapping[str, Kind]] = {}
    for product in (HOMESTAY, *PRODUCTS.values()):
        for template, kinds in product.messages().items():
            own, stacks = (f"{of}{PARAMETER[template]}Fields" for of in (product.service_type.title(), ""))
            found.setdefault(own if own in PARAMETERS else stacks, kinds)
    return found


MAPPINGS = mappings()


def default(template: str) -> str:
    return str(PARAMETERS[f"{PARAMETER[template]}Fields"]["Default"])


def written(template: str, mapping: str) -> dict[str, str]:
    return fill(VALUES[template], parse_fields(VALUES[template], mapping), SAID[template])


# --- the mapping


@pytest.mark.parametrize(
    ("template", "data"),
    [
        (
            "order_confirmed",
            {
                "character_string6": ORDER_SN,
                "thing1": "西湖边的小屋",
                "amount2": "¥896.00",
                "date4": "2026年12月1日",
                "date5": "2026年12月3日",
            },
        ),
        (
            "check_in_code",
            {
                "date2": "2026年12月1日",
                "date3": "2026年12月3日",
                "character_string4": "ABCDEFGH23",
                "thing1": "请不要将验证码告知商家以外人员，以防上当",
            },
        ),
        (
            "refund",
            {
                "character_string1": ORDER_SN,
                "amount2": "¥896.00",
                "thing3": "订单已取消,款项原路退回",
                "time4": "2026年11月23日 12:00",
            },
        ),
    ],
)
def test_the_templates_defaults_say_what_the_guest_needs(template: str, data: dict[str, str]) -> None:
    assert written(template, default(template)) == data


def test_a_team_has_fields_of_its_own() -> None:
    mapping = "order_sn=character_string1,title=thing12,total=number3,start=thing4,nights=number5,status=phrase6"
    assert written("order_confirmed", mapping) == {
        "character_string1": ORDER_SN,
        "thing12": "西湖边的小屋",
        "number3": "896.00",
        "thing4": "2026年12月1日",
        "number5": "2",
        "phrase6": "支付成功",
    }


def test_everything_that_a_mapping_allows_is_taken_by_wechat() -> None:
    """Each value in each type that is said to fit it, by the rules that the simulator has from WeChat's page."""
    written_fields = 0
    for template, kinds in VALUES.items():
        assert set(SAID[template]) == set(kinds)
        for value in kinds:
            for kind in TYPES:
                if not fits(kinds, f"{value}={kind}1"):
                    continue
                data = written(template, f"{value}={kind}1")
                assert re.fullmatch(_RULES[kind], data[f"{kind}1"]), (template, value, kind, data)
                written_fields += 1
    assert written_fields > 40
    assert set(_RULES) == TYPES


WRONG = [
    ("", "value=field"),
    ("title", "value=field"),
    ("title=", "value=field"),
    ("title=thing", "value=field"),
    ("title=thing0", "value=field"),
    ("title=1thing", "value=field"),
    ("title=thing1,", "value=field"),
    ("title=thing1 ,total=amount2", "value=field"),
    ("title=THING1", "value=field"),
    ("tittle=thing1", "there is no value 'tittle'; there are order_sn, title"),
    ("reason=thing1", "there is no value 'reason'"),
    ("title=things1", "no type 'things'; it has amount, "),
    ("start=amount2", "a day never fits amount; it fits date, thing"),
    ("start=time2", "a day never fits time"),
    ("order_sn=thing2", "an order number never fits thing; it fits character_string"),
    ("title=phrase2", "a text never fits phrase"),
    ("total=date2", "a sum never fits date"),
    ("code=letter2", "a code never fits letter"),
]


@pytest.mark.parametrize(("mapping", "why"), WRONG)
def test_a_mapping_that_cannot_work_says_what_to_do(mapping: str, why: str) -> None:
    with pytest.raises(BadMapping, match=re.escape(why)):
        parse_fields(VALUES["order_confirmed"], mapping)


def test_a_field_takes_one_value() -> None:
    with pytest.raises(BadMapping, match="thing1: a field takes one value"):
        parse_fields(VALUES["order_confirmed"], "title=thing1,hint=thing1")
    with pytest.raises(BadMapping, match="21 fields: at most 20"):
        parse_fields(VALUES["order_confirmed"], ",".join(f"title=thing{n}" for n in range(1, 22)))


@pytest.mark.parametrize("parameter", MAPPINGS)
def test_a_deployment_refuses_what_a_cold_start_would(parameter: str) -> None:
    told = PARAMETERS[parameter]
    assert told["AllowedPattern"] == fields_pattern(MAPPINGS[parameter])
    assert re.fullmatch(told["AllowedPattern"], told["Default"])


@pytest.mark.parametrize("mapping", [mapping for mapping, _ in WRONG])
def test_the_deployments_rule_and_the_cold_starts_are_one(mapping: str) -> None:
    assert not re.fullmatch(fields_pattern(VALUES["order_confirmed"]), mapping)


def test_a_template_id_that_was_not_filled_in_is_refused_by_the_deployment() -> None:
    for name in PARAMETER.values():
        pattern = PARAMETERS[f"{name}TemplateId"]["AllowedPattern"]
        assert re.fullmatch(pattern, "QIJPmfxaNqYzSjOlXGk1T6Xfw94JwbSPuOd3u_hi3WE")
        for bad in ("", "REPLACE", "two words"):
            assert not re.fullmatch(pattern, bad)


def test_the_page_on_deploying_lists_every_value_with_its_types() -> None:
    page = Path("docs/deploy-aws.md").read_text().partition("## Messages")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| (`.*`) \| [^|]* \| (`.*`) \|$", page, re.MULTILINE)
    told = {value: set(re.findall(r"\w+", types)) for values, types in rows for value in re.findall(r"\w+", values)}
    for parameter, kinds in MAPPINGS.items():
        assert f"| `{parameter}` | `{PARAMETERS[parameter]['Default']}` |" in page
        for value in kinds:
            assert told[value] == {kind for kind in TYPES if fits(kinds, f"{value}={kind}1")}, value
    assert set(told) == {value for kinds in MAPPINGS.values() for value in kinds}


def fits(kinds: Mapping[str, Kind], mapping: str) -> bool:
    try:
        return bool(parse_fields(kinds, mapping))
    except BadMapping:
        return False


# --- the page


def test_the_page_of_an_order() -> None:
    given_page = PARAMETERS["MessagePage"]["Default"]
    assert page_of(given_page, ORDER_SN) == f"pages/order/order?order_sn={ORDER_SN}"
    assert page_of("", ORDER_SN) == ""


@pytest.mark.parametrize(
    "page",
    ["/pages/order", "https://example.com/", "pages/order?sn={order}", "pages/{order_sn", "pages/我的", "a b", "a?b?c"],
)
def test_what_is_no_page_is_refused_twice(page: str) -> None:
    with pytest.raises(BadMapping, match="is no page"):
        page_of(page, ORDER_SN)
    assert not re.fullmatch(PARAMETERS["MessagePage"]["AllowedPattern"], page)


def test_a_day_has_no_zeros_in_front() -> None:
    data = fill(VALUES["order_confirmed"], (("start", "date1"),), {"start": date(2027, 1, 2)})
    assert data == {"date1": "2027年1月2日"}
