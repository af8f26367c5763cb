//! What tables there are, with their columns and all else that the catalogue says of them.
//!
//! A partition is no table of its own: what it has is its partitioned table's. What a user's type is made of is part of its
//! columns: a row of fields is sent field by field, without their names.

use sqlx::Row;
use sqlx::postgres::PgConnection;

use crate::engine::schema::{Nullability, Numbering, Origin, Unnamed, tables_of};
use crate::engine::{Catalogue, Column, Table};

/// Columns that the primary key's index includes besides are no part of the key; their places count from zero, after those
/// that are. What an amount of money is worth hangs on the database's locale, whose encoding is written in several ways.
const QUERY: &str = "WITH RECURSIVE used AS MATERIALIZED (SELECT DISTINCT a.atttypid AS type FROM pg_attribute a \
            JOIN pg_class c ON c.oid = a.attrelid WHERE c.relkind IN ('r', 'p') \
              AND c.relnamespace = quote_ident(current_schema())::regnamespace AND a.attnum > 0), \
        made (root, type, place) AS (SELECT t.oid, t.oid, '' COLLATE \"C\" FROM used JOIN pg_type t ON t.oid = used.type \
            WHERE t.typnamespace <> 'pg_catalog'::regnamespace \
          UNION ALL SELECT made.root, part.type, (made.place || part.place) COLLATE \"C\" FROM made JOIN pg_type t ON t.oid = made.type \
          CROSS JOIN LATERAL ( \
            SELECT t.typelem, ' of ' || format_type(t.typelem, NULL) WHERE t.typelem <> 0 AND t.typcategory = 'A' \
            UNION ALL SELECT t.typbasetype, ' is ' || format_type(t.typbasetype, t.typtypmod) WHERE t.typtype = 'd' \
            UNION ALL SELECT a.atttypid, format(' (%s %s %s', lpad(row_number() OVER (ORDER BY a.attnum)::text, 4, '0'), \
                quote_ident(a.attname), format_type(a.atttypid, a.atttypmod)) \
              FROM pg_attribute a WHERE t.typtype = 'c' AND a.attrelid = t.typrelid AND a.attnum > 0 AND NOT a.attisdropped \
            UNION ALL SELECT r.rngsubtype, ' from ' || format_type(r.rngsubtype, NULL) FROM pg_range r \
              WHERE t.oid IN (r.rngtypid, r.rngmultitypid)) AS part (type, place)), \
        users (type, definition) AS (SELECT root, string_agg(place, ';' ORDER BY place) FROM made \
          WHERE place <> '' GROUP BY root) \
     SELECT c.relname::text, a.attname::text, format_type(a.atttypid, a.atttypmod), a.attnotnull, \
            CASE WHEN array_position(i.indkey::int2[], a.attnum) < i.indnkeyatts THEN array_position(i.indkey::int2[], a.attnum) END, \
            a.attidentity <> '' OR coalesce(pg_get_expr(d.adbin, d.adrelid) LIKE 'nextval(%', false), \
            a.attgenerated <> '', a.atthasdef, \
            CASE WHEN a.atttypid IN ('money'::regtype, 'money[]'::regtype) THEN lower(replace(current_setting('lc_monetary'), '-', '')) \
              WHEN a.attgenerated <> '' THEN pg_get_expr(d.adbin, d.adrelid) ELSE users.definition END, \
            CASE WHEN NOT o.collisdeterministic THEN format('%I (not deterministic, %s)', o.collname, \
              coalesce(to_jsonb(o) ->> 'colllocale', to_jsonb(o) ->> 'colliculocale', o.collcollate::text)) END, \
            first_in.name \
     FROM pg_class c \
     JOIN pg_namespace n ON n.oid = c.relnamespace \
     JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped \
     LEFT JOIN pg_index i ON i.indrelid = c.oid AND i.indisprimary \
     LEFT JOIN users ON users.type = a.atttypid \
     LEFT JOIN pg_collation o ON o.oid = a.attcollation AND NOT o.collisdeterministic \
     LEFT JOIN (SELECT x.indrelid, x.indkey[0] AS attnum, min(n.relname)::text AS name FROM pg_index x \
          JOIN pg_class n ON n.oid = x.indexrelid JOIN pg_am m ON m.oid = n.relam AND m.amname = 'btree' \
          WHERE x.indisvalid AND x.indpred IS NULL GROUP BY x.indrelid, x.indkey[0]) first_in \
       ON first_in.indrelid = c.oid AND first_in.attnum = a.attnum \
     LEFT JOIN pg_attrdef d ON d.adrelid = c.oid AND d.adnum = a.attnum \
     WHERE c.relkind IN ('r', 'p') AND NOT c.relispartition AND n.nspname = current_schema() \
       AND c.relname NOT LIKE 'mdb\\_%' \
     ORDER BY c.relname, a.attnum";

