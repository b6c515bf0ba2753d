/** Every way to bring a picture: drop, paste, choose, photograph, or name its URL. */
import { type FormEvent, useEffect, useId, useRef, useState } from "react";
import type { ImageInput } from "../client.ts";

/** What the service decodes. Phones that keep pictures as HEIC send a JPEG where that is not listed. */
const accepted = "image/jpeg,image/png,image/webp,image/gif,image/avif,image/tiff";

/** Phones and tablets have a camera at hand, and nothing to drop; elsewhere `capture` would open the same dialogue. */
const hasTouch = globalThis.navigator?.maxTouchPoints > 0;

export function PictureInput({
  onPictures,
  isShown,
  isMany = false,
}: {
  readonly onPictures: (pictures: readonly ImageInput[]) => void;
  /** Whether what is dropped and pasted anywhere on the page comes here. */
  readonly isShown: boolean;
  readonly isMany?: boolean;
}) {
  const isDraggedOver = useDropAndPaste(isShown, (pictures) =>
    onPictures(isMany ? pictures : pictures.slice(0, 1)),
  );
  const [url, setUrl] = useState("");
  const urlId = useId();
  const submit = (event: FormEvent) => {
    event.preventDefault();
    if (url.trim() === "") return;
    onPictures([url.trim()]);
    if (isMany) setUrl("");
  };
  const noun = isMany ? "pictures" : "a picture";
  return (
    <section className={isDraggedOver ? "input dragged" : "input"} aria-label="Bring a picture">
      <p className="lead">
        {hasTouch ? "Bring" : "Drop or paste"} {noun}.
      </p>
      <div className="choices">
        <FileButton onFiles={onPictures} isMany={isMany}>
          Choose {noun}
        </FileButton>
        {hasTouch && (
          <FileButton onFiles={onPictures} capture>
            Take a photo
          </FileButton>
        )}
      </div>
      <form className="field" onSubmit={submit}>
        <label htmlFor={urlId}>or its URL</label>
        {/* Not type="url": the service's own words about a wrong one are better. */}
        <input
          id={urlId}
          type="text"
          inputMode="url"
          autoComplete="off"
          spellCheck={false}
          placeholder="https://"
          value={url}
          onChange={({ target }) => setUrl(target.value)}
        />
        <button type="submit">{isMany ? "Add" : "Fetch"}</button>
      </form>
    </section>
  );
}

/** A file field that looks like a button. Choosing the same file again counts, too. */
function FileButton({
  onFiles,
  capture = false,
  isMany = false,
  children,
}: {
  readonly onFiles: (files: readonly File[]) => void;
  readonly capture?: boolean;
  readonly isMany?: boolean;
  readonly children: React.ReactNode;
}) {
  return (
    <label className="button">
      <input
        type="file"
        accept={accepted}
        multiple={isMany}
        {...(capture && { capture: "environment" })}
        onChange={({ target }) => {
          const files = [...(target.files ?? [])];
          target.value = "";
          if (files.length > 0) onFiles(files);
        }}
      />
      {children}
    </label>
  );
}

/** @returns whether something is being dragged over the page. */
function useDropAndPaste(
  isOn: boolean,
  onPictures: (pictures: readonly ImageInput[]) => void,
): boolean {
  const [isDraggedOver, setIsDraggedOver] = useState(false);
  const take = useRef(onPictures);
  take.current = onPictures;
  useEffect(() => {
    if (!isOn) return;
    const leaving = new AbortController();
    const { signal } = leaving;
    const dragOver = (event: DragEvent) => {
      event.preventDefault();
      setIsDraggedOver(true);
    };
    const dragLeave = ({ relatedTarget }: DragEvent) => {
      if (relatedTarget === null) setIsDraggedOver(false);
    };
    const drop = (event: DragEvent) => {
      event.preventDefault();
      setIsDraggedOver(false);
      const pictures = picturesOf(event.dataTransfer);
      if (pictures.length > 0) take.current(pictures);
    };
    const paste = (event: ClipboardEvent) => {
      const isInField = event.target instanceof HTMLInputElement;
      const pictures = picturesOf(event.clipboardData).filter(
        (picture) => !isInField || typeof picture !== "string",
      );
      if (pictures.length === 0) return;
      event.preventDefault();
      take.current(pictures);
    };
    addEventListener("dragover", dragOver, { signal });
    addEventListener("dragleave", dragLeave, { signal });
    addEventListener("drop", drop, { signal });
    addEventListener("paste", paste, { signal });
    return () => leaving.abort();
  }, [isOn]);
  return isDraggedOver;
}

/** Files, or else the URL of a picture that was dragged out of another page or copied as text. */
function picturesOf(data: DataTransfer | null): readonly ImageInput[] {
  if (data === null) return [];
  if (data.files.length > 0) return [...data.files];
  const text = (data.getData("text/uri-list") || data.getData("text/plain")).trim();
  return /^(https?:\/\/|data:image\/)\S+$/i.test(text) ? [text] : [];
}
