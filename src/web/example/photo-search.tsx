/**
 * What the documents of the CLIP service ask of its React client: it sends image URLs, stores the embeddings that
 * come back, and searches them by text, here in the browser.
 */
import { type FormEvent, useState } from "react";
import { type Client, cosineSimilarity, ImagesvcProblem } from "../client.ts";
import { useEmbedding } from "../use-embedding.ts";
import { type Photo, useStoredPhotos } from "./stored-photos.ts";

export function PhotoSearch({ client }: { readonly client: Client }) {
  const [photos, store] = useStoredPhotos();
  const [pending, setPending] = useState<readonly string[]>([]);
  const [wanted, setWanted] = useState<readonly number[]>();
  const [fault, setFault] = useState<string>();

  const search = async (text: string) => {
    setFault(undefined);
    try {
      const { vectors } = await client.embedTexts([text]);
      setWanted(vectors[0]);
    } catch (error) {
      setFault(error instanceof ImagesvcProblem ? error.detail : String(error));
    }
  };
  const settle = (url: string, photo?: Photo) => {
    setPending((urls) => urls.filter((one) => one !== url));
    if (photo) store([...photos.filter((one) => one.url !== url), photo]);
  };

  return (
    <>
      <h1>Photo search</h1>
      <OneField label="Image URL" action="Add" onText={(url) => setPending([...pending, url])} />
      {pending.map((url) => (
        <PendingPhoto key={url} client={client} url={url} onSettled={settle} />
      ))}
      <OneField label="Search" action="Search" onText={(text) => void search(text)} />
      {fault && <p role="alert">{fault}</p>}
      <ol>
        {rank(photos, wanted).map(({ url, cosine }) => (
          <li key={url}>
            <img src={url} alt="" />
            <span>
              {url} {cosine !== undefined && <output>{cosine.toFixed(4)}</output>}
            </span>
          </li>
        ))}
      </ol>
    </>
  );
}

function rank(photos: readonly Photo[], wanted: readonly number[] | undefined) {
  if (wanted === undefined) return photos.map(({ url }) => ({ url, cosine: undefined }));
  return photos
    .map(({ url, vector }) => ({ url, cosine: cosineSimilarity(vector, wanted) }))
    .sort((a, b) => b.cosine - a.cosine);
}

/** A photo on its way to its vector. */
function PendingPhoto({
  client,
  url,
  onSettled,
}: {
  readonly client: Client;
  readonly url: string;
  readonly onSettled: (url: string, photo?: Photo) => void;
}) {
  const state = useEmbedding(client, url);
  switch (state.status) {
    case "failed":
      return (
        <p role="alert">
          {url}: {state.problem.detail}{" "}
          <button type="button" onClick={state.retry}>
            Try again
          </button>{" "}
          <button type="button" onClick={() => onSettled(url)}>
            Give up
          </button>
        </p>
      );
    case "done": {
      const { vector } = state.embedding;
      return (
        <p>
          {url} has its vector of {vector.length} numbers.{" "}
          <button type="button" onClick={() => onSettled(url, { url, vector })}>
            Keep it
          </button>
        </p>
      );
    }
    default:
      return <p>{url} …</p>;
  }
}

function OneField({
  label,
  action,
  onText,
}: {
  readonly label: string;
  readonly action: string;
  readonly onText: (text: string) => void;
}) {
  const [text, setText] = useState("");
  const submit = (event: FormEvent) => {
    event.preventDefault();
    if (text.trim() !== "") onText(text.trim());
    setText("");
  };
  return (
    <form onSubmit={submit}>
      <input
        aria-label={label}
        placeholder={label}
        value={text}
        onChange={({ target }) => setText(target.value)}
      />
      <button type="submit">{action}</button>
    </form>
  );
}
