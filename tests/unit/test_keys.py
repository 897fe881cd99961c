"""Whatever form a key is pasted in: it is put right, or its field is named with what to do, and never its value."""

import base64
import json
import re
from collections.abc import Callable
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1
from cryptography.hazmat.primitives.asymmetric.ec import generate_private_key as elliptic
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
    load_pem_public_key,
)
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from payments.edge.tokens import TOKEN
from payments.settings import Misconfigured, SecretKind
from payments.wechat.keys import APP, MERCHANT, VERIFICATION
from simulator.credentials import Credentials

KNOWN = Credentials.generate()
PRIVATE, PUBLIC = KNOWN.merchant_private_key, KNOWN.platform_public_key
LOADED: Any = load_pem_private_key(PRIVATE.encode(), None)
LOADED_PUBLIC: Any = load_pem_public_key(PUBLIC.encode())
SERIAL = "444F4864EA9B34415A9B34415A9B34415A9B3441"
APIV3 = "0123456789abcdefghijklmnopqrstuv"
TOKEN_KEY = "a-key-of-our-own-tokens-long-enough-0"


def private(kind: PrivateFormat, key: Any = LOADED, password: Any = None) -> str:
    encryption = password or NoEncryption()
    return str(key.private_bytes(Encoding.PEM, kind, encryption).decode())


def bare(pem: str) -> str:
    return "".join(line for line in pem.splitlines() if "-----" not in line)


ELLIPTIC = elliptic(SECP256R1())
SHORT = generate_private_key(public_exponent=65537, key_size=1024)
LOCKED = private(PrivateFormat.PKCS8, password=BestAvailableEncryption(b"password"))
CERTIFICATE_ID = KNOWN.certificate_serial_no


def merchant(**changes: Any) -> str:
    return json.dumps({"private_key": PRIVATE, "cert_serial_no": SERIAL} | changes)


def verification(**changes: Any) -> str:
    return json.dumps({"apiv3_keys": [APIV3], "public_keys": {KNOWN.platform_key_id: PUBLIC}} | changes)


FORMS_OF_PEM: dict[str, Callable[[str], str]] = {
    "as the file": lambda pem: pem,
    "CRLF": lambda pem: pem.replace("\n", "\r\n"),
    "CR": lambda pem: pem.replace("\n", "\r"),
    "a line end written as two characters": lambda pem: pem.replace("\n", "\\n"),
    "CRLF written as four": lambda pem: pem.replace("\n", "\\r\\n"),
    "escaped twice": lambda pem: pem.replace("\n", "\\\\n"),
    "a slash escaped": lambda pem: pem.replace("/", "\\/"),
    "UTF-8 mark": lambda pem: "\ufeff" + pem,
    "white space around it": lambda pem: f" \n\t{pem}\n \n",
    "spaces for line ends": lambda pem: pem.replace("\n", " "),
    "indented": lambda pem: pem.replace("\n", "\n    "),
    "without the last line end": lambda pem: pem.rstrip("\n"),
    "without first and last line": bare,
    "without the padding": lambda pem: bare(pem).rstrip("="),
    "in quotes": lambda pem: f'"{pem.strip()}"',
    "text before it": lambda pem: f"Bag Attributes\n    friendlyName: merchant\n{pem}",
}


@pytest.mark.parametrize("form", FORMS_OF_PEM)
def test_a_private_key_in_any_form_is_the_same_key(form: str) -> None:
    for pem in (PRIVATE, private(PrivateFormat.TraditionalOpenSSL)):
        secret, left_out = MERCHANT.parse(merchant(private_key=FORMS_OF_PEM[form](pem)))
        assert secret.private_key.private_numbers() == LOADED.private_numbers()
        assert left_out == []


@pytest.mark.parametrize("form", FORMS_OF_PEM)
def test_a_public_key_in_any_form_is_the_same_key(form: str) -> None:
    pkcs1 = LOADED_PUBLIC.public_bytes(Encoding.PEM, PublicFormat.PKCS1).decode()
    for pem in (PUBLIC, pkcs1):
        text = verification(public_keys={KNOWN.platform_key_id: FORMS_OF_PEM[form](pem)})
        secret, left_out = VERIFICATION.parse(text)
        assert secret.public_keys[KNOWN.platform_key_id].public_numbers() == LOADED_PUBLIC.public_numbers()
        assert left_out == []


