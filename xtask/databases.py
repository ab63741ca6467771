"""Asks LanceDB, Qdrant (local mode), DuckDB and FAISS for the clips of an exported index that fit a text, and checks that
each returns the first ten that `svitt search query` finds.

    python3 -m pip install lancedb qdrant-client duckdb faiss-cpu pyarrow numpy
    svitt search index my-videos && svitt search export clips.parquet
    python3 xtask/databases.py clips.parquet "the red square moves left" --checkpoint runs/pretrain/stage-4

Not part of the tests: the packages are large. Needs a `svitt` built with feature `parquet`.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import duckdb
import faiss
import lancedb
import numpy as np
import pyarrow.parquet as pq
from qdrant_client import QdrantClient, models

# Databases know nothing of clips that overlap: more are asked for, and of overlapping ones the best is kept.
ASKED = 200


def text_vector(svitt, text, model, folder):
    """The unit vector of `text`, by `svitt embed`."""
    manifest = folder / "texts.json"
    manifest.write_text(json.dumps([{"video": "none.mp4", "caption": text}]))
    out = folder / "query.npy"
    subprocess.run([svitt, "embed", manifest, "--texts", "--out", out, *model], check=True, stdout=subprocess.DEVNULL)
    return np.load(out)[0].astype(np.float32)


def by_faiss(table, vectors, query):
    index = faiss.IndexFlatIP(vectors.shape[1])
    index.add(vectors)
    ids = table["id"].to_pylist()
    return [ids[row] for row in index.search(query[None], min(ASKED, len(ids)))[1][0]]


def by_duckdb(path, vectors, query):
    dim = vectors.shape[1]
    sql = f"""SELECT id FROM read_parquet(?)
              ORDER BY array_inner_product(vector::FLOAT[{dim}], ?::FLOAT[{dim}]) DESC, id LIMIT {ASKED}"""
    return [row[0] for row in duckdb.execute(sql, [str(path), query.tolist()]).fetchall()]


def by_lancedb(table, query, folder):
    clips = lancedb.connect(folder / "lance").create_table("clips", table)
    found = clips.search(query).distance_type("dot").limit(ASKED).select(["id", "_distance"])
    return [row["id"] for row in found.to_list()]


def by_qdrant(table, vectors, query):
    client = QdrantClient(":memory:")
    distance = models.VectorParams(size=vectors.shape[1], distance=models.Distance.DOT)
    client.create_collection("clips", vectors_config=distance)
    ids = table["id"].to_pylist()
    points = (models.PointStruct(id=row, vector=vector.tolist(), payload={"id": ids[row]}) for row, vector in enumerate(vectors))
    client.upload_points("clips", points)
    found = client.query_points("clips", query=query.tolist(), limit=ASKED).points
    return [point.payload["id"] for point in found]


def in_order(name, ids, scores):
    """`ids` as they came, but equal scores, whose order no database promises, by file and time."""
    values = [scores[clip] for clip in ids]
    if any(later > earlier + 1e-5 for earlier, later in zip(values, values[1:])):
        sys.exit(f"{name} returns lesser scores before greater ones")
    place = lambda clip: (-round(scores[clip], 5), clip.rpartition("#t=")[0], float(clip.rpartition("#t=")[2].split(",")[0]))
    return sorted(ids, key=place)


def without_overlaps(ids, wanted=10):
    kept = []
    for name in ids:
        file, _, span = name.rpartition("#t=")
        start, end = map(float, span.split(","))
        if all(file != other or start >= until or end <= begin for other, begin, until, _ in kept):
            kept.append((file, start, end, name))
    return [name for *_, name in kept[:wanted]]


def by_svitt(svitt, text, index, model, folder):
    answer = folder / "answer.json"
    command = [svitt, "search", "query", text, "--rerank", "0", "--top", "10", "--index", index, "--json", answer, *model]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    found = json.loads(answer.read_text())["results"]
    return [(str(Path(row["file"]).absolute()), row["start"], row["end"]) for row in found]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parquet", type=Path)
    parser.add_argument("text")
    parser.add_argument("--index", default="svitt-index")
    parser.add_argument("--checkpoint", required=True)
    parser.add_argument("--svitt", default="svitt", help="the program")
    options = parser.parse_args()
    model = ["--checkpoint", options.checkpoint]
    table = pq.read_table(options.parquet)
    dim = table.schema.field("vector").type.list_size
    vectors = np.ascontiguousarray(table["vector"].combine_chunks().flatten().to_numpy().reshape(-1, dim))
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        query = text_vector(options.svitt, options.text, model, folder)
        expected = by_svitt(options.svitt, options.text, options.index, model, folder)
        answers = {
            "FAISS": by_faiss(table, vectors, query),
            "DuckDB": by_duckdb(options.parquet, vectors, query),
            "LanceDB": by_lancedb(table, query, folder),
            "Qdrant": by_qdrant(table, vectors, query),
        }
    scores = dict(zip(table["id"].to_pylist(), (vectors @ query).tolist()))
    wrong = 0
    for name, ids in answers.items():
        found = []
        for clip in without_overlaps(in_order(name, ids, scores)):
            file, _, span = clip.rpartition("#t=")
            found.append((file, *map(float, span.split(","))))
        same = found == expected
        wrong += not same
        print(f"{name}: {'the same' if same else 'not the same'} first {len(expected)} of {len(vectors)} clips")
        for ours, theirs in zip(expected, found):
            if ours != theirs:
                print(f"  svitt has {ours}, {name} has {theirs}")
    sys.exit(1 if wrong or not expected else 0)


main()
