"""Forms of secrets that are masked, and innocent texts that are not."""

from __future__ import annotations

import pytest

from recsys_lab.config import UserError, secrets
from recsys_lab.config.secrets import (
    note_variables,
    refused_password,
    scrubbed,
    scrubbed_code,
    secret_paths,
)

CANARY = "c4nary-9"
FORMS = [
    # the password of an address, with every sign that may stand in it
    f"postgresql://me:{CANARY}@host/db",
    f"postgresql+psycopg://me:{CANARY}@host:5432/db",
    f"mysql://me:a@{CANARY}/b:c@host:3306/db",
    f"postgresql://:{CANARY}@host/db",
    f"postgresql://me:12/{CANARY}@host/db",
    f"https://me:{CANARY}@host:8080/log.csv",
    f"sftp://me:%40{CANARY}%2F@host/log.csv",
    f"cannot reach 'redis://me:{CANARY}@host', is it up?",
    # parameters of an address
    f"postgresql://host/db?user=me&password={CANARY}&x=1",
    f"mysql://host/db?passwd={CANARY}",
    f"mysql://host/db?pass%77d={CANARY}",
    f"postgresql://host/db?sslpassword={CANARY}",
    f"https://host/x.csv?X-Amz-Date=1&X-Amz-Signature={CANARY}",
    f"https://host/x.csv?X-Amz-Credential={CANARY}%2F2026&X-Amz-Expires=9",
    f"https://host/x.csv?X-Amz-Security-Token={CANARY}",
    f"https://host/x.csv?X-Goog-Signature={CANARY}",
    f"https://host/x.csv?AWSAccessKeyId={CANARY}&Signature={CANARY}",
    f"https://acc.blob.host/c/x.csv?sv=2026&sp=r&sig={CANARY}",
    f"https://host/x.csv?key={CANARY}",
    f"https://host/x.csv?api_key={CANARY}",
    f"https://host/x.csv?access_token={CANARY}",
    # other places of texts
    f"host=db user=me password={CANARY} port=5432",
    f"host=db password = '{CANARY} and more'",
    f"engine.settings.spark.hadoop.fs.s3a.secret.key={CANARY}",
    f"++engine.settings={{spark.hadoop.fs.azure.account.key.a.host: {CANARY}}}",
    f"(from the override data.password={CANARY})",
    f"{{'spark.ssl.keyPassword': '{CANARY}'}}",
    f'{{"apiKey": "{CANARY}"}}',
    f"Authorization: Bearer {CANARY}",
    f'"authorization": "Basic {CANARY}"',
    f"password: {CANARY}",
    f"WANDB_API_KEY={CANARY} recsys-lab train",
]
SHAPES = [
    "AKIAIOSFODNN7EXAMPLE",
    "hf_abcdefghijklmnopqrstuvwxyz",
    "ghp_abcdefghijklmnopqrstuvwxyz0123456789",
    "github_pat_11ABCDEFG0abcdefghijkl",
    "glpat-abcdefghijklmnopqrst",
    "xoxb-123456789012-abcdef",
    "sk-proj-abcdefghijklmnop0123",
    "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.dBjftJeZ4CVP",
    "-----BEGIN RSA PRIVATE KEY-----\nMIIEow\nABC=\n-----END RSA PRIVATE KEY-----",
]
INNOCENT = [
    "model.token_dim=8", "num_tokens=30522", "mask_token=[MASK]", "data.item_column=token",
    "data.user_column=user_key", "sort_key=-test/ndcg@10", "recipe.monitor=val/ndcg@10",
    "logs/me@home/x.csv", "s3://bucket/a@b.csv", "https://host:8080/users/@me", "a:b@c",
    "postgresql://me@host:5432/db", "sqlite:///s.db", "study.journal", "spark://host:7077",
    "postgresql://host/db?sslmode=require&target_session_attrs=any", "hdfs://host:9000/x",
    "data.password_env=DB_PASSWORD", "engine.settings_env={spark.ssl.keyPassword: MY_SECRET}",
    "data.path=env:LOG_URL", "primary_key=sku", "keyboard=qwerty",
    "SELECT who AS user_id FROM clicks WHERE token = 'x' AND secret_id IS NOT NULL",
    "data.url: contains a password (password=...)", "${oc.env:DB_PASSWORD}",
    "the secret of ranking",
    "data.password: SQL has no option 'password'; did you mean 'password_env'?",
    "spark.hadoop.fs.s3a.aws.credentials.provider=a.b.C", "0f" * 32, "1.0", "",
]  # fmt: skip


