/** The embeddings that the app keeps: here in the browser's own storage, in a real one in a database. */
import { useState } from "react";

/** A photo that can be found. */
export interface Photo {
  readonly url: string;
  readonly vector: readonly number[];
}

const place = "photos";

/** The photos, and the way to store others in their place; they outlast the tab. */
export function useStoredPhotos() {
  const [photos, setPhotos] = useState(readPhotos);
  const store = (next: readonly Photo[]) => {
    setPhotos(next);
    localStorage.setItem(place, JSON.stringify(next));
  };
  return [photos, store] as const;
}

function readPhotos(): readonly Photo[] {
  const stored: unknown = JSON.parse(localStorage.getItem(place) ?? "[]");
  return Array.isArray(stored) ? stored.filter(isPhoto) : [];
}

function isPhoto(value: unknown): value is Photo {
  return typeof value === "object" && value !== null && "url" in value && "vector" in value;
}
