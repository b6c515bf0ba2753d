"""Vectors of imagesvc in SQLite with sqlite-vec: create, insert, query by text.

    pip install sqlite-vec
    python sqlite-vec.py photos.jsonl query.jsonl photos.sqlite
"""

import json
import sqlite3
import sys

import sqlite_vec

photos, query, database = sys.argv[1:4]

connection = sqlite3.connect(database)
connection.enable_load_extension(True)
sqlite_vec.load(connection)
connection.execute(
    """CREATE VIRTUAL TABLE IF NOT EXISTS photos USING vec0 (
         source TEXT PRIMARY KEY, embedding FLOAT[512] DISTANCE_METRIC=cosine, +sha256 TEXT)"""
)
with connection, open(photos) as lines:
    for line in lines:
        record = json.loads(line)
        if "vector" not in record:
            continue
        connection.execute("DELETE FROM photos WHERE source = ?", (record["source"],))
        connection.execute(
            "INSERT INTO photos (source, sha256, embedding) VALUES (?, ?, ?)",
            (record["source"], record["sha256"], sqlite_vec.serialize_float32(record["vector"])),
        )

with open(query) as lines:
    text = json.loads(lines.readline())
found = connection.execute(
    "SELECT 1 - distance, source FROM photos WHERE embedding MATCH ? AND k = 10 ORDER BY distance",
    (sqlite_vec.serialize_float32(text["vector"]),),
)
for cosine, source in found:
    print(f"{cosine:.4f}  {source}")