@pytest.fixture(autouse=True)
def no_secrets_around(monkeypatch):
    for name in ("DB_PASSWORD", "LOG_URL", "WANDB_API_KEY"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize("text", FORMS)
def test_secrets_are_masked_by_their_place(text):
    found = scrubbed(text)
    assert CANARY not in found
    assert "***" in found
    assert scrubbed(found) == found
    assert CANARY not in str(UserError(text))
    assert list(secret_paths({"a": [text]}, "x")) == ["x.a"]
    assert list(secret_paths({"a": [found]}, "x")) == []


@pytest.mark.parametrize("token", SHAPES)
def test_secrets_are_masked_by_their_shape(token):
    for text in (token, f"notes='{token}'", f"see {token}, and"):
        assert token not in scrubbed(text)
        assert scrubbed(scrubbed(text)) == scrubbed(text)
        assert token not in scrubbed_code(text)


@pytest.mark.parametrize("text", INNOCENT)
def test_innocent_texts_stay(text):
    assert scrubbed(text) == text
    assert scrubbed({"x": [text]}) == {"x": [text]}


def test_what_is_around_a_secret_stays():
    for text, left in {
        "mysql://me:a@b/c@host:3306/db": "mysql://me:***@host:3306/db",
        "mysql://host/db?user=me&password=abc&x=1": "mysql://host/db?user=me&password=***&x=1",
        "host=db password='a b' port=5432": "host=db password='***' port=5432",
        "https://host/x.csv?sig=abc#top": "https://host/x.csv?sig=***#top",
    }.items():
        assert scrubbed(text) == left


def test_a_mapping_is_masked_by_its_keys():
    config = {
        "spark.hadoop.fs.s3a.secret.key": CANARY, "Authorization": f"Bearer {CANARY}",
        "inner": [{"accessKey": CANARY, "passwd": 12345678}], "num_tokens": 5,
        "use_token": True, "token": None, "token_dim": "8", "event_features": {"token": "numeric"},
        "settings_env": {"spark.hadoop.fs.s3a.secret.key": "NOT_SET_HERE"},
    }  # fmt: skip
    found = scrubbed(config)
    assert found == {
        **config, "spark.hadoop.fs.s3a.secret.key": "***", "Authorization": "***",
        "inner": [{"accessKey": "***", "passwd": "***"}],
    }  # fmt: skip
    assert scrubbed(found) == found
    assert list(secret_paths(config)) == [
        "spark.hadoop.fs.s3a.secret.key", "Authorization", "inner.accessKey", "inner.passwd",
    ]  # fmt: skip


def test_values_of_secret_variables_are_masked_wherever_they_stand(monkeypatch):
    monkeypatch.setenv("SHOP_PASSWORD", "Gr/een c4nary+")
    monkeypatch.setenv("PGPASSWORD", "postgres")  # a word that stands in many a text
    monkeypatch.setenv("SHOP_COLOUR", "turquoise-99")
    text = "x Gr/een c4nary+ y, Gr%2Feen%20c4nary%2B; Gr%2Feen+c4nary%2B"
    assert scrubbed(text) == "x *** y, ***; ***"
    assert scrubbed_code(text) == scrubbed(text)
    for innocent in ("/home/postgres/x turquoise-99", "aGr/een c4nary+b"):
        assert scrubbed(innocent) == innocent


def test_code_is_masked_by_shapes_alone():
    text = f"token = next(tokens)\npassword=getpass()\nurl = 'mysql://me:{CANARY}@host'\n"
    assert scrubbed_code(text) == text.replace(CANARY, "***")


@pytest.mark.parametrize(
    ("url", "said"),
    [
        (f"postgresql://me:{CANARY}@host/db", "contains a password,"),
        (f"mysql://host/db?pass%77d={CANARY}", r"contains a password (passwd=...),"),
        ("postgresql://me@host:5432/db?x=password", None),
        (None, None),
    ],
)
def test_a_databases_password_is_refused(url, said):
    refused = refused_password(url)
    assert (refused is None) == (said is None)
    if refused is not None:
        assert said in refused
        assert CANARY not in refused


@pytest.mark.parametrize(
    "text",
    ["x-api-key: Zq9-hunter2-XyZ", "token:Zq9-hunter2-XyZ", "https://Zq9-hunter2-XyZ@github.com/x",
     "pw=Zq9-hunter2-XyZ"],
)  # fmt: skip
def test_secrets_in_notes_and_tags_by_other_forms(text):
    found = scrubbed(text)
    assert "hunter2" not in found
    assert scrubbed(found) == found


@pytest.mark.parametrize(
    "text", ["sk-learn-baseline-2024-run", "task-sk-learn-tuned-2025-b", "monitor: ndcg10-at-2024"]
)
def test_names_that_look_like_tokens_stay(text):
    assert scrubbed(text) == text


def test_what_a_config_takes_from_a_secret_variable_is_one_though_like_a_word(monkeypatch):
    monkeypatch.setattr(secrets, "_READ", set())
    monkeypatch.setenv("DB_PASSWORD", "correcthorse")
    assert scrubbed("notes: correcthorse") == "notes: correcthorse"
    note_variables({"notes": "${oc.env:DB_PASSWORD}", "tags": ["${oc.env:HOME}"]})
    assert scrubbed("battery correcthorse staple") == "battery *** staple"
