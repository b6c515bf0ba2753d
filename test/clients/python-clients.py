"""Asks a service through Python's OpenAI clients, and prints what they got as one line of JSON.

    python-clients.py BASE_URL MODEL IMAGE TEXT…
"""
import json
import sys

import openai
from langchain_openai import OpenAIEmbeddings
from llama_index.embeddings.openai import OpenAIEmbedding

base_url, model, image, *texts = sys.argv[1:]
client = openai.OpenAI(api_key="unused", base_url=base_url)


def failure(ask):
    try:
        ask()
    except openai.APIStatusError as error:
        return [type(error).__name__, error.status_code, error.code, error.param]


answer = client.embeddings.create(model=model, input=texts)
floats = client.embeddings.create(model=model, input=texts, encoding_format="float")
picture = client.embeddings.create(model=model, input=image, extra_body={"modality": "image"})
langchain = OpenAIEmbeddings(
    model=model, api_key="unused", base_url=base_url, check_embedding_ctx_length=False, chunk_size=256
)
llama_index = OpenAIEmbedding(model_name=model, api_key="unused", api_base=base_url)
print(
    json.dumps(
        {
            "openai": [item.embedding for item in answer.data],
            "floats": [item.embedding for item in floats.data],
            "picture": picture.data[0].embedding,
            "usage": answer.usage.prompt_tokens,
            "langchain": langchain.embed_documents(texts),
            "llama_index": llama_index.get_text_embedding_batch(texts),
            "models": [one.id for one in client.models.list()],
            "unknown": failure(lambda: client.embeddings.create(model="gpt-9", input="a")),
            "token ids": failure(lambda: client.embeddings.create(model=model, input=[1, 2])),
        }
    )
)
