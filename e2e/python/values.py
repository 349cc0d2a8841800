"""Random Parquet files of every type, encoding and layout that pyarrow can write, and what is right for each of them.

    values.py make DIR SEED FILES FILTERS   writes FILES files and jobs.json: each file once whole, and with FILTERS filters
    values.py check DIR                     compares DIR/N.out, one line `ordinal TAB document` for each row of job N

The documents of a whole file are held against the values that pyarrow was given. A filter's rows are held against an
evaluator of our own over these documents. Neither shares a line of code with Paraflow.
"""

import json
import pickle
import random
import struct
import sys
from decimal import Decimal
from pathlib import Path

import pyarrow
import pyarrow.parquet

DAY = 86_400
NANOS = {"s": 10**9, "ms": 10**6, "us": 10**3, "ns": 1}
ROWS_MAX = 400


def civil(days: int) -> str:
    """A day by counting years from both ends, which is slow and has nothing of the usual formulas."""
    era, rest = divmod(days + 719_528, 146_097)  # since 0000-01-01, in cycles of 400 years
    year = 0
    while rest >= (length := 366 if year % 4 == 0 and (year % 100 != 0 or year == 0) else 365):
        rest, year = rest - length, year + 1
    leap = year % 4 == 0 and (year % 100 != 0 or year == 0)
    month = 0
    for length in [31, 29 if leap else 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31]:
        if rest < length:
            break
        rest, month = rest - length, month + 1
    year += era * 400
    text = f"{year:04}" if 0 <= year <= 9999 else f"{'-' if year < 0 else '+'}{abs(year):04}"
    return f"{text}-{month + 1:02}-{rest + 1:02}"


def moment(nanos: int, zone: bool) -> str:
    days, rest = divmod(nanos, DAY * 10**9)
    seconds, fraction = divmod(rest, 10**9)
    text = f"{civil(days)}T{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}"
    if fraction:
        text += f".{fraction:09}".rstrip("0")
    return text + ("Z" if zone else "")


def clock(nanos: int) -> str:
    seconds, fraction = divmod(abs(nanos), 10**9)
    text = f"{'-' if nanos < 0 else ''}{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}"
    if fraction % 10**6 == 0:
        return text + (f".{fraction // 10**6:03}" if fraction else "")
    return text + (f".{fraction // 1000:06}" if fraction % 1000 == 0 else f".{fraction:09}")


def duration(nanos: int) -> str:
    if nanos == 0:
        return "P0D"
    seconds, fraction = divmod(abs(nanos), 10**9)
    rest = f".{fraction:09}".rstrip("0") if fraction else ""
    return f"{'-' if nanos < 0 else ''}PT{seconds}{rest}S"


def decimal(value: int, scale: int) -> str:
    digits = f"{abs(value):0{scale + 1}}"
    text = digits if scale == 0 else f"{digits[:-scale]}.{digits[-scale:]}"
    return ("-" if value < 0 else "") + text


def binary(value: bytes) -> str:
    try:
        return value.decode()
    except UnicodeDecodeError:
        import base64

        return base64.b64encode(value).decode()


def narrow(form: str, value: float) -> float:
    try:
        return struct.unpack(form, struct.pack(form, value))[0]
    except OverflowError:
        return float("inf") if value > 0 else float("-inf")


class Kind:
    """A type: how values are made, and what they are written as. `shown` gives text, a number's text, True, or None."""

    def __init__(self, name, arrow, value, shown, family, raw=None):
        self.name, self.arrow, self.value, self.shown, self.family = name, arrow, value, shown, family
        # From values to what Arrow takes; moments are given as whole numbers of their unit.
        self.raw = raw

    def array(self, values):
        if self.raw is None:
            return pyarrow.array(values, self.arrow)
        return pyarrow.array(values, self.raw).view(self.arrow)


