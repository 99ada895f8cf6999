"""What is hidden in the texts of tools, what stays readable, and that no text holds up the process."""

import base64
import json
import random
import time

import pytest

from beta9_provisioning.kit.masking import MASK, MOST_CHARACTERS, LineMasker, is_secret_name, mask, mask_text

JWT = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.s3cret-s3cret"
AWS_KEY = "s3cret/EXAMPLE/wJalrXUtnFEMI/K7MDENGbPxR"
PEM = "-----BEGIN {0}PRIVATE KEY{1}-----\nMIIs3cret\ns3cret==\n-----END {0}PRIVATE KEY{1}-----"
KINDS = ["", "RSA ", "EC ", "DSA ", "OPENSSH ", "ENCRYPTED "]


SECRETS = [
    # Escaped quotes in a value, at any depth of documents in documents.
    r'{"password": "abc\"s3cret"}',
    r'{"password": "abc\\", "token": "s3cret"}',
    r'{"detail": "{\"password\": \"abc\\\"s3cret\"}"}',
    json.dumps({"a": json.dumps({"b": json.dumps({"password": 'abc"s3cret\\'})})}),
    r"password='a\'s3cret b' host=db",
    "host=db password='a s3cret' user=x",
    "password=a,s3cret host=x",
    "password=a(s3cret)b",
    'password=a"s3cret host=x',
    "{user:x,password:s3cret}",
    "map[password:s3cret user:x]",
    "password: |\n  s3cret\n",
    "password: >-\n  s3cret\n",
    # What HTTP sends.
    "Authorization: Basic czNjcmV0OnMzY3JldA==  s3cret",
    "Basic dXNlcjpzM2NyZXQs3cret",
    "proxy-authorization: Negotiate s3cret",
    "map[Authorization:[Bearer s3cret] Accept:[*/*]]",
    "token: Bearer s3cret",
    "curl -H 'Authorization: token s3cret' https://host",
    "Cookie: a=b; session=s3cret",
    "Signature=s3cret",
    "Authorization: AWS4-HMAC-SHA256 Credential=AKIA/us/sts, SignedHeaders=host, Signature=s3cret",
    "https://sts/?X-Amz-Signature=s3cret&X-Amz-Expires=60",
    "https://sts/?X-Amz-Security-Token=s3cret%2Fs3cret&Action=x",
    "https%3A%2F%2Fsts%2F%3FX-Amz-Signature%3Ds3cret",
    "host:sts\nx-amz-security-token:s3cret\n",
    "<Credentials><SecretAccessKey>s3cret</SecretAccessKey><SessionToken>s3cret</SessionToken>",
    "<SessionToken>s3cret0123456789",
    # Keys.
    *(PEM.format(kind, "") for kind in KINDS),
    PEM.format("PGP ", " BLOCK"),
    PEM.format("RSA ", "").replace("\n", "\\n"),
    json.dumps({"key": json.dumps({"pem": PEM.format("", "")})}),
    "---- BEGIN SSH2 ENCRYPTED PRIVATE KEY ----\ns3cret",
    "private_key=" + PEM.format("", ""),
    "private_key: |\n  " + PEM.format("EC ", ""),
    "client-key-data: s3cret",
    # Tokens.
    "got k8s-aws-v1.s3cret_s3cret-x back",
    f"got {JWT} back",
    f'"{JWT}"',
    f"x={JWT}",
    "got b9p_0123456789abcdef_s3cret_s3cret-x back",
    '{"value":"b9p_0123456789abcdef_s3cret"}',
    # Command lines.
    "--set password s3cret",
    "--set-string a.b.password=s3cret",
    r"\set password s3cret",
    "--password s3cret",
    "-password s3cret",
    "helm --kube-token s3cret list",
    '["psql", "--password", "s3cret"]',
    "['psql', '--db-password', 's3cret']",
    "ALTER ROLE x LOGIN PASSWORD 's3cret'",
    "Server=x;Uid=y;Pwd=s3cret;",
    "pwd=s3cret",
    "db_pass: s3cret",
    "dbPass=s3cret",
    "MYSQL_PASS=s3cret",
    "requirepass: s3cret",
    "spring.datasource.password: s3cret",
    "config.database.postgres.password=s3cret",
    'config["password"] = "s3cret"',
    "reason:token=s3cret",
    # Connection strings.
    "postgresql://user:s3cret@host/db",
    "postgresql://user:a@s3cret@host/db",
    "postgresql://user:a:s3cret@host/db",
    "postgresql://user:a/s3cret@host/db",
    "postgresql://user:a#s3cret@host/db",
    "postgresql://user:a's3cret@host/db",
    "redis+sentinel://:s3cret@a:1,b:2/0",
    "https://user:a@s3cret@host/path",
    '{"url":"amqp://user:s3cret@host","next":1}',
    "two: redis://a:1/0 and rediss://x:s3cret@b:2/0",
    "a://b:c://d:s3cret@host",
    # Keys of AWS beside their names.
    f"aws_secret_access_key {AWS_KEY}",
    f"| Secret access key | {AWS_KEY} |",
    f"Secret access key: {AWS_KEY}",
    f"AKIAIOSFODNN7EXAMPLE,{AWS_KEY}",
    f"AKIAIOSFODNN7EXAMPLE:{AWS_KEY}\n",
    '{"SecretAccessKey": "s3cret", "SessionToken": "s3cret"}',
]


