/** A model that does not serve now, and what is to be done. Nothing is wrong: the other one works without it. */
import type { ModelState } from "../client.ts";

export function ModelMissing({
  model: { id, state, why },
  waits,
}: {
  readonly model: ModelState;
  /** Whether there is a picture for it. */
  readonly waits: boolean;
}) {
  const needsKey = /NVIDIA_API_KEY, which is not set/.test(why ?? "");
  return (
    <section className="card missing" aria-label={id}>
      <h2>
        {id} {state === "loading" && <span>is loading</span>}
      </h2>
      {needsKey ? <KeyWanted /> : <p>{why ?? "It is not available at the moment."}</p>}
      {state === "loading" && (
        <>
          <progress aria-label={`${id} is loading`} />
          <p>
            {waits
              ? "The picture is embedded as soon as the model is there."
              : "You can bring a picture already; it is embedded as soon as the model is there."}
          </p>
        </>
      )}
    </section>
  );
}

function KeyWanted() {
  return (
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
          Start the service with <code>NVIDIA_API_KEY=nvapi-…</code>, or name a file that holds it
          in <code>NVIDIA_API_KEY_FILE</code>.
        </li>
        <li>Load this page again.</li>
      </ol>
    </>
  );
}
