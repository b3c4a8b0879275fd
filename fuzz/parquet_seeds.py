"""Writes the parquet files of fuzz/seeds/parquet with pyarrow: sound ones of every codec, encoding and type, and ones
whose footer or page header says what is not so. Other readers may take all memory for some of them.

    python3 fuzz/parquet_seeds.py      with pyarrow 26, whose files these are
"""

import datetime
import decimal
import pathlib
import random

import pyarrow as pa
import pyarrow.parquet as pq

FOLDER = pathlib.Path(__file__).parent / "seeds" / "parquet"
ROWS = 12


# Thrift's compact protocol, as far as footers and page headers need it: a struct is {field: (type, value)}.

TRUE, FALSE, BYTE, I16, I32, I64, DOUBLE, BINARY, LIST, SET, MAP, STRUCT = range(1, 13)


class Reader:
    def __init__(self, data, at=0):
        self.data, self.at = data, at

    def byte(self):
        self.at += 1
        return self.data[self.at - 1]

    def varint(self):
        value = shift = 0
        while True:
            byte = self.byte()
            value |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return value

    def number(self):
        value = self.varint()
        return (value >> 1) ^ -(value & 1)

    def value(self, kind):
        if kind in (TRUE, FALSE):
            return kind == TRUE
        if kind == BYTE:
            return self.byte()
        if kind in (I16, I32, I64):
            return self.number()
        if kind == DOUBLE:
            self.at += 8
            return self.data[self.at - 8 : self.at]
        if kind == BINARY:
            length = self.varint()
            self.at += length
            return self.data[self.at - length : self.at]
        if kind in (LIST, SET):
            head = self.byte()
            size = head >> 4 if head >> 4 < 15 else self.varint()
            of = head & 15
            if of in (TRUE, FALSE):
                return of, [self.byte() == TRUE for _ in range(size)]
            return of, [self.value(of) for _ in range(size)]
        assert kind == STRUCT, kind
        return self.struct()

    def struct(self):
        fields, last = {}, 0
        while True:
            head = self.byte()
            if head == 0:
                return fields
            last = last + (head >> 4) if head >> 4 else self.number()
            fields[last] = (head & 15, self.value(head & 15))


def varint(value):
    out = bytearray()
    value &= (1 << 64) - 1
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    out.append(value)
    return bytes(out)


def number(value):
    return varint((value << 1) ^ (value >> 63))


def encoded(kind, value):
    if kind in (TRUE, FALSE):
        return b""
    if kind == BYTE:
        return bytes([value])
    if kind in (I16, I32, I64):
        return number(value)
    if kind == DOUBLE:
        return value
    if kind == BINARY:
        return varint(len(value)) + value
    if kind in (LIST, SET):
        of, items = value
        head = bytes([len(items) << 4 | of]) if len(items) < 15 else bytes([240 | of]) + varint(len(items))
        if of in (TRUE, FALSE):
            return head + bytes(TRUE if item else FALSE for item in items)
        return head + b"".join(encoded(of, item) for item in items)
    out, last = b"", 0
    for field, (of, item) in sorted(value.items()):
        of = (TRUE if item else FALSE) if of in (TRUE, FALSE) else of
        step = field - last
        out += (bytes([step << 4 | of]) if 0 < step < 16 else bytes([of]) + number(field)) + encoded(of, item)
        last = field
    return out + b"\0"


# Sound files


def bars(**more):
    """A table with keys and a price, and the columns that are given."""
    day = datetime.datetime(2024, 1, 2)
    columns = {
        "symbol": ["A"] * 6 + ["B"] * 6,
        "ts": pa.array([day + datetime.timedelta(days=i % 6) for i in range(ROWS)], pa.timestamp("us")),
        "close": [None if i == 4 else 10.0 + i / 3 for i in range(ROWS)],
    }
    return pa.table(columns | more)


def write(name, table, **options):
    options = {"compression": "none", "store_schema": False} | options
    pq.write_table(table, FOLDER / f"{name}.parquet", **options)


