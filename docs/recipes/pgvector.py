"""Vectors of imagesvc in PostgreSQL with pgvector: create, insert, query by text.

    pip install "psycopg[binary]"
    python pgvector.py photos.jsonl query.jsonl postgresql://user@host/database
"""

import json
import sys

import psycopg

photos, query, database = sys.argv[1:4]

with psycopg.connect(database) as connection:
    connection.execute("CREATE EXTENSION IF NOT EXISTS vector")
    connection.execute(
        "CREATE TABLE IF NOT EXISTS photos (source text PRIMARY KEY, sha256 text, embedding vector(512))"
    )
    with connection.cursor() as cursor, open(photos) as lines:
        cursor.execute("CREATE TEMPORARY TABLE new (LIKE photos) ON COMMIT DROP")
        with cursor.copy("COPY new FROM STDIN") as copy:
            for line in lines:
                record = json.loads(line)
                if "vector" in record:
                    # A vector is written as JSON writes it.
                    copy.write_row((record["source"], record["sha256"], json.dumps(record["vector"])))
        cursor.execute(
            """INSERT INTO photos SELECT * FROM new ON CONFLICT (source)
               DO UPDATE SET sha256 = excluded.sha256, embedding = excluded.embedding"""
        )
    # Worth its while from some ten thousand pictures on; the search is then no longer exact.
    connection.execute(
        "CREATE INDEX IF NOT EXISTS photos_by_embedding ON photos USING hnsw (embedding vector_cosine_ops)"
    )
    with open(query) as lines:
        text = json.loads(lines.readline())
    found = connection.execute(
        "SELECT 1 - (embedding <=> %(text)s), source FROM photos ORDER BY embedding <=> %(text)s LIMIT 10",
        {"text": json.dumps(text["vector"])},
    )
    for cosine, source in found:
        print(f"{cosine:.4f}  {source}")
