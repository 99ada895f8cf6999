"""The store of the simulated cloud: one SQLite file (WAL) that many processes read and write.

Time is part of the data. A row says what is going on with an object (``phase``) and when that ends
(``busy_until``, Unix seconds), so a cluster becomes available, and a deleted one vanishes, by the clock
alone: no process has to stay alive for it.
"""

import json
import sqlite3
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

GLOBAL = "global"
"""The region of objects that belong to an account rather than to one of its regions (IAM)."""

API_URL = "api_url"
"""The setting that holds the endpoint of the running API door."""

_TABLES = """
create table if not exists objects(
  account text, region text, type text, id text, uid text, name text, state text, tags text, creator text,
  origin text, phase text, busy_until real, created_at real, primary key(account, region, type, id));
create index if not exists objects_by_type on objects(type, account, region);
create table if not exists graves(
  account text, region text, type text, id text, uid text, name text, state text, tags text, creator text,
  origin text, phase text, busy_until real, created_at real);
create table if not exists settings(key text primary key, value text);
create table if not exists faults(type text, op text, remaining int, summary text, detail text);
create table if not exists operations(at real, op text, account text, region text, type text, id text);
create table if not exists credentials(access_key text primary key, secret_key text, session_token text,
  arn text, account text, expires_at real, role_arn text);
create table if not exists secrets(arn text primary key, account text, region text, name text, version text,
  value text);
create table if not exists bucket_contents(bucket text primary key, objects int);
"""

_COLUMNS = "account,region,type,id,uid,name,state,tags,creator,origin,phase,busy_until,created_at"


@dataclass(frozen=True)
class StoredObject:
    """One object of the simulated cloud as it was when it was read.

    ``state`` holds the attributes of its Terraform type. ``uid`` differs for a later object of the same id.
    ``status`` is creating, available, updating, deleting or gone; ``busy_until`` is in Unix seconds.
    """

    account: str
    region: str
    type: str
    id: str
    uid: str
    name: str
    state: dict[str, Any]
    tags: dict[str, str]
    creator: str
    origin: str
    status: str
    busy_until: float
    created_at: float


@dataclass(frozen=True)
class NewObject:
    """What a caller says about an object to create.

    ``origin`` is terraform, api or seed; ``aws`` of what AWS's services make by themselves, ``cluster`` of
    what the controllers in a cluster make, ``snapshot`` of what is to outlive an environment.
    """

    account: str
    region: str
    type: str
    id: str
    name: str
    state: dict[str, Any]
    creator: str = ""
    origin: str = "terraform"


@dataclass(frozen=True)
class Fault:
    """The error that an injected fault makes an operation answer with."""

    summary: str
    detail: str


@dataclass(frozen=True)
class Operation:
    """One line of the operation log; ``at`` is in Unix seconds."""

    at: float
    op: str
    account: str
    region: str
    type: str
    id: str


