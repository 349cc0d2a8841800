"""The independent reader that tests compare with: DuckDB and pyarrow, which share no line of code with Paraflow.

    oracle.py query SQL FILE...    asks DuckDB over the files, as the table `records`; answers with one JSON object a row
    oracle.py lines IN OUT         a JSON array (IN) as newline-delimited JSON (OUT), by Python's own json module
    oracle.py columns IN OUT       a CSV file (IN) as Parquet (OUT), by pyarrow

Answers go to standard output, everything else to standard error, and the exit code is 1 when something is wrong.
"""

import json
import sys
from pathlib import Path

import duckdb
import pyarrow.csv
import pyarrow.parquet

# No record of a test is larger.
RECORD_BYTES_MAX = 64 * 1024 * 1024
# So that also a small file has several row groups, and there is something to prune and to split.
ROW_GROUP_ROWS = 10_000


def query(sql: str, files: list[str]) -> None:
    """Prints the answer to `sql` over the files, which are all Parquet or all newline-delimited JSON."""
    connection = duckdb.connect()
    # What has a zone is told in UTC, as Paraflow does.
    connection.execute("SET TimeZone = 'UTC'")
    kinds = {"parquet" if name.endswith(".parquet") else "json" for name in files}
    if len(kinds) != 1:
        raise ValueError(f"the files must be of one kind, not {sorted(kinds)}")
    # Arguments of table functions can't be prepared in a view: quote them.
    quoted = ", ".join("'" + name.replace("'", "''") + "'" for name in files)
    if kinds == {"parquet"}:
        source = f"read_parquet([{quoted}], union_by_name = true)"
    else:
        source = (
            f"read_json([{quoted}], format = 'newline_delimited', sample_size = -1, union_by_name = true,"
            f" maximum_object_size = {RECORD_BYTES_MAX}, convert_strings_to_integers = false)"
        )
    connection.execute(f"CREATE VIEW records AS SELECT * FROM {source}")
    cursor = connection.execute(sql)
    names = [column[0] for column in cursor.description]
    for row in cursor.fetchall():
        print(json.dumps(dict(zip(names, row)), ensure_ascii=False, default=str))


def lines(source: Path, target: Path) -> None:
    """Writes each element of a JSON array as a line."""
    elements = json.loads(source.read_text(encoding="utf-8"))
    if not isinstance(elements, list):
        raise ValueError(f"{source} must hold a JSON array, not a {type(elements).__name__}")
    with target.open("w", encoding="utf-8", newline="\n") as out:
        for element in elements:
            out.write(json.dumps(element, ensure_ascii=False) + "\n")


def columns(source: Path, target: Path) -> None:
    """Writes a CSV file as Parquet, with pyarrow's own idea of its types."""
    table = pyarrow.csv.read_csv(source)
    pyarrow.parquet.write_table(table, target, row_group_size=ROW_GROUP_ROWS, compression="zstd")


def main(arguments: list[str]) -> int:
    """Does what the arguments say; the exit code."""
    match arguments:
        case ["query", sql, *files] if files:
            query(sql, files)
        case ["lines", source, target]:
            lines(Path(source), Path(target))
        case ["columns", source, target]:
            columns(Path(source), Path(target))
        case _:
            print(__doc__, file=sys.stderr)
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
