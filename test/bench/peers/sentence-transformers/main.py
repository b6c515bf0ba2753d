"""The plainest service that does the job: FastAPI around sentence-transformers.

    MODEL=FOLDER uvicorn main:app

The handler is `async`, as most examples have it: one image at a time, on all cores.
"""

import io
import os

from fastapi import FastAPI, File, UploadFile
from PIL import Image
from sentence_transformers import SentenceTransformer

app = FastAPI()
model = SentenceTransformer(os.environ["MODEL"], device="cpu")


@app.post("/vectorize-image-upload")
async def vectorize_image_upload(file: UploadFile = File(...)):
    image = Image.open(io.BytesIO(await file.read()))
    vector = model.encode(image, show_progress_bar=False)
    return {"status": "success", "vector": vector.tolist()}
