"""Whom the server knows and what each may do, kept in files that are read again when they change.

server = unspool.Server(store, authenticate=TokenFile("tokens"), authorize=RulesFile("rules.toml"))

files.py       reads such files with care, and again when they change
tokenfile.py   tokens; jwtkeys.py: keys of JWTs; bykind.py: callers that show either
rulesfile.py   who may do what; auditfile.py: what was granted and denied
"""

from unspool.access.auditfile import AuditFile
from unspool.access.jwtkeys import JwtKeys
from unspool.access.rulesfile import RulesFile
from unspool.access.tokenfile import TokenFile
from unspool.core.access import (
    Audit,
    Authenticate,
    Authority,
    Authorize,
    Credentials,
    Decision,
    Extent,
    Principal,
    Right,
    Verdict,
)

__all__ = [
    "Audit",
    "AuditFile",
    "Authenticate",
    "Authority",
    "Authorize",
    "Credentials",
    "Decision",
    "Extent",
    "JwtKeys",
    "Principal",
    "Right",
    "RulesFile",
    "TokenFile",
    "Verdict",
]
