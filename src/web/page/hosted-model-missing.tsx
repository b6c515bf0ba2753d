/** What is missing for NVIDIA's model, and how to get it. Nothing is wrong: the other model works without. */
import type { ModelState } from "../client.ts";

export function HostedModelMissing({ model }: { readonly model: ModelState }) {
  const needsKey = /NVIDIA_API_KEY, which is not set/.test(model.why ?? "");
  return (
    <section className="card missing">
      <h2>{model.id}</h2>
      {needsKey ? (
        <>
          <p>
            NVIDIA’s model runs at NVIDIA, so it needs a key of yours. Everything else here works
            without it.
          </p>
          <ol>
            <li>
              Get a key at{" "}
              <a href="https://build.nvidia.com" target="_blank" rel="noreferrer">
                build.nvidia.com
              </a>
              .
            </li>
            <li>
              Start the service with <code>NVIDIA_API_KEY=nvapi-…</code>, or name a file that holds
              it in <code>NVIDIA_API_KEY_FILE</code>.
            </li>
            <li>Load this page again.</li>
          </ol>
        </>
      ) : (
        <p>{model.why ?? "It is not available at the moment."}</p>
      )}
    </section>
  );
}
