"""Vectors of imagesvc in Qdrant: create, insert, query by text.

    pip install qdrant-client
    python qdrant.py photos.jsonl query.jsonl http://localhost:6333    # or :memory:
"""

import json
import sys
import uuid

from qdrant_client import QdrantClient
from qdrant_client.models import Distance, PointStruct, VectorParams

photos, query, server = sys.argv[1:4]
client = QdrantClient(location=server)

if not client.collection_exists("photos"):
    client.create_collection("photos", VectorParams(size=512, distance=Distance.COSINE))


def points():
    with open(photos) as lines:
        for line in lines:
            record = json.loads(line)
            if "vector" not in record:
                continue
            # The same source has the same id, so that it is replaced.
            id = str(uuid.uuid5(uuid.NAMESPACE_URL, record["source"]))
            payload = {"source": record["source"], "sha256": record["sha256"]}
            yield PointStruct(id=id, vector=record["vector"], payload=payload)


client.upload_points("photos", points(), wait=True)

with open(query) as lines:
    text = json.loads(lines.readline())
found = client.query_points("photos", query=text["vector"], limit=10)
for point in found.points:
    print(f"{point.score:.4f}  {point.payload['source']}")