pub(super) const CATALOGUE: Catalogue = Catalogue {
    // One by bytes may have rows that its column takes for the same.
    unique: "SELECT c.relname::text, x.relname::text, \
          CASE WHEN i.indcollation[(k.n - 1)::integer] = a.attcollation \
            OR coalesce((SELECT s.collisdeterministic FROM pg_collation s WHERE s.oid = a.attcollation), true) \
            THEN a.attname::text END \
        FROM pg_index i JOIN pg_class c ON c.oid = i.indrelid JOIN pg_class x ON x.oid = i.indexrelid \
        CROSS JOIN LATERAL unnest(i.indkey::int2[]) WITH ORDINALITY AS k (place, n) \
        LEFT JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = k.place \
        WHERE c.relnamespace = quote_ident(current_schema())::regnamespace AND i.indisunique AND i.indisvalid \
          AND i.indpred IS NULL AND k.n <= i.indnkeyatts \
        ORDER BY 1, 2, k.n",
    foreign_keys: "WITH concerned AS (SELECT conrelid AS oid FROM pg_constraint WHERE contype = 'f' \
          UNION SELECT confrelid FROM pg_constraint WHERE contype = 'f'), \
        named AS (SELECT c.oid, coalesce(pg_partition_root(c.oid)::oid, c.oid) AS root FROM concerned c), \
        placed AS (SELECT named.oid, CASE WHEN c.relnamespace = quote_ident(current_schema())::regnamespace THEN c.relname::text \
            ELSE n.nspname || '.' || c.relname END AS name, c.relnamespace = quote_ident(current_schema())::regnamespace AS is_here \
          FROM named JOIN pg_class c ON c.oid = named.root JOIN pg_namespace n ON n.oid = c.relnamespace) \
        SELECT child.name, f.oid::text, f.conname::text, parent.name, own.attname::text, referred.attname::text, \
          CASE WHEN f.confdeltype IN ('c', 'n', 'd') THEN 'FOLLOW' ELSE 'NO ACTION' END, \
          CASE WHEN f.confupdtype IN ('c', 'n', 'd') THEN 'FOLLOW' ELSE 'NO ACTION' END, \
          CASE WHEN f.condeferrable AND f.confdeltype <> 'r' THEN 'DEFERRABLE' ELSE 'AT ONCE' END \
        FROM pg_constraint f JOIN placed child ON child.oid = f.conrelid JOIN placed parent ON parent.oid = f.confrelid \
        CROSS JOIN LATERAL unnest(f.conkey, f.confkey) WITH ORDINALITY AS k (own, referred, n) \
        JOIN pg_attribute own ON own.attrelid = f.conrelid AND own.attnum = k.own \
        JOIN pg_attribute referred ON referred.attrelid = f.confrelid AND referred.attnum = k.referred \
        WHERE f.contype = 'f' AND f.conparentid = 0 AND (child.is_here OR parent.is_here) \
        ORDER BY 1, 2, k.n",
    from_elsewhere: None,
    // Those for TRUNCATE alone are none that a mover fires; replicas' own ones fire for replication only.
    triggers: "SELECT r.relname::text, t.tgname::text, pg_get_triggerdef(t.oid) || ' ' || p.prosrc \
        FROM pg_trigger t JOIN pg_proc p ON p.oid = t.tgfoid \
        JOIN pg_class r ON r.oid = coalesce(pg_partition_root(t.tgrelid)::oid, t.tgrelid) \
        WHERE NOT t.tgisinternal AND t.tgparentid = 0 AND t.tgenabled IN ('O', 'A') AND t.tgtype & 28 <> 0 \
          AND t.tgname NOT IN ('mdb_capture', 'mdb_capture_truncate') \
          AND r.relnamespace = quote_ident(current_schema())::regnamespace ORDER BY 1, 2",
    obstacles: "WITH RECURSIVE numbers (type) AS (SELECT 'oid'::regtype::oid UNION \
          SELECT t.oid FROM pg_type t JOIN numbers ON t.typtype = 'd' AND t.typbasetype = numbers.type), \
        columns AS MATERIALIZED (SELECT a.attrelid AS relation, a.attname::text AS name, a.atttypid AS type \
            FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid \
            WHERE c.relnamespace = quote_ident(current_schema())::regnamespace AND c.relkind IN ('r', 'p') AND NOT c.relispartition \
              AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = ''), \
        used AS MATERIALIZED (SELECT DISTINCT type FROM columns), \
        sent (root, type) AS (SELECT type, type FROM used \
          UNION SELECT sent.root, part.type FROM sent JOIN pg_type t ON t.oid = sent.type \
          CROSS JOIN LATERAL (SELECT t.typelem WHERE t.typelem <> 0 AND t.typcategory = 'A' \
            UNION ALL SELECT t.typbasetype WHERE t.typtype = 'd' \
            UNION ALL SELECT a.atttypid FROM pg_attribute a \
              WHERE t.typtype = 'c' AND a.attrelid = t.typrelid AND a.attnum > 0 AND NOT a.attisdropped \
            UNION ALL SELECT r.rngsubtype FROM pg_range r WHERE t.oid IN (r.rngtypid, r.rngmultitypid)) AS part (type)), \
        found (relation, kind, detail) AS ( \
          SELECT c.oid, 'row security', NULL FROM pg_class c WHERE c.relrowsecurity AND row_security_active(c.oid) \
          UNION ALL SELECT c.oid, 'inherited', NULL FROM pg_class c WHERE c.relkind = 'r' \
            AND EXISTS (SELECT FROM pg_inherits h WHERE h.inhparent = c.oid) \
          UNION ALL SELECT w.ev_class, 'rule', w.rulename::text FROM pg_rewrite w \
            WHERE w.ev_type <> '1' AND w.ev_enabled IN ('O', 'A') \
          UNION ALL SELECT c.oid, 'no identity', p.pubname::text FROM pg_class c JOIN pg_publication p ON p.pubdelete \
            WHERE c.relreplident = 'n' AND c.relnamespace = quote_ident(current_schema())::regnamespace \
              AND EXISTS (SELECT FROM pg_publication_tables t WHERE t.pubname = p.pubname \
                AND t.schemaname = current_schema() AND t.tablename = c.relname) \
          UNION ALL SELECT c.oid, 'not owned', pg_get_userbyid(c.relowner)::text FROM pg_class c \
            WHERE c.relnamespace = quote_ident(current_schema())::regnamespace AND NOT pg_has_role(c.relowner, 'USAGE') \
          UNION ALL SELECT columns.relation, 'no binary form', columns.name FROM columns WHERE columns.type IN ( \
            SELECT sent.root FROM sent JOIN pg_type t ON t.oid = sent.type WHERE t.typsend = 0 OR t.typreceive = 0) \
          UNION ALL SELECT DISTINCT coalesce(pg_partition_root(c.oid)::oid, c.oid), 'unlogged', NULL FROM pg_class c \
            WHERE c.relpersistence = 'u' AND c.relkind = 'r' \
          UNION ALL SELECT a.attrelid, 'large objects', a.attname::text FROM pg_attribute a \
            WHERE a.attnum > 0 AND NOT a.attisdropped AND a.atttypid IN (SELECT type FROM numbers)) \
        SELECT c.relname::text, found.kind, found.detail FROM found JOIN pg_class c ON c.oid = found.relation \
        WHERE c.relnamespace = quote_ident(current_schema())::regnamespace AND c.relkind IN ('r', 'p') AND NOT c.relispartition \
        ORDER BY 1, 2, 3",
    // Whether commits wait is up to a session, but not whether the server forces anything to the disk.
    unforced: "SELECT 'fsync', 'off', 'ALTER SYSTEM SET fsync = on' WHERE current_setting('fsync') = 'off'",
    several_writers: None,
    peculiar: &[(
        "tsquery",
        "a tsquery: an empty one, of stop words only, stops the move, for PostgreSQL can't read it in the binary form that rows \
         move in; have such columns hold NULL instead",
    )],
    encoding: Some("SELECT current_setting('server_encoding')"),
};

