"""What a parquet writer can choose from, and what each choice costs.

Each variant is written, read whole and read for one symbol in turn, several rounds. Everything happens
in this process on one thread, so that the figures are those of the work and not of starting a program.
"""

import os
import shutil
import subprocess
import time
from glob import glob

os.environ["POLARS_MAX_THREADS"] = "1"  # read by polars when it is imported

import duckdb
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from datafusion import SessionConfig, SessionContext

from compare import WARM_UP, say
from tools import HERE, WINDROW

ROW_GROUP = 128 * 1024  # as in src/target/groups.rs
PAGE = 20_000  # rows; the default of the parquet crate, and of pyarrow
ROWS = 8 * ROW_GROUP
TRIED = 16_384  # rows by which the encoding of a column is chosen

ENCODINGS = ["dictionary", "plain", "split"]
PAGES = [PAGE, ROW_GROUP]
CODECS = {"none": None, "lz4": None, "snappy": None, "zstd:1": 1, "zstd:3": 3}
# encoding, codec, rows of a page
VARIANTS = [
    *((encoding, codec, PAGE) for encoding in ENCODINGS for codec in CODECS),
    *(("split", "zstd:1", rows) for rows in [ROW_GROUP // 2, ROW_GROUP]),
    *(("by column", codec, PAGE) for codec in ["lz4", "zstd:1", "zstd:3"]),
    ("by column", "zstd:1", ROW_GROUP),
]


def split(kind):
    """The encoding that windrow has for a type in src/target/part.rs; none is its dictionary."""
    if pa.types.is_floating(kind):
        return "BYTE_STREAM_SPLIT"
    whole = [pa.types.is_timestamp, pa.types.is_date32, pa.types.is_int64, pa.types.is_int32]
    return "DELTA_BINARY_PACKED" if any(is_one(kind) for is_one in whole) else None


def write(rows, path, encoding, codec, page):
    """Writes one variant; `encoding` is one for all columns, or one for each by its name."""
    dictionaries, others = [], {}
    for field in rows.schema:
        wanted = encoding if isinstance(encoding, str) else encoding[field.name]
        other = split(field.type) if wanted == "split" else None
        if other:
            others[field.name] = other
        elif wanted != "plain" or pa.types.is_string(field.type):
            dictionaries.append(field.name)
    pq.write_table(
        rows,
        path,
        row_group_size=ROW_GROUP,
        max_rows_per_page=page,
        data_page_size=2 * ROW_GROUP * 8,  # the rows decide
        use_dictionary=dictionaries,
        column_encoding=others or None,
        compression=codec.split(":")[0],  # pyarrow's lz4 is the format's LZ4_RAW
        compression_level=CODECS[codec],
        write_page_index=True,
    )


def column_sizes(path):
    """The bytes of each column."""
    metadata = pq.read_metadata(path)
    sizes = dict.fromkeys(metadata.schema.names, 0)
    for group in map(metadata.row_group, range(metadata.num_row_groups)):
        for column in map(group.column, range(group.num_columns)):
            sizes[column.path_in_schema] += column.total_compressed_size
    return sizes


def sizes_by_encoding(rows, folder, page):
    """For each column its bytes in each encoding."""
    found = {name: {} for name in rows.column_names}
    for encoding in ENCODINGS:
        path = f"{folder}/tried.parquet"
        write(rows, path, encoding, "zstd:1", page)
        for name, size in column_sizes(path).items():
            found[name][encoding] = size
    return found


def chosen(rows, folder):
    """The encoding by which the first rows of each column are smallest."""
    sizes = sizes_by_encoding(rows.slice(0, TRIED), folder, PAGE)
    return {name: min(ENCODINGS, key=each.get) for name, each in sizes.items()}


def sums(rows):
    """A query in which every value of every column has to be decoded."""
    of = {field.name: "sum" if pa.types.is_floating(field.type) else "max" for field in rows.schema}
    return ", ".join(f'{function}("{name}")' for name, function in of.items())


# Kept open, since a symbol is read in less time than it takes to open; every read is of the file.
DUCKDB = duckdb.connect(config={"threads": 1, "enable_external_file_cache": False})


def read_duckdb(path, what, symbol):
    where = f"WHERE symbol = '{symbol}'" if symbol else ""
    DUCKDB.execute(f"SELECT {what} FROM '{path}' {where}").fetchall()


def read_datafusion(path, what, symbol):
    where = f"WHERE symbol = '{symbol}'" if symbol else ""
    config = SessionConfig().with_target_partitions(1).set("datafusion.execution.parquet.pushdown_filters", "true")
    context = SessionContext(config)
    context.register_parquet("features", path)
    context.sql(f"SELECT {what} FROM features {where}").collect()


def read_polars(path, what, symbol):
    rows = pl.scan_parquet(path)
    if symbol:
        rows = rows.filter(pl.col("symbol") == symbol)
    rows.select(pl.col(pl.Float64).sum(), pl.exclude(pl.Float64).max()).collect()


pa.set_cpu_count(1)
pa.set_io_thread_count(1)
READERS = {"DuckDB": read_duckdb, "polars": read_polars, "DataFusion": read_datafusion}


def cost(work, *arguments):
    seconds, cpu = time.perf_counter(), time.process_time()
    work(*arguments)
    return {"seconds": time.perf_counter() - seconds, "cpu": time.process_time() - cpu}


def features(query, bars, folder):
    """What windrow writes for a set, its first rows in the order of its keys, and its bytes for each row."""
    out = folder / "features"
    shutil.rmtree(out, ignore_errors=True)
    subprocess.run([WINDROW, "run", HERE / f"{query}.sql", "--source", f"bars={bars}", "--to", out], check=True)
    files = glob(f"{out}/*.parquet")
    rows = pa.concat_tables(map(pq.read_table, files))
    own = sum(map(os.path.getsize, files)) / len(rows)
    rows = rows.set_column(0, "symbol", rows["symbol"].cast(pa.string()))
    return rows.sort_by([("symbol", "ascending"), ("ts", "ascending")]).slice(0, ROWS).combine_chunks(), own


def measure(name, query, bars, folder, rounds):
    """All variants of one set over some bars."""
    rows, own = features(query, bars, folder)
    what, symbol = sums(rows), rows["symbol"][len(rows) // 2].as_py()
    choice = chosen(rows, folder)
    sizes = [sizes_by_encoding(rows, folder, page) for page in PAGES]
    head = rows.slice(0, ROW_GROUP)
    variants = [{"encoding": e, "codec": c, "page": p, "write": [], "read": [], "one": []} for e, c, p in VARIANTS]
    path = f"{folder}/variant.parquet"
    for turn in range(WARM_UP + rounds):
        # In turns, so that what else the machine does hits all alike.
        for variant in variants:
            by = choice if variant["encoding"] == "by column" else variant["encoding"]
            written = cost(write, rows, path, by, variant["codec"], variant["page"])
            if turn == 0 and not pq.read_table(path, schema=rows.schema).equals(rows):
                raise SystemExit(f"{name}: {variant} does not read as it was written")
            read = {engine: cost(reader, path, what, None) for engine, reader in READERS.items()}
            one = {engine: cost(reader, path, what, symbol) for engine, reader in READERS.items()}
            if turn >= WARM_UP:
                variant["size"] = os.path.getsize(path) / 1e6
                for key, value in {"write": written, "read": read, "one": one}.items():
                    variant[key].append(value)
        say(f"{name}, turn {turn}")
    columns = [
        {
            "name": column,
            "distinct": pc.count_distinct(head[column]).as_py(),
            "bytes": {encoding: [each[column][encoding] / len(rows) for each in sizes] for encoding in ENCODINGS},
            "chosen": choice[column],
        }
        for column in rows.column_names
    ]
    return {"name": name, "rows": len(rows), "own": own, "pages": PAGES, "columns": columns, "variants": variants}