class Store:
    """Opens, and if need be creates, the store at ``path``. Safe to share between threads and processes."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._local = threading.local()
        self._connection().executescript(_TABLES)

    def _connection(self) -> sqlite3.Connection:
        connection: sqlite3.Connection | None = getattr(self._local, "connection", None)
        if connection is None:
            connection = sqlite3.connect(self.path, timeout=30, isolation_level=None)
            connection.execute("pragma journal_mode=wal")
            connection.execute("pragma synchronous=off")
            self._local.connection = connection
        return connection

    def close(self) -> None:
        """Close this thread's connection; the store stays usable and reconnects when needed."""
        connection: sqlite3.Connection | None = getattr(self._local, "connection", None)
        if connection is not None:
            connection.close()
            self._local.connection = None

    def execute(self, sql: str, *parameters: Any) -> list[Any]:
        """Run one statement and return its rows."""
        return self._connection().execute(sql, parameters).fetchall()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Hold the one write lock: what is checked inside is still true when it is written."""
        connection = self._connection()
        connection.execute("begin immediate")
        try:
            yield
        except BaseException:
            connection.execute("rollback")
            raise
        connection.execute("commit")

    # Settings

    def setting(self, key: str, default: str = "") -> str:
        """Return a setting, or the default when it was never set."""
        rows = self.execute("select value from settings where key=?", key)
        return str(rows[0][0]) if rows else default

    def set_setting(self, key: str, value: str) -> None:
        """Set one setting, for example ``time_scale``, ``kube_url`` or ``kube_ca`` (PEM)."""
        self.execute("insert or replace into settings values(?,?)", key, value)

    @property
    def time_scale(self) -> float:
        """The factor on modelled latencies: 1 is as slow as AWS, 0 (the default) does not wait."""
        return float(self.setting("time_scale", "0"))

    def lasting(self, what: str, seconds: float) -> float:
        """How long something lasts that takes ``seconds`` on AWS; the setting ``lasts:<what>`` goes first."""
        told = self.setting(f"lasts:{what}")
        return float(told) if told else seconds * self.time_scale

    # Objects

    def find(
        self,
        type: str | None = None,
        *,
        account: str | None = None,
        region: str | None = None,
        id: str | None = None,
        name: str | None = None,
    ) -> list[StoredObject]:
        """Return the objects that match every given value, oldest first; what is gone is not among them."""
        now = time.time()
        wanted = {"type": type, "account": account, "region": region, "id": id, "name": name}
        clauses = ["not (phase='deleting' and busy_until<=?)"] + [
            f"{column}=?" for column, value in wanted.items() if value is not None
        ]
        values = [value for value in wanted.values() if value is not None]
        rows = self.execute(
            f"select {_COLUMNS} from objects where {' and '.join(clauses)} order by created_at, rowid",  # noqa: S608
            now,
            *values,
        )
        return [_loaded(row, now) for row in rows]

    def gone(
        self, type: str | None = None, *, account: str, region: str, within: float
    ) -> list[StoredObject]:
        """Return the objects that went in the last ``within`` seconds; ``busy_until`` is when."""
        now = time.time()
        where = (
            "phase='deleting' and busy_until between ? and ? and account=? and region=? and ? in ('', type)"
        )
        values = (now - within, now, account, region, type or "")
        rows = [
            row
            for table in ("objects", "graves")
            for row in self.execute(f"select {_COLUMNS} from {table} where {where}", *values)  # noqa: S608
        ]
        return [replace(_loaded(row, now), status="gone") for row in rows]

    def get(self, account: str, region: str, type: str, id: str) -> StoredObject | None:
        """Return one object by its full key, or None."""
        found = self.find(type, account=account, region=region, id=id)
        return found[0] if found else None

    def create(
        self,
        new: NewObject,
        seconds: float = 0.0,
        check: Callable[[], None] | None = None,
        *,
        replace: bool = False,
    ) -> StoredObject:
        """Store an object, at once visible as creating, that becomes available after ``seconds``.

        ``check`` runs in the same transaction and refuses by raising. ``replace`` overwrites an object
        of the same key, as idempotent Put operations do. Raises ``sqlite3.IntegrityError`` when the key
        is taken.
        """
        now = time.time()
        with self.transaction():
            self.execute(
                f"insert into graves select {_COLUMNS} from objects where phase='deleting' and busy_until<=?",  # noqa: S608
                now,
            )
            self.execute("delete from objects where phase='deleting' and busy_until<=?", now)
            if check is not None:
                check()
            if replace:
                self.execute(
                    "delete from objects where account=? and region=? and type=? and id=?",
                    *(new.account, new.region, new.type, new.id),
                )
            self.execute(
                "insert into objects values(?,?,?,?,?,?,?,?,?,?,'creating',?,?)",
                *(
                    new.account,
                    new.region,
                    new.type,
                    new.id,
                    uuid.uuid4().hex,
                    new.name,
                    json.dumps(new.state),
                ),
                *(json.dumps(_tags(new.state)), new.creator, new.origin, now + seconds, now),
            )
            self._log("create", new)
        stored = self.get(new.account, new.region, new.type, new.id)
        assert stored is not None
        return stored

    def update(self, target: StoredObject, state: dict[str, Any], seconds: float = 0.0) -> None:
        """Give an object new attributes; it is ``updating`` for ``seconds``."""
        with self.transaction():
            self.execute(
                "update objects set state=?, tags=?, phase='updating', busy_until=? where uid=?",
                *(json.dumps(state), json.dumps(_tags(state)), time.time() + seconds, target.uid),
            )
            self._log("update", target)

    def edit(self, target: StoredObject, **changes: Any) -> None:
        """Change attributes behind everybody's back, as a person in the cloud's console does (drift)."""
        state = {**target.state, **changes}
        self.execute(
            "update objects set state=?, tags=? where uid=?",
            json.dumps(state),
            json.dumps(_tags(state)),
            target.uid,
        )

    def delete(
        self, target: StoredObject, seconds: float = 0.0, check: Callable[[], None] | None = None
    ) -> None:
        """Start deleting an object, gone after ``seconds``; ``check`` may refuse."""
        with self.transaction():
            if check is not None:
                check()
            self.execute(
                "update objects set phase='deleting', busy_until=? where uid=?",
                time.time() + seconds,
                target.uid,
            )
            self._log("delete", target)

    # Faults and the operation log

    def inject_fault(self, type: str, op: str, summary: str, detail: str = "", *, count: int = 1) -> None:
        """Make the next ``count`` creates, reads, updates or deletes of a type (``*``: any) fail."""
        self.execute("insert into faults values(?,?,?,?,?)", type, op, count, summary, detail)

    def take_fault(self, type: str, op: str) -> Fault | None:
        """Use up one injected fault that applies, if there is one."""
        if not self.execute("select 1 from faults where remaining>0"):
            return None
        with self.transaction():
            rows = self.execute(
                "select rowid,summary,detail from faults "
                "where type in (?,'*') and op=? and remaining>0 limit 1",
                type,
                op,
            )
            if not rows:
                return None
            self.execute("update faults set remaining=remaining-1 where rowid=?", rows[0][0])
        return Fault(rows[0][1], rows[0][2])

    def operations(self) -> list[Operation]:
        """Return everything that was done to objects, oldest first."""
        return [Operation(*row) for row in self.execute("select * from operations order by rowid")]

    def _log(self, op: str, target: NewObject | StoredObject) -> None:
        self.execute(
            "insert into operations values(?,?,?,?,?,?)",
            *(time.time(), op, target.account, target.region, target.type, target.id),
        )


def _loaded(row: tuple[Any, ...], now: float) -> StoredObject:
    account, region, type, id, uid, name, state, tags, creator, origin, phase, busy_until, created_at = row
    return StoredObject(
        *(account, region, type, id, uid, name),
        state=json.loads(state),
        tags=json.loads(tags),
        creator=creator,
        origin=origin,
        status=phase if now < busy_until else "available",
        busy_until=busy_until,
        created_at=created_at,
    )


def _tags(state: dict[str, Any]) -> dict[str, str]:
    """The tags an object carries in the cloud: the provider's default tags are in ``tags_all`` only."""
    return state.get("tags_all") or state.get("tags") or {}
