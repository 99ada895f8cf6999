"""`beta9-provisioning audit verify`: whether all chains and signatures are as they were written.

Everything is read in one snapshot, in batches: memory does not grow with the number of records.
"""

import argparse
import json
import sys
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from sqlalchemy import select
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from beta9_provisioning.audit import chain, signatures
from beta9_provisioning.audit.chain import START, Broken, Kind, Link
from beta9_provisioning.audit.signatures import Head, KeyUnusable, fingerprint
from beta9_provisioning.kit.database import DatabaseUnavailable, check, connect
from beta9_provisioning.kit.database_errors import describe
from beta9_provisioning.operations.records.model import AuditSignatureRow
from beta9_provisioning.settings import Settings, run_or_explain

Keys = Mapping[str, Ed25519PublicKey]


class HeadsUnreadable(Exception):
    """A file holds no lines about signed heads; the message says which one and why."""


@dataclass(frozen=True)
class Finding:
    """Something that is not as it was written.

    Attributes:
        first: number of the first record that it concerns; what was before it holds.
        last: of the last one, where only a stretch is known.
    """

    kind: Kind
    first: int
    last: int
    message: str


@dataclass
class Report:
    """What was found of one chain.

    Attributes:
        records: how many hold, from the first.
        signed: number up to which a signature that was checked by a public key vouches for it.
        unchecked: signatures for which no public key was given.
    """

    organization_id: str
    records: int = 0
    hash: str | None = None
    signatures: int = 0
    signed: int = 0
    unchecked: int = 0
    findings: list[Finding] = field(default_factory=list)

    def add(self, found: Broken) -> None:
        """Note a finding."""
        self.findings.append(Finding(found.kind, found.number, found.last, found.message))


def verify(
    session: Session, *, organization: str | None = None, keys: Keys, kept: Mapping[str, Sequence[Head]]
) -> Iterator[Report]:
    """Check chain after chain, and yield what was found of each.

    Args:
        session: in a transaction of one snapshot.
        organization: the only chain to check; None checks all.
        keys: public keys by fingerprint; none leaves signatures unchecked, but for the hashes in them.
        kept: heads by organization that somebody kept elsewhere.
    """
    signed = session.scalars(select(AuditSignatureRow.organization_id).distinct())
    names = {*chain.organizations(session), *signed, *kept}
    for name in sorted(names) if organization is None else [organization]:
        yield _verify_one(session, name, keys, kept.get(name, ()))


def _verify_one(session: Session, organization_id: str, keys: Keys, kept: Sequence[Head]) -> Report:
    report = Report(organization_id)
    stored = list(signatures.heads(session, organization_id))
    report.signatures = len(stored)
    numbers = {head.number for head in stored}
    for head in kept:
        if head.number not in numbers:
            message = f"the signature of record {head.number} was removed, of {head.signed_at.isoformat()}"
            report.add(Broken(Kind.SIGNATURE, head.number, message))
    good = sorted(
        (head for head in (*stored, *kept) if _is_good(head, keys, report)), key=lambda head: head.number
    )
    try:
        _hold(session, good, report)
    except Broken as error:
        report.records = error.number - 1
        report.add(error)
    if keys and not report.findings:
        report.signed = max((head.number for head in good), default=0)
    return report


def _is_good(head: Head, keys: Keys, report: Report) -> bool:
    """Tell whether a signature counts; without public keys, what it says is compared all the same."""
    if not keys:
        report.unchecked += 1
        return True
    key = keys.get(head.key)
    if key is None:
        message = f"the signature of record {head.number} is by the key {head.key}, which was not given"
    elif not head.is_signed_by(key):
        message = f"the signature of record {head.number} is not valid: it, or what it says, was changed"
    else:
        return True
    report.add(Broken(Kind.SIGNATURE, head.number, message))
    return False


def _hold(session: Session, heads: Sequence[Head], report: Report) -> None:
    """Follow the chain to its end, and see that each head is in it as it was signed.

    Raises:
        Broken: at the first record where it is not.
    """
    waiting = iter(heads)
    head = next(waiting, None)
    last, vouched = START, 0
    for last in chain.follow(session, report.organization_id):
        while head is not None and head.number <= last.number:
            _check_signed(head, last, vouched)
            vouched, head = head.number, next(waiting, None)
        report.records, report.hash = last.number, last.hash
    if head is not None:
        end = heads[-1].number
        message = f"records {last.number + 1} to {end} were cut off: the head {end} was signed"
        raise Broken(Kind.CUT_OFF, last.number + 1, message, last=end)