def whole(bits: int, signed: bool):
    least, most = (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if signed else (0, 2**bits - 1)

    def value(rng):
        near = rng.choice([least, most, 0, 1, -1, least + 1, most - 1, rng.randint(least, most), rng.randint(-9, 9)])
        return min(max(near, least), most)

    return value


def within(least: int, most: int):
    def value(rng):
        near = rng.choice([least, most, 0, -1, rng.randint(least, most), rng.randint(-5, 5), most // 2])
        return min(max(near, least), most)

    return value


def days(rng):
    return rng.choice([-(2**31), 2**31 - 1, 2_932_896, 2_932_897, -719_528, -719_529, 0, 11_016, rng.randint(-(2**31), 2**31 - 1), rng.randint(-9, 20_000)])


def fraction(form: str):
    def value(rng):
        return narrow(
            form,
            rng.choice(
                [0.0, -0.0, 0.1, 1.5, -1e300, 5e-324, 65504.0, 3.4e38, float("nan"), float("inf"), float("-inf"), rng.uniform(-9, 9), rng.randint(-3, 3) * 1.0]
            ),
        )

    return value


def text(rng):
    return rng.choice(["", "a", "b", "ab", "200", "0.1", "true", "null", "é", "\U0001f600", 'q"\\\n\t\x01', "x" * 200, "9999-12-31"]) + rng.choice(["", "", "", str(rng.randint(0, 9))])


def some_bytes(rng):
    return rng.choice([b"", b"\xff", b"\x00\x80\xff", text(rng).encode(), rng.randbytes(rng.randint(0, 5))])


def number(value):
    return Decimal(value)


def kinds() -> list[Kind]:
    all_kinds = [
        Kind("bool", pyarrow.bool_(), lambda rng: rng.random() < 0.5, lambda value: value, "bool"),
        Kind("null", pyarrow.null(), lambda rng: None, lambda value: None, "null"),
    ]
    for bits in (8, 16, 32, 64):
        for signed in (True, False):
            arrow = getattr(pyarrow, f"{'' if signed else 'u'}int{bits}")()
            all_kinds.append(Kind(str(arrow), arrow, whole(bits, signed), number, "number"))
    for form, arrow in (("e", pyarrow.float16()), ("f", pyarrow.float32()), ("d", pyarrow.float64())):
        all_kinds.append(Kind(str(arrow), arrow, fraction(form), lambda value: value, "fraction"))
    for digits, scale, make in ((5, 2, pyarrow.decimal128), (9, 0, pyarrow.decimal128), (18, 18, pyarrow.decimal128), (38, 10, pyarrow.decimal128), (76, 38, pyarrow.decimal256)):
        most = 10**digits - 1

        def exact(value, scale=scale):
            return Decimal((1 if value < 0 else 0, tuple(map(int, str(abs(value)))), -scale))

        kind = Kind(f"decimal({digits},{scale})", make(digits, scale), within(-most, most), lambda value, scale=scale: Decimal(decimal(value, scale)), "number")
        kind.array = lambda values, kind=kind, exact=exact: pyarrow.array([None if value is None else exact(value) for value in values], kind.arrow)
        all_kinds.append(kind)
    for arrow in (pyarrow.string(), pyarrow.large_string(), pyarrow.string_view(), pyarrow.dictionary(pyarrow.int32(), pyarrow.string())):
        kind = Kind(str(arrow), arrow, text, lambda value: value, "text")
        if pyarrow.types.is_dictionary(arrow):
            kind.array = lambda values: pyarrow.array(values, pyarrow.string()).dictionary_encode()
        all_kinds.append(kind)
    for arrow in (pyarrow.binary(), pyarrow.large_binary(), pyarrow.binary_view()):
        all_kinds.append(Kind(str(arrow), arrow, some_bytes, binary, "text"))
    all_kinds.append(Kind("fixed", pyarrow.binary(3), lambda rng: rng.choice([b"abc", b"\xff\x00a", rng.randbytes(3)]), binary, "text"))
    all_kinds.append(Kind("date32", pyarrow.date32(), days, civil, "moment", pyarrow.int32()))
    # Days that fit into 32 bits, which is what a file has of them.
    all_kinds.append(Kind("date64", pyarrow.date64(), lambda rng: days(rng) * DAY * 1000, lambda value: moment(value * 10**6, False), "moment", pyarrow.int64()))
    for unit in NANOS:
        nanos, bits = NANOS[unit], 2**63
        # What has no unit in a file is written in the next smaller one.
        most = (bits - 1) // 1000 if unit == "s" else bits - 1
        least = -most if unit == "s" else -bits
        for zone in (None, "UTC", "Europe/Berlin"):
            all_kinds.append(
                Kind(f"timestamp({unit},{zone})", pyarrow.timestamp(unit, zone), within(least, most), lambda value, nanos=nanos, zone=zone: moment(value * nanos, zone is not None), "moment", pyarrow.int64())
            )
        all_kinds.append(Kind(f"duration({unit})", pyarrow.duration(unit), within(-bits, bits - 1), lambda value, nanos=nanos: duration(value * nanos), "text", pyarrow.int64()))
    for unit, arrow, raw, most in (
        ("s", pyarrow.time32("s"), pyarrow.int32(), 2 * 10**6),
        ("ms", pyarrow.time32("ms"), pyarrow.int32(), 2**31 - 1),
        ("us", pyarrow.time64("us"), pyarrow.int64(), 2**63 - 1),
        ("ns", pyarrow.time64("ns"), pyarrow.int64(), 2**63 - 1),
    ):
        all_kinds.append(Kind(f"time({unit})", arrow, within(-most, most), lambda value, nanos=NANOS[unit]: clock(value * nanos), "time", raw))
    return all_kinds


KINDS = {kind.name: kind for kind in kinds()}


def encoding(rng, kind):
    arrow = kind.arrow
    choices = ["PLAIN"]
    if pyarrow.types.is_integer(arrow) or pyarrow.types.is_temporal(arrow):
        choices += ["DELTA_BINARY_PACKED", "BYTE_STREAM_SPLIT"]
    elif pyarrow.types.is_floating(arrow):
        choices += ["BYTE_STREAM_SPLIT"]
    elif kind.name in ("string", "large_string", "binary", "large_binary"):
        choices += ["DELTA_LENGTH_BYTE_ARRAY", "DELTA_BYTE_ARRAY"]
    elif pyarrow.types.is_boolean(arrow):
        choices += ["RLE"]
    return rng.choice(choices)


def unit_of(name: str) -> int:
    return NANOS[name.split("(")[1].split(",")[0].rstrip(")")] if "(" in name else {"date32": DAY * 10**9, "date64": 10**6}[name]


def literal(rng, kind, values):
    """A literal for a filter: as it is typed, and as the evaluator takes it."""
    known = [value for value in values if value is not None]
    value = rng.choice(known) if known and rng.random() < 0.8 else kind.value(rng)
    if value is None or rng.random() < 0.06:
        return "null", None
    if kind.family == "bool":
        return json.dumps(value), value
    if kind.family in ("number", "fraction"):
        if kind.family == "fraction":
            if value != value or value in (float("inf"), float("-inf")):
                value = 1e300
            exact = Decimal(repr(value))
        else:
            exact = kind.shown(value)
        exact = rng.choice([exact, exact, exact + Decimal("0.5"), exact - 1, exact * Decimal("1.0000000000000000001")])
        typed = f"{exact:f}"
        return typed, Decimal(typed)
    if kind.family == "text":
        shown = kind.shown(value)
        return "'" + shown.replace("'", "''") + "'", shown
    if kind.family == "moment":
        nanos = value * unit_of(kind.name) + rng.choice([0, 0, 1, -1])
        return "'" + moment(nanos, rng.random() < 0.5) + "'", nanos
    nanos = value * unit_of(kind.name)
    return "'" + clock(nanos) + "'", nanos


def make_file(rng, path, names):
    rows = rng.choice([0, 1, 7, ROWS_MAX // 4, ROWS_MAX])
    nulls = rng.choice([0.0, 0.1, 0.6, 1.0])
    columns, arrays, fields = [], [], []
    is_ordered = rng.random() < 0.3
    for place, name in enumerate(names):
        kind = KINDS[name]
        values = [kind.value(rng) for _ in range(rows)]
        if is_ordered and kind.family not in ("null", "bool", "fraction"):
            values.sort()
        nullable = nulls > 0 or name == "null"
        if nullable:
            values = [None if rng.random() < nulls else value for value in values]
        columns.append((f"c{place}", name, values))
        array = kind.array(values)
        arrays.append(array)
        fields.append(pyarrow.field(f"c{place}", array.type, nullable))
    # One level down, of the last column's values: in a list, in a struct, as values and as keys of a map.
    name, values = columns[-1][1], columns[-1][2]
    kind = KINDS[name]
    nested = []
    if rows and name != "null" and not pyarrow.types.is_dictionary(kind.arrow):
        inner = kind.array(values)
        lengths = [rng.choice([0, 1, 1, 2]) for _ in range(rows)]
        offsets, flat = [0], []
        for length in lengths:
            flat += [rng.choice(values) for _ in range(length)]
            offsets.append(len(flat))
        nested.append(("l", "list", [flat[start:end] for start, end in zip(offsets, offsets[1:])]))
        arrays.append(pyarrow.ListArray.from_arrays(pyarrow.array(offsets, pyarrow.int32()), kind.array(flat)))
        fields.append(pyarrow.field("l", arrays[-1].type, True))
        nested.append(("s", "struct", values))
        arrays.append(pyarrow.StructArray.from_arrays([inner], fields=[pyarrow.field("x", inner.type, True)]))
        fields.append(pyarrow.field("s", arrays[-1].type, True))
        if kind.family in ("text", "moment", "time"):
            keys = [kind.value(rng) if value is None else value for value in values]
            nested.append(("m", "map", keys))
            counts = pyarrow.array(range(rows + 1), pyarrow.int32())
            arrays.append(pyarrow.MapArray.from_arrays(counts, kind.array(keys), pyarrow.array(range(rows), pyarrow.int64())))
            fields.append(pyarrow.field("m", arrays[-1].type, True))
    table = pyarrow.Table.from_arrays(arrays, schema=pyarrow.schema(fields))
    has_hints = all(KINDS[name].arrow.id not in (pyarrow.lib.Type_DURATION, pyarrow.lib.Type_DATE64) for name in names)
    options = {
        "row_group_size": rng.choice([1, 20, 150, 100_000]) if rows < 100 else rng.choice([20, 150, 100_000]),
        "compression": rng.choice(["none", "snappy", "gzip", "zstd", "brotli", "lz4"]),
        "data_page_version": rng.choice(["1.0", "2.0"]),
        "data_page_size": rng.choice([1, 300, 1 << 20]),
        "write_batch_size": rng.choice([1, 16, 1024]),
        "write_statistics": rng.random() < 0.8,
        "write_page_index": rng.random() < 0.6,
        "write_page_checksum": rng.random() < 0.3,
        # Without Arrow's own schema, what Parquet has no name for is a number.
        "store_schema": not has_hints or rng.random() < 0.6,
    }
    if any("view" in str(field.type) for field in fields):
        # pyarrow can't cut such columns.
        options |= {"row_group_size": 100_000, "write_batch_size": 100_000}
    has_dictionary = any(pyarrow.types.is_dictionary(field.type) for field in fields)
    if has_dictionary or rng.random() < 0.5:
        options["use_dictionary"] = True
    else:
        options["use_dictionary"] = False
        options["column_encoding"] = {f"c{place}": encoding(rng, KINDS[name]) for place, name in enumerate(names)}
    if all("timestamp(ns" in name or not name.startswith("timestamp") for name in names) and not options.get("column_encoding"):
        options["use_deprecated_int96_timestamps"] = rng.random() < 0.5
    pyarrow.parquet.write_table(table, path, **options)
    return columns, nested, options


def shown(kind, value):
    return None if value is None else kind.shown(value)


def make(folder: Path, seed: int, files: int, filters: int) -> None:
    rng = random.Random(seed)
    names = list(KINDS)
    jobs, truth = [], []
    for file in range(files):
        # Each kind is among the columns of some file, and last in some.
        chosen = [names[(file * 3 + place) % len(names)] for place in range(3)] + [names[file % len(names)]]
        path = folder / f"{file}.parquet"
        columns, nested, options = make_file(rng, path, chosen)
        if options.get("use_deprecated_int96_timestamps"):
            # INT96 has no zone; with Arrow's schema it is known again.
            if not options["store_schema"]:
                options["naive"] = True
        # The parquet crate, which knows no INT96, makes nanoseconds of it, whose years are few.
        is_rewritten = not options.get("use_deprecated_int96_timestamps")
        jobs.append({"file": path.name, "filter": None, "rewritten": is_rewritten})
        truth.append({"columns": columns, "nested": nested, "options": options, "whole": len(jobs) - 1})
        for _ in range(filters):
            terms = []
            for _ in range(rng.choice([1, 1, 2])):
                reachable = [(f"{name}", kind, values) for name, kind, values in columns]
                reachable += [("s.x", columns[-1][1], values) for _, what, values in nested if what == "struct"]
                reachable.append(("missing", "int32", []))
                path_text, kind, values = rng.choice(reachable)
                typed, taken = literal(rng, KINDS[kind], values)
                operator = rng.choice(["=", "!="] if typed == "null" else ["=", "!=", "<", "<=", ">", ">="])
                terms.append((path_text, kind, operator, typed, taken))
            jobs.append({"file": path.name, "filter": " and ".join(f"{path} {operator} {typed}" for path, _, operator, typed, _ in terms), "rewritten": is_rewritten})
            truth.append({"of": truth_index(truth), "terms": terms})
    (folder / "jobs.json").write_text(json.dumps(jobs))
    (folder / "truth.pickle").write_bytes(pickle.dumps(truth))


def truth_index(truth) -> int:
    return max(index for index, entry in enumerate(truth) if "whole" in entry)


def same(written, value, kind) -> bool:
    if value is None:
        return written is None
    if kind.family == "fraction":
        if value != value or value in (float("inf"), float("-inf")):
            return written is None
        form = {"halffloat": "f", "float16": "f", "float": "f", "float32": "f"}.get(kind.name, "d")
        return isinstance(written, Decimal) and narrow(form, float(written)) == value and str(float(written))[0] == str(value)[0]
    return type(written) is type(kind.shown(value)) and written == kind.shown(value)


def naive(kind, options):
    """The kind that a file's column is, where the file says less than the table did."""
    if options.get("naive") and kind.name.startswith("timestamp"):
        return KINDS["timestamp(ns,None)"]
    return kind


def read(path: Path):
    rows = []
    for line in path.read_text().split("\n")[:-1] if path.stat().st_size else []:
        ordinal, document = line.split("\t", 1)
        rows.append((int(ordinal), json.loads(document, parse_int=Decimal, parse_float=Decimal)))
    return rows


def check_whole(rows, entry) -> None:
    count = len(entry["columns"][0][2])
    assert [ordinal for ordinal, _ in rows] == list(range(count)), "rows are missing, or not in order"
    options = entry["options"]
    for ordinal, document in rows:
        for name, kind, values in entry["columns"]:
            assert same(document[name], values[ordinal], naive(KINDS[kind], options)), (ordinal, name, kind, document[name], values[ordinal])
        last = naive(KINDS[entry["columns"][-1][1]], options)
        for name, what, values in entry["nested"]:
            written = document[name]
            if what == "list":
                right = len(written) == len(values[ordinal]) and all(same(one, value, last) for one, value in zip(written, values[ordinal]))
            elif what == "struct":
                right = same(written["x"], values[ordinal], last)
            else:
                right = written == {last.shown(values[ordinal]): Decimal(ordinal)}
            assert right, (ordinal, name, last.name, written, values[ordinal])


def holds(written, raw, kind, operator, typed, taken) -> bool:
    if typed == "null":
        return (written is None) == (operator == "=")
    if written is None:
        return False
    if kind.family in ("moment", "time"):
        left = raw * unit_of(kind.name)
    elif isinstance(written, Decimal) and isinstance(taken, Decimal) or type(written) is type(taken):
        left = written
    else:
        return operator == "!="
    return {"=": left == taken, "!=": left != taken, "<": left < taken, "<=": left <= taken, ">": left > taken, ">=": left >= taken}[operator]


def check_filter(rows, entry, whole, documents) -> None:
    values = {name: values for name, _, values in whole["columns"]}
    values["s.x"] = whole["columns"][-1][2]

    def passes(ordinal, document):
        for path, kind, operator, typed, taken in entry["terms"]:
            written = document.get("s", {}).get("x") if path == "s.x" else document.get(path)
            raw = values[path][ordinal] if path in values else None
            if not holds(written, raw, KINDS[kind], operator, typed, taken):
                return False
        return True

    expected = [ordinal for ordinal, document in documents if passes(ordinal, document)]
    assert [ordinal for ordinal, _ in rows] == expected, ("found", [ordinal for ordinal, _ in rows][:20], "right", expected[:20])
    assert all(document == documents[ordinal][1] for ordinal, document in rows), "a filtered row differs from the whole file's"


def check(folder: Path) -> None:
    jobs = json.loads((folder / "jobs.json").read_text())
    truth = pickle.loads((folder / "truth.pickle").read_bytes())
    wrong, documents = 0, {}
    for number, (job, entry) in enumerate(zip(jobs, truth, strict=True)):
        try:
            rows = read(folder / f"{number}.out")
            if "whole" in entry:
                documents[number] = rows
                check_whole(rows, entry)
            else:
                check_filter(rows, entry, truth[entry["of"]], documents[entry["of"]])
        except (AssertionError, KeyError, ValueError, OSError) as error:
            wrong += 1
            if wrong <= 10:
                whole = entry if "whole" in entry else truth[entry["of"]]
                kinds_of = {name: kind for name, kind, _ in whole["columns"]}
                print(f"job {number} {job}: {error!r}; columns {kinds_of}, {whole['options']}", file=sys.stderr)
    if wrong:
        sys.exit(f"{wrong} of {len(jobs)} are wrong")
    print(json.dumps({"jobs": len(jobs), "rows": sum(len(rows) for rows in documents.values())}))


if __name__ == "__main__":
    if sys.argv[1] == "make":
        make(Path(sys.argv[2]), *map(int, sys.argv[3:6]))
    else:
        check(Path(sys.argv[2]))
