"""Whom the server knows and what each may do, kept in files that are read again when they change.

server = unspool.Server(store, authenticate=TokenFile("tokens"), authorize=RulesFile("rules.toml"))
"""

from unspool.access.auditfile import AuditFile
from unspool.access.rulesfile import RulesFile
from unspool.access.tokenfile import TokenFile

__all__ = ["AuditFile", "RulesFile", "TokenFile"]