pub(super) async fn tables(connection: &mut PgConnection) -> Result<Vec<Table>, sqlx::Error> {
    let rows = sqlx::query(QUERY)
        .persistent(false)
        .fetch_all(connection)
        .await?;
    tables_of(rows.iter().map(|row| {
        let name: String = row.try_get(0)?;
        // `int2vector` counts from 0, unlike other arrays.
        let key: Option<i32> = row.try_get(4)?;
        let column = Column {
            name: row.try_get(1)?,
            data_type: row.try_get(2)?,
            nullability: if row.try_get::<bool, _>(3)? {
                Nullability::NotNull
            } else {
                Nullability::Nullable
            },
            key_position: key.and_then(|place| u32::try_from(place + 1).ok()),
            numbering: if row.try_get::<bool, _>(5)? {
                Numbering::ByServer
            } else {
                Numbering::None
            },
            origin: if row.try_get::<bool, _>(6)? {
                Origin::Generated
            } else {
                Origin::Written
            },
            unnamed: if row.try_get::<bool, _>(7)? {
                Unnamed::Default
            } else {
                Unnamed::Null
            },
            first_in: row.try_get(10)?,
            stored_as: row.try_get(8)?,
            collation: row.try_get(9)?,
        };
        Ok((name, column))
    }))
}