@pytest.mark.parametrize(
    "serial",
    [
        SERIAL.lower(),
        f" {SERIAL}\n",
        "\ufeff" + SERIAL,
        " ".join(SERIAL[n : n + 4] for n in range(0, 40, 4)),
        ":".join(SERIAL[n : n + 2] for n in range(0, 40, 2)),
        f"serial={SERIAL}",
        "0x" + SERIAL,
    ],
)
def test_a_serial_number_in_any_form_is_the_same_number(serial: str) -> None:
    assert MERCHANT.parse(merchant(cert_serial_no=serial))[0].cert_serial_no == SERIAL


@pytest.mark.parametrize("form", ["{}\n", " {}", "\ufeff{}", "{}\u200b", "{}\r\n"])
def test_what_copying_leaves_around_a_value_is_taken_off(form: str) -> None:
    assert VERIFICATION.parse(verification(apiv3_keys=[form.format(APIV3)]))[0].apiv3_keys == (APIV3.encode(),)
    assert VERIFICATION.parse(verification(apiv3_keys=form.format(APIV3)))[0].apiv3_keys == (APIV3.encode(),)
    key_id = form.format(KNOWN.platform_key_id)
    assert [*VERIFICATION.parse(verification(public_keys={key_id: PUBLIC}))[0].public_keys] == [KNOWN.platform_key_id]
    assert APP.parse(json.dumps({"app_secret": form.format("a1" * 16)}))[0] == "a1" * 16
    assert TOKEN.parse(json.dumps({"token_keys": [form.format(TOKEN_KEY)]}))[0] == (TOKEN_KEY,)
    assert TOKEN.parse(json.dumps({"token_keys": TOKEN_KEY}))[0] == (TOKEN_KEY,)
    assert APP.parse("\ufeff" + json.dumps({"app_secret": "a1" * 16}))[0] == "a1" * 16


def test_a_platform_certificate_verifies_under_its_serial_number() -> None:
    spaced = " ".join(CERTIFICATE_ID[n : n + 2] for n in range(0, 40, 2)).lower()
    for key_id in (CERTIFICATE_ID, spaced):
        secret, _ = VERIFICATION.parse(verification(public_keys={key_id: KNOWN.certificate}))
        known = x509.load_pem_x509_certificate(KNOWN.certificate.encode()).public_key()
        assert secret.public_keys[CERTIFICATE_ID] == known


NO_APIV3_KEYS: list[Any] = [[], {}, "", None, 7, "x" * 31, ["é" * 32]]
NO_TOKEN_KEYS: list[Any] = [[], {}, "", None, 7, ["x", "y"], "k" * 31]
JUNK: list[Any] = [None, True, 7, 1.5, [], {}, "", " \n", ["x"], {"x": "y"}, "x", "\ud800"]
WRONG: list[tuple[SecretKind[Any], str, str]] = [
    *((MERCHANT, "private_key", merchant(private_key=junk)) for junk in JUNK),
    *(
        (MERCHANT, "cert_serial_no", merchant(cert_serial_no=junk))
        for junk in [*JUNK, SERIAL[:20], SERIAL + "0", "G" * 40]
    ),
    *(
        (MERCHANT, "private_key", merchant(private_key=pem))
        for pem in (
            KNOWN.merchant_public_key,
            KNOWN.certificate,
            LOCKED,
            private(PrivateFormat.PKCS8, ELLIPTIC),
            private(PrivateFormat.TraditionalOpenSSL, ELLIPTIC),
            private(PrivateFormat.PKCS8, SHORT),
            private(PrivateFormat.TraditionalOpenSSL, password=BestAvailableEncryption(b"password")),
            bare(KNOWN.merchant_public_key),
            PRIVATE[:-40],
            PRIVATE[40:],
            PRIVATE.replace("A", "é"),
            PRIVATE[:200] + PRIVATE[260:],
        )
    ),
    *((VERIFICATION, "apiv3_keys", verification(apiv3_keys=[junk])) for junk in JUNK),
    *((VERIFICATION, "apiv3_keys", verification(apiv3_keys=keys)) for keys in NO_APIV3_KEYS),
    *((VERIFICATION, "public_keys", verification(public_keys=junk)) for junk in [*JUNK, PUBLIC, [PUBLIC]]),
    *(
        (VERIFICATION, "public_keys", verification(public_keys={key_id: pem}))
        for key_id, pem in (
            ("", PUBLIC),
            ("my key", PUBLIC),
            (KNOWN.platform_key_id, ""),
            (KNOWN.platform_key_id, [PUBLIC]),
            (KNOWN.platform_key_id, PRIVATE),
            (KNOWN.platform_key_id, bare(PRIVATE)),
            (KNOWN.platform_key_id, KNOWN.certificate),
            (SERIAL, KNOWN.certificate),
            (KNOWN.platform_key_id, PUBLIC[:-60]),
            (
                KNOWN.platform_key_id,
                ELLIPTIC.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode(),
            ),
        )
    ),
    *((APP, "app_secret", json.dumps({"app_secret": junk})) for junk in [*JUNK, "a" * 31, "a" * 33, "-" * 32]),
    *((TOKEN, "token_keys", json.dumps({"token_keys": [junk]})) for junk in [*JUNK, "k" * 31]),
    *((TOKEN, "token_keys", json.dumps({"token_keys": keys})) for keys in NO_TOKEN_KEYS),
    *((MERCHANT, field, json.dumps({}) if field else "{}") for field in ("private_key", "cert_serial_no")),
]


