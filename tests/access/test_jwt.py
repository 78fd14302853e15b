"""JWTs: only those that the right issuer signed, for us, with a key of the file, and for as long as they last."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm

from processes import serving, unspool
from unspool.access import JwtKeys, TokenFile
from unspool.access import jwtkeys as module
from unspool.access.bykind import ByKind
from unspool.core.access import Credentials, Principal
from unspool.core.tokens import ListedToken, digest_of, write_token
from unspool.errors import InvalidRequestError, UnauthenticatedError

RSA = rsa.generate_private_key(65537, 2048)
EC = ec.generate_private_key(ec.SECP256R1())
ED = ed25519.Ed25519PrivateKey.generate()

ISSUER, AUDIENCE = "https://issuer.example", "files"


def jwks() -> dict[str, list[dict[str, Any]]]:
    """Return the public keys of the issuer: three to sign with, and one for something else."""
    return {
        "keys": [
            RSAAlgorithm.to_jwk(RSA.public_key(), as_dict=True) | {"kid": "r", "alg": "RS256", "use": "sig"},
            ECAlgorithm.to_jwk(EC.public_key(), as_dict=True) | {"kid": "e"},
            OKPAlgorithm.to_jwk(ED.public_key(), as_dict=True),
            {"use": "enc", "kty": "unknown"},
        ]
    }


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Return a file with the keys."""
    path = tmp_path / "keys.json"
    path.write_text(json.dumps(jwks()))
    return path


@pytest.fixture
def keys(file: Path) -> JwtKeys:
    """Return what knows the tokens of the issuer."""
    return JwtKeys(file, audience=AUDIENCE, issuer=ISSUER)


def claims(**changed: object) -> dict[str, Any]:
    """Return the claims of a good token, with changes; None leaves one out."""
    good = {"iss": ISSUER, "aud": AUDIENCE, "sub": "system:trainer", "exp": int(time.time()) + 86_400}
    return {key: value for key, value in (good | changed).items() if value is not None}


def signed(key: Any = RSA, algorithm: str = "RS256", kid: str | None = "r", **changed: object) -> Credentials:
    """Return what a caller shows that has a token."""
    headers = {} if kid is None else {"kid": kid}
    return Credentials("ipv4:127.0.0.1:1", token=jwt.encode(claims(**changed), key, algorithm, headers=headers))


@pytest.mark.parametrize(
    ("key", "algorithm", "kid"),
    [(RSA, "RS256", "r"), (RSA, "RS256", None), (EC, "ES256", "e"), (ED, "EdDSA", None), (ED, "EdDSA", "any")],
)
def test_a_good_token_is_known_by_its_subject(keys: JwtKeys, key: Any, algorithm: str, kid: str | None) -> None:
    """Whichever key of the file it is signed with, and whether it says which."""
    until = int(time.time()) + 100
    assert keys(signed(key, algorithm, kid, exp=until)) == Principal(("jwt:system:trainer",), until + 30)


@pytest.mark.parametrize(
    ("shown", "said"),
    [
        (signed(aud="others"), "audience"),
        (signed(aud=None), "no 'aud'"),
        (signed(iss="https://others.example"), "issuer"),
        (signed(iss=None), "no 'iss'"),
        (signed(exp=None), "no 'exp'"),
        (signed(sub=None), "no 'sub'"),
        (signed(sub=""), "subject"),
        (signed(sub="a\nb"), "subject"),
        (signed(sub="a" * 256), "subject"),
        (signed(exp=int(time.time()) - 60), "expired"),
        (signed(nbf=int(time.time()) + 86_400), "not valid yet"),
        (signed(kid="another"), "key that the server does not know"),
        (signed(EC, "ES256", "r"), "key that the server does not know"),
        (signed(RSA, "RS512"), "key that the server does not know"),
        (signed("x" * 64, "HS256"), "key that the server does not know"),
        (signed(rsa.generate_private_key(65537, 2048)), "signature is wrong"),
        (Credentials("", token=jwt.encode(claims(), "", "none")), "does not know"),
        (Credentials("", token="hello"), "not a JWT"),
        (Credentials("", token="a.b.c"), "not a JWT"),
        (Credentials("", token="x" * 20_000), "too long"),
    ],
)
def test_any_other_is_refused_and_told_why(keys: JwtKeys, shown: Credentials, said: str) -> None:
    """Twice alike, because verdicts are remembered; the token is not repeated."""
    for _ in range(2):
        with pytest.raises(UnauthenticatedError, match=said) as error:
            keys(shown)
        assert str(shown.token) not in str(error.value)


def test_a_signature_is_checked_once(keys: JwtKeys, monkeypatch: pytest.MonkeyPatch) -> None:
    """Verdicts are remembered, good ones until the token ends; bad tokens push out no good ones."""
    monkeypatch.setattr(module, "_MOST_VERDICTS", 2)
    good, checks = signed(), 0
    decode = jwt.decode

    def counting(*args: Any, **named: Any) -> Any:
        nonlocal checks
        checks += 1
        return decode(*args, **named)

    monkeypatch.setattr(jwt, "decode", counting)
    for number in range(10):
        assert keys(good) is not None
        with pytest.raises(UnauthenticatedError):
            keys(signed(aud=f"others {number}"))
    assert checks == 11
    assert (len(keys._good), len(keys._bad)) == (1, 2)
    keys._clock = lambda: time.time() + 90_000
    with pytest.raises(UnauthenticatedError, match="expired"):
        keys(good)


def test_a_token_that_is_not_valid_yet_will_be(keys: JwtKeys) -> None:
    """That verdict is not remembered."""
    with pytest.raises(UnauthenticatedError):
        keys(signed(nbf=int(time.time()) + 86_400))
    assert not keys._bad


