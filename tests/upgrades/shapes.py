"""What a schema offers and demands, in PostgreSQL's own words, and what another one takes from programs."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from sqlalchemy import Connection, text

_OURS = "relnamespace = 'public'::regnamespace AND relname <> 'alembic_version'"
_COLUMNS = f"""
    SELECT relname, attname, format_type(atttypid, atttypmod), attnotnull, pg_get_expr(adbin, adrelid)
    FROM pg_attribute JOIN pg_class ON pg_class.oid = attrelid
    LEFT JOIN pg_attrdef ON adrelid = attrelid AND adnum = attnum
    WHERE relkind = 'r' AND attnum > 0 AND NOT attisdropped AND {_OURS}
"""
# Indexes that belong to constraints are told with these; whether a column may be null, with the columns.
_RULES = f"""
    SELECT relname, conname, pg_get_constraintdef(pg_constraint.oid), true, ARRAY(
        SELECT attname::text FROM pg_attribute WHERE attrelid = conrelid AND attnum = ANY (conkey)
    )
    FROM pg_constraint JOIN pg_class ON pg_class.oid = conrelid WHERE contype <> 'n' AND {_OURS}
    UNION ALL
    SELECT relname, indexrelid::regclass::text, pg_get_indexdef(indexrelid), indisunique, ARRAY(
        SELECT attname::text FROM pg_attribute WHERE attrelid = indrelid AND attnum = ANY (indkey)
    )
    FROM pg_index JOIN pg_class ON pg_class.oid = indrelid
    WHERE NOT EXISTS (SELECT FROM pg_constraint WHERE conindid = indexrelid) AND {_OURS}
"""


class Column(NamedTuple):
    """A column of a table."""

    type: str
    is_required: bool
    default: str | None


class Rule(NamedTuple):
    """A constraint or an index; an index that is not unique refuses nothing."""

    definition: str
    refuses: bool
    columns: tuple[str, ...]


@dataclass(frozen=True)
class Shape:
    """The tables of a database, each with its columns and rules by name."""

    columns: Mapping[str, Mapping[str, Column]]
    rules: Mapping[str, Mapping[str, Rule]]

    @classmethod
    def of(cls, connection: Connection) -> "Shape":
        """Read that of a database."""
        columns: dict[str, dict[str, Column]] = {}
        rules: dict[str, dict[str, Rule]] = {}
        for table, name, type_, is_required, default in connection.execute(text(_COLUMNS)):
            columns.setdefault(table, {})[name] = Column(type_, is_required, default)
        for table, name, definition, refuses, named in connection.execute(text(_RULES)):
            rules.setdefault(table, {})[name] = Rule(definition, refuses, tuple(sorted(named)))
        return cls(columns, rules)


def contractions(before: Shape, after: Shape) -> list[str]:
    """Return what programs that were written for one schema would miss, or be refused, in another."""
    found = []
    for table, columns in before.columns.items():
        if table not in after.columns:
            found.append(f"table {table} is gone")
            continue
        found += _changed(f"column {table}", columns, after.columns[table])
        found += _changed(f"rule {table}", before.rules.get(table, {}), after.rules.get(table, {}))
        found += [
            f"column {table}.{name} is new and must be given"
            for name, column in after.columns[table].items() - columns.items()
            if name not in columns and column.is_required and column.default is None
        ]
        found += [
            f"rule {table}.{name} is new and may refuse: {rule.definition}"
            for name, rule in after.rules.get(table, {}).items()
            if name not in before.rules.get(table, {}) and rule.refuses and columns.keys() & rule.columns
        ]
    return found


def _changed(what: str, before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
    gone = [f"{what}.{name} is gone" for name in before.keys() - after.keys()]
    return gone + [
        f"{what}.{name} is {after[name]} and was {known}"
        for name, known in before.items()
        if name in after and after[name] != known
    ]
