/** A picture as the page shows it: what was chosen from this device, of a URL what the answer carries. */
import { useEffect, useState } from "react";
import type { ImageInput } from "../client.ts";

/** What every browser of today shows. */
const shown = /^image\/(jpeg|png|gif|webp|avif)$/;

/** Whether the service must make the picture that is shown: of a foreign host's, and of what browsers cannot show. */
export function needsThumbnail(image: ImageInput): boolean {
  return typeof image === "string" ? !/^data:/i.test(image) : !shown.test(image.type);
}

export function Preview({
  image,
  thumbnail,
  alt,
}: {
  readonly image: ImageInput;
  /** `data:` URI of an answer. */
  readonly thumbnail: string | undefined;
  readonly alt: string;
}) {
  const source = useSource(image, thumbnail);
  if (source === undefined) return <div className="picture empty" aria-hidden="true" />;
  return <img className="picture" src={source} alt={alt} />;
}

function useSource(image: ImageInput, thumbnail: string | undefined): string | undefined {
  const [url, setUrl] = useState<string>();
  const own = needsThumbnail(image) ? undefined : image;
  useEffect(() => {
    if (own === undefined || typeof own === "string") return setUrl(own);
    const made = URL.createObjectURL(own);
    setUrl(made);
    return () => URL.revokeObjectURL(made);
  }, [own]);
  return thumbnail ?? url;
}

/** What a picture is called. */
export function nameOf(image: ImageInput): string {
  if (typeof image !== "string") return image instanceof File ? image.name : "a pasted picture";
  if (/^data:/i.test(image)) return "a data: URI";
  return image.replace(/^https?:\/\//, "");
}