@pytest.mark.parametrize("text", SECRETS)
def test_a_secret_that_a_tool_printed_is_hidden(text: str) -> None:
    masked = mask_text(text)
    assert "s3cret" not in masked
    assert MASK in masked
    assert "s3cret" not in json.dumps(mask({"detail": [text]}))
    assert mask_text(masked) == masked


@pytest.mark.parametrize(
    "text",
    [
        "SignatureDoesNotMatch: The request signature we calculated does not match yours",
        "MissingAuthenticationTokenException: x",
        'secrets "beta9-generated" not found',
        'Secret "beta9/x" is invalid: metadata.name: Invalid value: "X"',
        "module.a.random_password.token: Still creating... [10s elapsed]",
        "aws_secretsmanager_secret.token: Creation complete after 1s",
        "arn:aws:secretsmanager:us-east-1:123456789012:secret:db-password-Ab12Cd",
        "dial tcp: lookup secretsmanager.us-east-1.amazonaws.com: no such host",
        "https://[::1]:6443/api?at=a@b",
        "https://registry.example:5000/@scope/name: 404",
        "oci://registry/charts/beta9-chart:0.1.0",
        "POST /api/v1/namespaces/absent/secrets: HTTP 404 NotFound",
        "redis://[::1]:6379/0",
        "postgresql://user@host:5432/db",
        'WWW-Authenticate: Bearer realm="https://auth.example/token",service="registry"',
        "Bearer authentication is required, Basic authentication is not offered.",
        "The bearer token is too old.",
        "AWS_ACCESS_KEY_ID=AKIAIOSFODNN7EXAMPLE",
        "--token-file /run/token --kubeconfig x --namespace y",
        "cd $OLDPWD; PWD=/home/user",
        "token_endpoint=https://login.example/token",
        "automountServiceAccountToken: false",
        "password = (sensitive value)",
        "password = (known after apply)",
        "token=null, password: None",
        "Token(value=<secret>, expires_at=1)",
        "Release('beta9', values=<secret>)",
        "-----BEGIN CERTIFICATE-----\nMII\n-----END CERTIFICATE-----",
        'pods is forbidden: User "x" cannot list resource "pods" in API group "" at the cluster scope',
        "bypass: on, compass: north, author: somebody",
    ],
)
def test_names_addresses_and_error_codes_stay_readable(text: str) -> None:
    assert mask_text(text) == text


def test_what_is_around_a_secret_stays_readable() -> None:
    assert mask_text('a "password": "x\\"y", "host": "db"') == f'a "password": "{MASK}", "host": "db"'
    assert mask_text("host=db password='a b' user=x") == f"host=db password='{MASK}' user=x"
    assert mask_text("redis://me:a@b:c@host:1/0 is away") == f"redis://me:{MASK}@host:1/0 is away"
    assert mask_text("https://s/?X-Amz-Signature=ab&n=1") == f"https://s/?X-Amz-Signature={MASK}&n=1"
    assert mask_text("(token=abc), retry") == f"(token={MASK}), retry"
    assert mask_text(f"a\n{PEM.format('', '')}\nb") == f"a\n{MASK}\nb"


@pytest.mark.parametrize("text", SECRETS)
def test_a_secret_over_several_lines_is_hidden_line_by_line(text: str) -> None:
    """Terraform's own words come line by line: a private key was shown from its second line on."""
    hide = LineMasker()
    shown = [hide(line) for line in ["before", *text.splitlines(), "after that"]]
    assert "s3cret" not in "\n".join(shown)
    assert shown[0] == "before"


def test_after_a_private_key_the_lines_are_shown_again() -> None:
    hide = LineMasker()
    lines = ["panic: boom", *PEM.format("RSA ", "").splitlines(), "goroutine 1", "token:", "", "at main.go"]
    assert [hide(line) for line in lines] == [
        "panic: boom",
        *[MASK] * 4,
        "goroutine 1",
        "token:",
        "",
        "at main.go",
    ]