def _check_signed(head: Head, link: Link, vouched: int) -> None:
    if head.hash != link.hash or head.number != link.number:
        first, at = vouched + 1, head.signed_at.isoformat()
        message = (
            f"the chain was rebuilt: record {head.number} is not the one that was signed at {at}; the first "
            f"that was changed is one of {first} to {head.number}"
        )
        raise Broken(Kind.REBUILT, first, message, last=head.number)


def read_heads(path: Path) -> dict[str, list[Head]]:
    """Read the lines `audit_head_signed` of a log, JSON as the workers write it; other lines are passed over.

    Raises:
        HeadsUnreadable: there is none, or one that is not complete.
        OSError: the file cannot be read.
    """
    found: dict[str, list[Head]] = defaultdict(list)
    with path.open(encoding="utf-8", errors="replace") as lines:
        for number, line in enumerate(lines, 1):
            if signatures.LOG_LINE not in line:
                continue
            try:
                head = _head(json.loads(line))
            except (KeyError, TypeError, ValueError, RecursionError):
                raise HeadsUnreadable(
                    f"Line {number} of {path} is no line {signatures.LOG_LINE} as workers write it (JSON)."
                ) from None
            if head is not None:
                found[head.organization_id].append(head)
    if not found:
        raise HeadsUnreadable(
            f"{path} has no line {signatures.LOG_LINE}. Give the log of all workers, as JSON."
        )
    return found


def _head(line: dict[str, Any]) -> Head | None:
    if line["event"] != signatures.LOG_LINE:
        return None
    texts = {name: str(line[name]) for name in ("organization_id", "hash", "key")}
    signed_at = datetime.fromisoformat(line["signed_at"])
    if signed_at.tzinfo is None:
        raise ValueError("a time without zone")
    return Head(number=int(line["number"]), signed_at=signed_at, signature=str(line["ed25519"]), **texts)


def _sentences(report: Report, *, has_keys: bool) -> Iterator[str]:
    name = report.organization_id
    for one in report.findings:
        yield f"{name}: {one.message}."
    if not report.findings:
        vouched = f"signed up to {report.signed}" if has_keys else f"{report.signatures} signatures unchecked"
        yield f"{name}: {report.records} records hold, {vouched}."


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="beta9-provisioning audit verify")
    parser.add_argument("--organization", metavar="ID")
    parser.add_argument("--public-key", type=Path, action="append", default=[], metavar="FILE")
    parser.add_argument("--heads", type=Path, metavar="FILE")
    parser.add_argument("--output", choices=("table", "json"), default="table")
    return parser.parse_args()


def _run(settings: Settings, given: argparse.Namespace) -> int:
    keys = {fingerprint(key): key for key in map(signatures.read_public_key, given.public_key)}
    kept = {} if given.heads is None else read_heads(given.heads)
    engine = connect(settings.database_url, pool_size=1, statement_seconds=None)
    reports = []
    try:
        check(engine)
        snapshot = engine.execution_options(isolation_level="REPEATABLE READ")
        with Session(snapshot) as session:
            for report in verify(session, organization=given.organization, keys=keys, kept=kept):
                reports.append(report)
                if given.output == "table":
                    print("\n".join(_sentences(report, has_keys=bool(keys))), flush=True)  # noqa: T201
    finally:
        engine.dispose()
    intact = not any(report.findings for report in reports)
    if given.output == "json":
        print(json.dumps({"intact": intact, "chains": [asdict(report) for report in reports]}, indent=2))  # noqa: T201
    if intact and not any(report.records for report in reports):
        print("error: there are no records: the log is empty, or has no such organization.", file=sys.stderr)  # noqa: T201
        return 1
    if not keys:
        print(  # noqa: T201
            "warning: signatures were not checked, so a chain that was rebuilt whole would not be noticed: "
            "give --public-key.",
            file=sys.stderr,
        )
    return 0 if intact else 1


def main(settings: Settings) -> int:
    """Verify as the command line says; for `beta9-provisioning audit verify`."""
    try:
        return _run(settings, _arguments())
    except (DatabaseUnavailable, HeadsUnreadable, KeyUnusable) as error:
        print(f"error: {error}", file=sys.stderr)  # noqa: T201
    except OSError as error:
        print(f"error: {error.filename}: {error.strerror}", file=sys.stderr)  # noqa: T201
    except SQLAlchemyError as error:
        print(f"error: {describe(error)}. Nothing can be said about the log; run it again.", file=sys.stderr)  # noqa: T201
    return 1


if __name__ == "__main__":
    sys.exit(run_or_explain(main))
