/** The entry point of the example: which service, and where on the page. */
import { createRoot } from "react-dom/client";
import { createClient } from "../client.ts";
import { PhotoSearch } from "./photo-search.tsx";

const place = globalThis.document?.getElementById("app");
if (place) {
  const asked = new URLSearchParams(location.search).get("service");
  const client = createClient({ baseUrl: asked ?? "http://localhost:8000" });
  createRoot(place).render(<PhotoSearch client={client} />);
}