def test_a_secret_in_the_way_of_the_cut_is_not_left_in_half() -> None:
    before = "x" * 90 + " "
    for secret in ("postgresql://u:s3cret@host/db", "k8s-aws-v1.s3cret", '{"password":"s3cret"}', JWT):
        for most in range(len(before), len(before) + len(secret)):
            assert "s3c" not in mask_text(before + secret, most)
    assert len(mask_text("x" * 3 * MOST_CHARACTERS)) == MOST_CHARACTERS
    assert len(mask_text("x y " * MOST_CHARACTERS)) <= MOST_CHARACTERS


def test_a_deep_document_is_hidden_below() -> None:
    deep: object = "s3cret"
    for _ in range(600):
        deep = [deep]
    assert "s3cret" not in json.dumps(mask({"a": deep}))


PIECES = [
    "password", "password=", "password:", "password ", '"password"', 'password="', "password='", "token-",
    "secret.", "--password ", "--set password ", "a", "A1", "-", "_", ".", " ", "\t", "\n", "=", ":", "://",
    "a://b:", "a://b:c@", "https://u:", "@", '"',
    "'", '\\"', "\\", "\\\\", "<", ">", "<token>", "</", "{", "}",
    "[", "]", "(", ")", ",", ";", "&", "%3D", "eyJ", "eyJa.", ".eyJa", "k8s-aws-v1.", "Bearer ", "Basic a",
    "-----", "-----BEGIN ", "-----BEGIN PRIVATE KEY-----", "-----END ", "AKIAIOSFODNN7EXAMPLE", "AKIA",
    "secret access key ", "Authorization: ", "X-Amz-Signature=", "pwd", "PWD=/", "password=|\n", "null", "\0",
    "é", "\ud800",
]  # fmt: skip


def cpu_seconds(text: str) -> float:
    """Return how long the processor works on a text, however long: the cut is not what makes it quick."""
    begin = time.process_time()
    for offset in range(0, len(text), MOST_CHARACTERS):
        mask_text(text[offset : offset + MOST_CHARACTERS])
    return time.process_time() - begin


@pytest.mark.parametrize("seed", range(4))
def test_a_hostile_text_of_twice_the_length_takes_about_twice_the_time(seed: int) -> None:
    """64 KB of the word "password" took 22 s, in which no other thread could do anything."""
    dice = random.Random(seed)
    singles = PIECES if seed == 0 else []
    mixed = ["".join(dice.choices(PIECES, k=dice.randint(2, 5))) for _ in range(40)]
    for piece in [*singles, *mixed]:
        small, large = (
            min(cpu_seconds((piece * (size // len(piece) + 1))[:size]) for _ in range(2))
            for size in (MOST_CHARACTERS // 4, MOST_CHARACTERS)
        )
        # Quadratic work would be 16 times as much; what is too quick to be measured is not quadratic.
        assert large < 10 * max(small, 0.005), (piece, small, large)


def test_whatever_surrounds_it_a_quoted_or_plain_secret_is_hidden() -> None:
    dice = random.Random(7)
    names = ["password", "DB_PASSWORD", "authToken", "secret_key", "db_pass", "X-Amz-Security-Token"]
    alphabet = "ab1Z9!#$%^*-_=+|~?./:@\"'\\,;&() "
    before = ["", "x ", "a=1 ", "--verbose ", "{", "error:\n", "a://b/c ", "3 "]
    for _ in range(5000):
        secret = "s3cret" + "".join(dice.choices(alphabet, k=dice.randint(0, 8))) + "s3cret"
        name = dice.choice(names)
        document: object = {name: secret}
        for _ in range(dice.randint(0, 2)):
            document = {"detail": json.dumps(document)}
        escaped = secret.replace("\\", "\\\\").replace("'", "\\'")  # libpq's way
        forms = [
            json.dumps(document),
            json.dumps(document, separators=(",", ":")),
            f"{name} = '{escaped}'",
        ]
        for form in forms:
            text = dice.choice(before) + form + dice.choice(["", " x", "}\n", "]"])
            assert "s3cret" not in mask_text(text), text


def test_what_ends_like_a_place_is_no_secret_name() -> None:
    for name in ("token_endpoint", "secret_ref", "password_file", "tokenTTL", "kms_key", "x" * 100_000):
        assert not is_secret_name(name), name
    for name in ("db_pass", "pwd", "X-Amz-Signature", "Authorization", "client-key-data", "MyPassphrase"):
        assert is_secret_name(name), name


def test_a_token_in_base64_of_a_cluster_is_hidden() -> None:
    url = base64.urlsafe_b64encode(b"https://sts/?X-Amz-Signature=s3cret").decode().rstrip("=")
    assert url not in mask_text(f"helm: unauthorized: k8s-aws-v1.{url} was refused")