def sound():
    for codec in ["none", "snappy", "gzip", "zstd", "lz4", "brotli"]:
        write(f"codec_{codec}", bars(), compression=codec)
    write("pages_v2", bars(), compression="zstd", data_page_version="2.0", row_group_size=5, write_page_checksum=True)
    write("page_index", bars(), row_group_size=4, data_page_size=16, write_page_index=True)
    write("plain", bars(), use_dictionary=False)
    write("statistics_off", bars(), write_statistics=False)
    more = {
        "whole": pa.array([i * 1_000_003 for i in range(ROWS)], pa.int64()),
        "text": [f"name {i // 2}" for i in range(ROWS)],
        "other": [f"name {i}" for i in range(ROWS)],
        "flag": [i % 3 == 0 for i in range(ROWS)],
    }
    encodings = {
        "symbol": "DELTA_BYTE_ARRAY", "ts": "DELTA_BINARY_PACKED", "close": "BYTE_STREAM_SPLIT",
        "whole": "DELTA_BINARY_PACKED", "text": "DELTA_BYTE_ARRAY", "other": "DELTA_LENGTH_BYTE_ARRAY", "flag": "RLE",
    }
    write("encodings", bars(**more), use_dictionary=False, column_encoding=encodings, data_page_version="2.0")
    lists = [None if i % 5 == 0 else [i / 2] * (i % 4) for i in range(ROWS)]
    structs = [None if i % 7 == 3 else {"a": i, "b": {"c": str(i)}} for i in range(ROWS)]
    deep = [[{"x": [i, None]}, None] if i % 2 else [] for i in range(ROWS)]
    maps = pa.array([[("k", i)] if i % 3 else None for i in range(ROWS)], pa.map_(pa.string(), pa.int32()))
    write("nested", bars(list=lists, struct=structs, map=maps))
    write("deep", bars(deep=deep), compression="zstd", data_page_version="2.0", store_schema=True)
    types = {
        "decimal": pa.array([decimal.Decimal(i * 10**9).scaleb(-4) for i in range(ROWS)], pa.decimal128(38, 10)),
        "small": pa.array([decimal.Decimal(i) for i in range(ROWS)], pa.decimal128(9, 2)),
        "day": pa.array(range(ROWS), pa.date32()),
        "clock": pa.array(range(ROWS), pa.time64("us")),
        "half": pa.array([float(i) for i in range(ROWS)], pa.float16()),
        "bytes": pa.array([bytes([i, 255]) for i in range(ROWS)], pa.binary()),
        "fixed": pa.array([bytes([i] * 3) for i in range(ROWS)], pa.binary(3)),
        "unsigned": pa.array([2**64 - 1 - i for i in range(ROWS)], pa.uint64()),
        "nothing": pa.nulls(ROWS),
    }
    write("types", bars(**types))
    zoned = pa.array(range(ROWS), pa.timestamp("s", "America/New_York"))
    words = pa.array(["x", "y", None] * 4).dictionary_encode()
    large = pa.array(["long"] * ROWS, pa.large_string())
    span = pa.array(range(ROWS), pa.duration("ms"))
    write("arrow_types", bars(zoned=zoned, words=words, large=large, span=span), store_schema=True)
    write("int96", bars(), use_deprecated_int96_timestamps=True)
    write("sorted", bars(), sorting_columns=[pq.SortingColumn(0), pq.SortingColumn(1)], row_group_size=6)
    write("no_rows", bars().slice(0, 0))
    write("no_columns", pa.table({}))
    write("no_keys", bars().select(["close"]))
    write("whole_times", pa.table({"symbol": [1, 2], "ts": [20240102, -(2**62)], "close": ["x", "1e999"]}))
    far = pa.array([2**62, -(2**62), None] * 4, pa.timestamp("us"))
    write("far_times", bars().set_column(1, "ts", far))


# Files that say what is not so


def patched(base, change):
    """The bytes of a file whose footer a function changed."""
    data = (FOLDER / f"{base}.parquet").read_bytes()
    length = int.from_bytes(data[-8:-4], "little")
    footer = Reader(data[-8 - length : -8]).struct()
    change(footer)
    return with_footer(data[: -8 - length], encoded(STRUCT, footer))


def with_footer(pages, footer):
    return pages + footer + len(footer).to_bytes(4, "little") + b"PAR1"


def setter(path, value):
    """A change that sets one number or name; a path leads through fields and, in lists, through positions."""

    def change(footer):
        at = footer
        for step in path[:-1]:
            at = at[step][1] if isinstance(at, dict) else at[1][step]
        last = path[-1]
        if isinstance(at, dict):
            kind = BINARY if isinstance(value, bytes) else at.get(last, (I64,))[0]
            at[last] = (kind, value)
        else:
            at[1][last] = value

    return change


def page_patched(base, change):
    """The bytes of a file in which a function changed the header of the last column's first page."""
    data = (FOLDER / f"{base}.parquet").read_bytes()
    length = int.from_bytes(data[-8:-4], "little")
    pages, footer = data[: -8 - length], Reader(data[-8 - length : -8]).struct()
    column = footer[4][1][1][-1][1][1][1][-1][3][1]  # The last row group, its last column, what is said of it.
    at = column[9][1]
    reader = Reader(pages, at)
    header = reader.struct()
    change(header)
    new = encoded(STRUCT, header)
    column[7] = (I64, column[7][1] + len(new) - (reader.at - at))
    return with_footer(pages[:at] + new + pages[reader.at :], encoded(STRUCT, footer))


