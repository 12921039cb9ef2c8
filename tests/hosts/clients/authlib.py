"""What the tests ask of Authlib: an order as JSON on each line of standard input, its outcome on one of standard output."""

import json
import sys
from urllib.parse import parse_qsl

import requests
from authlib.integrations.requests_client import OAuth2Session
from authlib.oauth2.rfc7523 import ClientSecretJWT
from authlib.oauth2.rfc7523 import PrivateKeyJWT
from joserfc.jwk import ECKey
from joserfc.jwk import OKPKey
from joserfc.jwk import RSAKey
from joserfc.jwk import import_key

GENERATE = {
    "RS256": lambda: RSAKey.generate_key(2048),
    "PS256": lambda: RSAKey.generate_key(2048),
    "ES256": lambda: ECKey.generate_key("P-256"),
    "EdDSA": lambda: OKPKey.generate_key("Ed25519"),
    "Ed25519": lambda: OKPKey.generate_key("Ed25519"),
}


def make_key(order):
    key = GENERATE[order["algorithm"]]()
    return {"private": key.as_dict(private=True), "public": key.as_dict(private=False)}


def call(order):
    metadata = requests.get(f"{order['issuer']}/.well-known/oauth-authorization-server").json()
    method, credential = order["method"], order["credential"]
    if method == "private_key_jwt":
        credential = import_key(credential)
    session = OAuth2Session(
        order["client_id"],
        credential,
        token_endpoint_auth_method=method,
        revocation_endpoint_auth_method=method,
    )
    # Without an audience, it is the endpoint that is called.
    audience = order["audience"]
    if method == "client_secret_jwt":
        session.register_client_auth_method(ClientSecretJWT(audience))
    elif method == "private_key_jwt":
        session.register_client_auth_method(PrivateKeyJWT(audience, alg=order["algorithm"]))
    if order["do"] == "revoke":
        response = session.revoke_token(metadata["revocation_endpoint"], order["token"])
    else:
        response = session.introspect_token(metadata["introspection_endpoint"], order["token"])
    form = dict(parse_qsl(response.request.body))
    if response.ok:
        return {"answer": response.json() if response.content else None, "form": form}
    return {"refused": response.json()["error"], "status": response.status_code, "form": form}


for line in sys.stdin:
    order = json.loads(line)
    outcome = make_key(order) if order["do"] == "key" else call(order)
    print(json.dumps(outcome), flush=True)
