/** What can be copied: a vector in three languages, and the request that made it. */
import type { Embedding, ImageInput } from "../client.ts";

/** A vector as JSON, for numpy, and as a typed array. */
export function vectorSnippets({
  model,
  vector,
}: Pick<Embedding, "model" | "vector">): Readonly<Record<string, string>> {
  const numbers = JSON.stringify(vector);
  const made = `${model}, ${vector.length} numbers`;
  return {
    JSON: numbers,
    Python: `import numpy as np\n\n# ${made}\nvector = np.array(${numbers}, dtype=np.float32)\n`,
    JavaScript: `// ${made}\nconst vector = new Float32Array(${numbers});\n`,
  };
}

interface Surroundings {
  /** Where the service is, as the page sees it. */
  readonly origin: string;
  /** Whether requests bring an API key; it is never written out. */
  readonly hasKey: boolean;
}

/** The request for an image's vector, as a line of curl, in Python and in JavaScript. */
export function requestSnippets(
  image: ImageInput,
  model: string,
  { origin, hasKey }: Surroundings,
): Readonly<Record<string, string>> {
  const isUrl = typeof image === "string" && !/^data:/i.test(image);
  const query = `?model=${encodeURIComponent(model)}`;
  const target = `${origin}${isUrl ? "/upload" : "/vectorize-image-upload"}${query}`;
  const name = image instanceof File ? image.name : "image.png";
  const header = hasKey ? ` \\\n  -H "Authorization: Bearer $IMAGESVC_API_KEY"` : "";
  const curlBody = isUrl
    ? `--data-urlencode ${inShell(`imageUrl=${image}`)}`
    : `-F ${inShell(`file=@${curlName(name)}`)}`;
  const pythonKey = hasKey
    ? `\n    headers={"Authorization": "Bearer " + os.environ["IMAGESVC_API_KEY"]},`
    : "";
  const pythonBody = isUrl
    ? `data={"imageUrl": ${JSON.stringify(image)}}`
    : `files={"file": open(${JSON.stringify(name)}, "rb")}`;
  const scriptKey = hasKey ? `\n  headers: { authorization: "Bearer " + apiKey },` : "";
  const scriptBody = isUrl ? `new URLSearchParams({ imageUrl: ${JSON.stringify(image)} })` : "form";
  const form = isUrl
    ? ""
    : `// input is an <input type="file">; in Node: await openAsBlob(${JSON.stringify(name)})\nconst form = new FormData();\nform.append("file", input.files[0]);\n`;
  const key = isUrl ? "embedding" : "vector";
  return {
    curl: `curl ${inShell(target)}${header} \\\n  ${curlBody}\n`,
    Python: `${hasKey ? "import os\n" : ""}import requests\n\nanswer = requests.post(\n    ${JSON.stringify(target)},${pythonKey}\n    ${pythonBody},\n)\nanswer.raise_for_status()\nvector = answer.json()["${key}"]\n`,
    JavaScript: `${form}const response = await fetch(${JSON.stringify(target)}, {\n  method: "POST",${scriptKey}\n  body: ${scriptBody},\n});\nif (!response.ok) throw new Error((await response.json()).detail);\nconst { ${key} } = await response.json();\n`,
  };
}

/** Quoted for a POSIX shell. */
function inShell(text: string): string {
  return `'${text.replaceAll("'", `'\\''`)}'`;
}

/** curl reads commas and semicolons in a file's name as its own, unless that is quoted. */
function curlName(name: string): string {
  return /[,;"\\]/.test(name) ? `"${name.replaceAll(/["\\]/g, "\\$&")}"` : name;
}