def unsound():
    files = {}
    group, column = [4, 0], [4, 0, 1, 2, 3]  # The first row group; what is said of its third column, the close.
    footers = {
        "rows_negative": ([3], -1),
        "rows_many": ([3], 2**60),
        "group_rows_negative": ([*group, 3], -5),
        "group_rows_many": ([*group, 3], 2**40),
        "values_negative": ([*column, 5], -1),
        "values_many": ([*column, 5], 2**40),
        "bytes_negative": ([*column, 7], -1),
        "bytes_many": ([*column, 7], 2**40),
        "page_negative": ([*column, 9], -8),
        "page_far": ([*column, 9], 2**50),
        "page_in_footer": ([*column, 9], 700),
        "dictionary_behind": ([*column, 11], 2**31),
        "codec_unknown": ([*column, 4], 99),
        "codec_other": ([*column, 4], 6),
        "type_other": ([*column, 1], 1),
        "path_other": ([*column, 3], (BINARY, [b"a", b"b"])),
        "children_many": ([2, 0, 5], 2**31 - 1),
        "children_negative": ([2, 0, 5], -3),
        "name_no_text": ([2, 1, 4], b"\xff\xfe"),
        "name_twice": ([2, 3, 4], b"ts"),
        "repeated": ([2, 3, 3], 2),
        "required": ([2, 3, 3], 0),
        "statistics_short": ([*column, 12, 5], b"\x01"),
        "version": ([1], -(2**31)),
    }
    for name, (path, value) in footers.items():
        files[f"footer_{name}"] = patched("codec_snappy", setter(path, value))
    pages = {
        "plain_many": ([2], 2**31 - 1),
        "plain_negative": ([2], -1),
        "packed_many": ([3], 2**31 - 1),
        "packed_negative": ([3], -1),
        "values_many": ([5, 1], 2**31 - 1),
        "values_negative": ([5, 1], -7),
        "encoding_unknown": ([5, 2], 77),
        "kind_unknown": ([1], 9),
    }
    for name, (path, value) in pages.items():
        files[f"page_{name}"] = page_patched("codec_snappy", setter(path, value))
    for field in [4, 5, 6]:  # Lengths of levels.
        files[f"page_v2_levels_{field}"] = page_patched("pages_v2", setter([8, field], 2**30 + field))
    pair = lambda text: {1: (BINARY, b"ARROW:schema"), 2: (BINARY, text)}
    schema = lambda text: lambda footer: footer.update({5: (LIST, (STRUCT, [pair(text)]))})
    files["arrow_schema_garbage"] = patched("codec_snappy", schema(b"/////" + b"A" * 91))
    files["arrow_schema_no_base64"] = patched("codec_snappy", schema(b"\x00\xff"))
    whole = (FOLDER / "codec_snappy.parquet").read_bytes()
    length = int.from_bytes(whole[-8:-4], "little")
    pages, footer = whole[: -8 - length], whole[-8 - length : -8]
    files["length_1gb"] = pages + footer + (1 << 30).to_bytes(4, "little") + b"PAR1"
    files["length_most"] = pages + footer + b"\xff\xff\xff\xffPAR1"
    files["length_none"] = pages + footer + b"\0\0\0\0PAR1"
    files["encrypted"] = whole[:-4] + b"PARE"
    files["marks_only"] = b"PAR1PAR1"
    files["empty"] = b""
    files["no_end"] = whole[: len(whole) * 2 // 3]
    files["no_pages"] = with_footer(b"PAR1", footer)
    files["thrift_deep"] = with_footer(b"PAR1", b"\x1c" * 3000)
    files["thrift_long_list"] = with_footer(b"PAR1", b"\x15\x04\x19\xfc\xff\xff\xff\xff\x07")
    files["thrift_zeros"] = with_footer(b"PAR1", bytes(64))
    chance = random.Random(1)
    for base in ["encodings", "nested", "pages_v2"]:
        data = bytearray((FOLDER / f"{base}.parquet").read_bytes())
        for _ in range(6):
            data[chance.randrange(len(data) - 8)] ^= 1 << chance.randrange(8)
        files[f"flipped_{base}"] = bytes(data)
    for name, data in files.items():
        (FOLDER / f"{name}.parquet").write_bytes(data)


FOLDER.mkdir(parents=True, exist_ok=True)
for file in FOLDER.iterdir():
    file.unlink()
sound()
unsound()
