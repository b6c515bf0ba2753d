/** What the page knows of the service: a client of it, the API key, and the models. */
import { useCallback, useEffect, useMemo, useState } from "react";
import { type Client, createClient, ImagesvcProblem, type ModelState } from "../client.ts";

/** Where the key stays until the tab is closed. */
const keyPlace = "imagesvc-api-key";

/** ms between two looks at models that are not ready yet. */
const lookAgainMs = 3_000;

/** The service, as the parts of the page see it. */
export interface Service {
  readonly client: Client;
  /** The API key that was given, if one was. */
  readonly apiKey: string | undefined;
  /** Takes a key, or with undefined forgets it: whatever failed is then tried anew. */
  readonly setApiKey: (key: string | undefined) => void;
  /** The model that runs here, and takes texts too. */
  readonly local: ModelState | undefined;
  /** NVIDIA's hosted model. */
  readonly hosted: ModelState | undefined;
  /** Why the models are not known. */
  readonly problem: ImagesvcProblem | undefined;
}

/** Asks the service which models it has, and again while one is not ready. */
export function useService(): Service {
  const [apiKey, setKey] = useState(() => readKey());
  const client = useMemo(() => createClient(apiKey === undefined ? {} : { apiKey }), [apiKey]);
  const [models, setModels] = useState<readonly ModelState[]>([]);
  const [problem, setProblem] = useState<ImagesvcProblem>();
  useEffect(() => {
    const leaving = new AbortController();
    let timer: ReturnType<typeof setTimeout> | undefined;
    const look = async () => {
      let isSettled = false;
      try {
        const found = await client.models({ signal: leaving.signal });
        setModels(found);
        setProblem(undefined);
        isSettled = found.every(({ state }) => state !== "loading");
      } catch (error) {
        if (leaving.signal.aborted) return;
        if (error instanceof ImagesvcProblem) setProblem(error);
      }
      if (!isSettled && !leaving.signal.aborted) timer = setTimeout(() => void look(), lookAgainMs);
    };
    void look();
    return () => {
      clearTimeout(timer);
      leaving.abort();
    };
  }, [client]);
  const setApiKey = useCallback((key: string | undefined) => {
    keepKey(key);
    setKey(key);
  }, []);
  const hosted = models.find(({ id }) => id.startsWith("nv-"));
  const local = models.find((model) => model !== hosted);
  return { client, apiKey, setApiKey, local, hosted, problem };
}

/** The name by which requests ask for a model, whatever its weights are. */
export function plainId(model: ModelState): string {
  return model.id.split("@", 1)[0] ?? model.id;
}

/** Whether what makes the vectors is only a stand-in. */
export function isStandIn(model: string): boolean {
  return /@(synthetic|fake)/.test(model);
}

// A browser may refuse its storage; the key then lives as long as the page.
function readKey(): string | undefined {
  try {
    return sessionStorage.getItem(keyPlace) ?? undefined;
  } catch {
    return undefined;
  }
}

function keepKey(key: string | undefined): void {
  try {
    if (key === undefined) sessionStorage.removeItem(keyPlace);
    else sessionStorage.setItem(keyPlace, key);
  } catch {
    // As above.
  }
}
