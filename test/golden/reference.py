# /// script
# requires-python = ">=3.11"
# dependencies = [
#   "numpy==2.4.6",
#   "pillow==13.0.0",
#   "safetensors==0.8.0",
#   "torch==2.15.0",
#   "transformers==4.57.6",
# ]
# ///
"""What transformers' CLIPModel makes of pictures and texts, with the weights of any safetensors file.

    python reference.py JOB.json > RESULT.json

JOB.json has "weights" (a path), "architecture" (as in models/manifest.json), "images" (name and path of
each) and "texts" (text and token ids of each). The result has, for each image, SHA-256 of its bytes and
of its pixel values (float32, little-endian, [3, side, side]), and for each image and text its embedding
(float32, little-endian, base64), as CLIPModel gives it: not normalised.

Pictures go through the PIL image processor, one at a time; it ignores the EXIF orientation, and drops
alpha (that of transformers 5 lays pictures on white instead, so 4 is pinned). Everything runs on the
CPU in float32, and nothing is downloaded.

uv installs the versions above, for whatever host; install-reference.sh has those that Debian's torch takes.
"""

import base64
import hashlib
import json
import os
import sys

os.environ["HF_HUB_OFFLINE"] = "1"

import numpy
import PIL
import torch
import transformers
from PIL import Image
from safetensors.torch import load_file
from transformers import CLIPConfig, CLIPImageProcessor, CLIPModel
from transformers.modeling_utils import no_init_weights


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def to_base64(vector: torch.Tensor) -> str:
    return base64.b64encode(vector.numpy().astype("<f4").tobytes()).decode("ascii")


def tower(part: dict) -> dict:
    """The names of CLIPConfig for what both towers have."""
    return {
        "hidden_size": part["width"],
        "intermediate_size": part["mlp"],
        "num_hidden_layers": part["layers"],
        "num_attention_heads": part["heads"],
        "hidden_act": "quick_gelu",
        "layer_norm_eps": 1e-5,
    }


def load_model(architecture: dict, weights: str) -> CLIPModel:
    vision, text = architecture["vision"], architecture["text"]
    config = CLIPConfig(
        projection_dim=architecture["dimensions"],
        vision_config={
            **tower(vision),
            "image_size": vision["side"],
            "patch_size": vision["patch"],
        },
        text_config={
            **tower(text),
            "vocab_size": text["vocabulary"],
            "max_position_embeddings": text["maxTokens"],
            "bos_token_id": text["endToken"] - 1,
            "eos_token_id": text["endToken"],
        },
    )
    # No random weights are drawn only to be thrown away.
    with no_init_weights():
        model = CLIPModel(config)
    model.load_state_dict(load_file(weights), strict=True)
    return model.eval()


@torch.no_grad()
def run(job: dict) -> dict:
    model = load_model(job["architecture"], job["weights"])
    side = job["architecture"]["vision"]["side"]
    processor = CLIPImageProcessor(
        size={"shortest_edge": side}, crop_size={"height": side, "width": side}
    )
    images = {}
    for image in job["images"]:
        with open(image["path"], "rb") as file:
            data = file.read()
        picture = Image.open(image["path"])
        pixels = processor(images=picture, return_tensors="np")["pixel_values"]
        assert pixels.dtype == numpy.float32 and pixels.shape == (1, 3, side, side)
        values = torch.from_numpy(pixels)
        images[image["name"]] = {
            "sha256": sha256(data),
            "pixelValuesSha256": sha256(pixels.astype("<f4").tobytes()),
            "vector": to_base64(model.get_image_features(pixel_values=values)[0]),
        }
    texts = []
    for item in job["texts"]:
        ids = torch.tensor([item["ids"]])
        vector = to_base64(model.get_text_features(input_ids=ids)[0])
        texts.append({**item, "vector": vector})
    return {"madeWith": versions(), "images": images, "texts": texts}


def versions() -> str:
    names = (("torch", torch), ("transformers", transformers), ("Pillow", PIL), ("numpy", numpy))
    return ", ".join(f"{name} {module.__version__}" for name, module in names)


if __name__ == "__main__":
    with open(sys.argv[1], encoding="utf-8") as file:
        json.dump(run(json.load(file)), sys.stdout, indent=1)
    print()
