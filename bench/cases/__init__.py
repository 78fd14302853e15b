"""The benchmark cases by name, one module each."""

from __future__ import annotations

from bench.case import Case
from bench.cases import (
    big,
    bucket,
    clients,
    listing,
    long,
    progress,
    resume,
    sizes,
    small,
    spans,
    steady,
    threads,
    tls,
    tree,
    upload,
)

CASES: dict[str, Case] = {
    case.name: case
    for case in (
        big.FIRST,
        big.BIG,
        tls.TLS,
        steady.STEADY,
        spans.SPANS,
        threads.THREADS,
        long.LONG,
        long.CUT,
        clients.CLIENTS,
        tree.TREE,
        listing.LIST,
        sizes.SIZES,
        small.SMALL,
        resume.RESUME,
        progress.PROGRESS,
        bucket.BUCKET,
        upload.PUT,
        upload.PUT_TREE,
    )
}
