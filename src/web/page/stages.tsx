/** How long the service took, by stage, as `Server-Timing` says. */
import type { Stage } from "../client.ts";

const words: Readonly<Record<string, string>> = {
  fetch: "fetch",
  cache: "look-up",
  decode: "decode",
  queue: "wait",
  infer: "model",
  upstream: "NVIDIA",
};

export function Stages({ stages }: { readonly stages: readonly Stage[] }) {
  const total = stages.find(({ name }) => name === "total")?.ms;
  if (total === undefined) return null;
  const known = stages.filter(({ name }) => name !== "total");
  const rest = total - known.reduce((sum, { ms }) => sum + ms, 0);
  const parts = [...known.map(({ name, ms }) => ({ name: words[name] ?? name, ms }))];
  // What no stage counts: the body's arrival, above all.
  if (rest > 0.05) parts.push({ name: "arrival and rest", ms: rest });
  return (
    <section className="stages" aria-label="Time by stage">
      <div className="bar" aria-hidden="true">
        {parts.map(({ name, ms }) => (
          <span key={name} className={`stage-${name.split(" ", 1)[0]}`} style={{ flexGrow: ms }} />
        ))}
      </div>
      <dl>
        {parts.map(({ name, ms }) => (
          <div key={name}>
            <dt className={`stage-${name.split(" ", 1)[0]}`}>{name}</dt>
            <dd>{shown(ms)} ms</dd>
          </div>
        ))}
        <div>
          <dt>in all</dt>
          <dd>{shown(total)} ms</dd>
        </div>
      </dl>
    </section>
  );
}

function shown(ms: number): string {
  return ms < 10 ? ms.toFixed(1) : ms.toFixed(0);
}
