"""The API's description is what the handlers and the template say."""

import pytest

from local import openapi
from local.home import PROJECT
from local.topology import whole

DOCUMENT = openapi.document()
OPERATIONS = [
    (path, method, operation) for path, methods in DOCUMENT["paths"].items() for method, operation in methods.items()
]


def test_the_file_is_up_to_date() -> None:
    assert openapi.FILE.read_text() == openapi.text(), "./dev openapi writes it"


def test_it_describes_the_templates_routes_and_no_other() -> None:
    described = {f"{method.upper()} {path}": operation.get("security") != [] for path, method, operation in OPERATIONS}
    assert described == {route: route not in whole().open_routes for route in whole().routes}


def test_every_operation_has_a_name_of_its_own_and_says_what_it_does() -> None:
    names = [operation["operationId"] for _, _, operation in OPERATIONS]
    assert len(set(names)) == len(names)
    for path, method, operation in OPERATIONS:
        assert operation["summary"], (path, method)
        assert operation["tags"][0] in {tag["name"] for tag in DOCUMENT["tags"]}


@pytest.mark.parametrize(
    ("path", "method", "answers"),
    [
        ("/orders", "post", {"201", "401", "403", "409", "413", "415", "422", "429", "500", "503"}),
        ("/login", "post", {"200", "401", "413", "415", "422", "429", "500", "503"}),
        (
            "/merchant/redemptions",
            "post",
            {"200", "401", "403", "404", "409", "413", "415", "422", "429", "500", "503"},
        ),
        ("/wxpay/notify", "post", {"204", "400", "401", "413", "500"}),
    ],
)
def test_answers_are_described(path: str, method: str, answers: set[str]) -> None:
    assert set(DOCUMENT["paths"][path][method]["responses"]) == answers


def test_the_version_is_the_projects() -> None:
    assert f'version = "{DOCUMENT["info"]["version"]}"' in (PROJECT / "pyproject.toml").read_text()
