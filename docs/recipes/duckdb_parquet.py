"""Vectors of imagesvc in DuckDB: create, insert from Parquet, query by text.

    pip install duckdb
    python duckdb_parquet.py photos.parquet query.jsonl photos.duckdb
"""

import sys

import duckdb

photos, query, database = sys.argv[1:4]

with duckdb.connect(database) as connection:
    connection.execute(
        "CREATE TABLE IF NOT EXISTS photos (source TEXT PRIMARY KEY, sha256 TEXT, embedding FLOAT[512])"
    )
    connection.execute(
        "INSERT OR REPLACE INTO photos SELECT source, sha256, vector FROM read_parquet(?)", [photos]
    )
    found = connection.execute(
        """SELECT array_cosine_similarity(embedding, query.vector::FLOAT[512]) AS cosine, photos.source
           FROM photos, read_json(?) AS query ORDER BY cosine DESC LIMIT 10""",
        [query],
    )
    for cosine, source in found.fetchall():
        print(f"{cosine:.4f}  {source}")