def test_new_keys_count_and_old_ones_no_longer(keys: JwtKeys, file: Path) -> None:
    """When the file changes, what was remembered is forgotten; a file that makes no sense changes nothing."""
    assert keys(signed()) is not None
    file.write_text(json.dumps({"keys": jwks()["keys"][1:]}))
    assert keys.reload()
    assert keys.version == 1
    with pytest.raises(UnauthenticatedError, match="does not know"):
        keys(signed())
    assert keys(signed(EC, "ES256", "e")) is not None
    file.write_text("{}")
    assert not keys.reload()
    assert keys.refused == 1
    assert keys(signed(EC, "ES256", "e")) is not None


def pem(key: Any) -> str:
    """Return a public key in PEM."""
    made: bytes = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    return made.decode()


@pytest.mark.parametrize(("key", "algorithm"), [(RSA, "PS256"), (EC, "ES256"), (ED, "EdDSA")])
def test_one_key_may_be_in_pem(file: Path, key: Any, algorithm: str) -> None:
    """A file with one public key, whatever a token says about its id."""
    file.write_text(pem(key))
    assert JwtKeys(file, audience=AUDIENCE, issuer=ISSUER)(signed(key, algorithm, "any")) is not None


SECRET = RSA.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "line 1: neither JSON nor PEM"),
        ('{\n"keys": [}', "line 2: neither JSON nor PEM"),
        ("9" * 5000, "line 1: "),
        ("[" * 100_000, "line 1: "),
        ("[]", "not a JWKS"),
        ('{"keys": {}}', "not a JWKS"),
        ('{"keys": []}', "no key"),
        ('{"keys": [3]}', "key 1: not an object"),
        ('{"keys": [{"kty": "oct", "k": "c2VjcmV0"}]}', "key 1: it is secret"),
        ('{"keys": [{"kty": "RSA", "n": "?"}]}', "key 1: not a key"),
        (json.dumps({"keys": jwks()["keys"] * 40}), "120 keys"),
        (SECRET, "private keys do not belong here"),
        ("-----BEGIN NONSENSE", "not a public key"),
        (pem(dsa.generate_private_key(1024)), "sign no tokens"),
        (pem(ec.generate_private_key(ec.SECP224R1())), "sign no tokens"),
    ],
)
def test_a_file_without_public_keys_is_refused(file: Path, text: str, said: str) -> None:
    """The error names the file and what is wrong, and repeats nothing that may be secret."""
    file.write_text(text)
    with pytest.raises(InvalidRequestError, match=said) as error:
        JwtKeys(file, audience=AUDIENCE, issuer=ISSUER)
    assert str(file) in str(error.value)
    assert len(str(error.value)) < 300


def test_both_kinds_of_tokens_are_known(keys: JwtKeys, tmp_path: Path) -> None:
    """What begins as our tokens do is looked up, anything else is a JWT, and without one a certificate counts."""
    ours = write_token(bytes(32))
    path = tmp_path / "tokens"
    path.write_text(ListedToken("alice", digest_of(ours), 0).line())
    both = ByKind(TokenFile(path), keys)
    assert both(Credentials("", token=ours)) == Principal(("alice",))
    known = both(signed())
    assert known is not None
    assert known.name == "jwt:system:trainer"
    assert (
        both(Credentials("", certificate=("dns:a",))) == keys(Credentials("", certificate=("dns:a",))) == Principal(("dns:a",))
    )
    assert both(Credentials("")) is keys(Credentials("")) is None
    with pytest.raises(UnauthenticatedError, match="typing error"):
        both(Credentials("", token=ours[:-1]))
    assert both.version == (0, 0)
    path.write_text("")
    assert TokenFile(path)(Credentials("")) is None


def test_without_the_package_it_is_said_what_to_install(file: Path) -> None:
    """Where PyJWT is missing, everything else works, and the error says what to install."""
    program = (
        "import sys; sys.modules['jwt'] = None\n"
        "from unspool.access import JwtKeys\n"
        f"try: JwtKeys({str(file)!r}, audience='a', issuer='b')\n"
        "except Exception as error: print(error)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert "pip install 'unspool[jwt]'" in done.stdout


def test_a_server_takes_jwts_and_tokens(file: Path, tmp_path: Path) -> None:
    """`serve --jwt-keys` beside `--tokens`, with rules that name a subject; an option alone is a mistake."""
    (tmp_path / "root").mkdir()
    (tmp_path / "root" / "a").write_bytes(b"a")
    rules, tokens = tmp_path / "rules.toml", tmp_path / "tokens"
    rules.write_text('[[rule]]\nprefix = "a"\nwho = "jwt:system:trainer"\nmay = "read"\n')
    ours = write_token(bytes(32))
    tokens.write_text(ListedToken("alice", digest_of(ours), 0).line())
    options = ["--rules", str(rules), "--tokens", str(tokens), "--jwt-keys", str(file), "--jwt-audience", AUDIENCE]
    done = unspool("serve", tmp_path / "root", "--listen", "127.0.0.1:0", *options)
    assert (done.code, "--jwt-issuer" in done.complaint) == (2, True)
    with serving(tmp_path / "root", tmp_path / "log", *options, "--jwt-issuer", ISSUER) as server:
        codes = [
            unspool("stat", f"{server.address}/a", environment={"UNSPOOL_TOKEN": str(token)}).code
            for token in (signed().token, signed(sub="other").token, signed(aud="other").token, ours)
        ]
    assert codes == [0, 4, 4, 4]