@pytest.mark.parametrize(("secret", "field", "text"), WRONG)
def test_what_no_rule_puts_right_is_told_by_its_field_and_without_its_value(
    secret: SecretKind[Any], field: str, text: str
) -> None:
    with pytest.raises(Misconfigured) as raised:
        secret.parse(text)
    told = str(raised.value)
    assert field in told
    assert "docs/deploy-aws.md" in told
    for value in re.findall(r"[\w+/=-]{12,}", text.replace("\\n", "\n")):
        assert value in (field, "private_key", "cert_serial_no") or value not in told


@pytest.mark.parametrize("text", ["not json", "[]", "null", "7", '"text"', "[" * 100_000, "1" * 5000, "", "{"])
@pytest.mark.parametrize("secret", [MERCHANT, VERIFICATION, APP, TOKEN])
def test_what_is_no_json_object_is_told_as_such(secret: SecretKind[Any], text: str) -> None:
    with pytest.raises(Misconfigured, match="not a JSON object"):
        secret.parse(text)


def test_all_that_is_wrong_is_told_at_once() -> None:
    with pytest.raises(Misconfigured, match=r"private_key is a number.*cert_serial_no is missing"):
        MERCHANT.parse('{"private_key": 7}')


def test_an_entry_that_cannot_be_used_is_left_out_while_another_can() -> None:
    other = "PUB_KEY_ID_0000000000000000000000000000000001"
    keys, told = VERIFICATION.parse(
        verification(apiv3_keys=["x" * 33, APIV3, 7, APIV3], public_keys={other: "pem", KNOWN.platform_key_id: PUBLIC})
    )
    assert keys.apiv3_keys == (APIV3.encode(),)
    assert [*keys.public_keys] == [KNOWN.platform_key_id]
    assert [line.split(" ")[0] for line in told] == ["apiv3_keys[0]", "apiv3_keys[2]", "public_keys[0]"]
    tokens, told = TOKEN.parse(json.dumps({"token_keys": ["x", TOKEN_KEY]}))
    assert (tokens, len(told)) == ((TOKEN_KEY,), 1)


def test_a_field_of_another_secret_is_told() -> None:
    _, told = VERIFICATION.parse(verification(private_key=PRIVATE, note="made by anna"))
    assert told == ["private_key does not belong here: take it out"]


def test_a_secret_does_not_show_its_values() -> None:
    shown = f"{MERCHANT.parse(merchant())[0]!r} {VERIFICATION.parse(verification())[0]!r}"
    assert APIV3 not in shown
    assert "private_key" not in shown


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=80),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=40), inner, max_size=4),
    max_leaves=8,
)
FIELDS = st.sampled_from(["private_key", "cert_serial_no", "apiv3_keys", "public_keys", "app_secret", "token_keys"])


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.dictionaries(FIELDS, JSON, max_size=6))
def test_no_value_of_any_kind_breaks_the_reading(values: dict[str, Any]) -> None:
    for secret in (MERCHANT, VERIFICATION, APP, TOKEN):
        try:
            secret.parse(json.dumps(values))
        except Misconfigured as told:
            assert "docs/deploy-aws.md" in str(told)  # noqa: PT017


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.binary(max_size=600), st.sampled_from(["PRIVATE KEY", "PUBLIC KEY", "CERTIFICATE", "RSA PRIVATE KEY", "X"]))
def test_no_bytes_in_a_pem_break_the_reading(der: bytes, label: str) -> None:
    pem = f"-----BEGIN {label}-----\n{base64.b64encode(der).decode()}\n-----END {label}-----"
    with pytest.raises(Misconfigured, match="private_key"):
        MERCHANT.parse(merchant(private_key=pem))
    with pytest.raises(Misconfigured, match="public_keys"):
        VERIFICATION.parse(verification(public_keys={CERTIFICATE_ID: pem}))
