/** The frame of the page: its two views, the state of the models, and what must be said of them. */
import { useEffect, useState } from "react";
import type { ModelState } from "../client.ts";
import { CompareView } from "./compare-view.tsx";
import { EmbedView } from "./embed-view.tsx";
import { ProblemNote } from "./problem-note.tsx";
import { isStandIn, type Service, useService } from "./service.ts";

const views = { embed: "Embed", compare: "Compare" } as const;
type View = keyof typeof views;

/** The whole page. */
export function App() {
  const service = useService();
  const view = useView();
  return (
    <>
      <header className="masthead">
        <h1>
          <img src="/page/icon.svg" alt="" width="20" height="20" />
          imagesvc
        </h1>
        <nav aria-label="Views">
          {Object.entries(views).map(([name, title]) => (
            <a key={name} href={`#${name}`} aria-current={name === view ? "page" : undefined}>
              {title}
            </a>
          ))}
          <a href="/docs">API</a>
        </nav>
        <ModelStates service={service} />
      </header>
      <StandInBanner service={service} />
      <main>
        {service.problem && (
          <div className="above">
            <ProblemNote problem={service.problem} service={service} />
          </div>
        )}
        {/* Both stay, so that what was done in one is there after a look at the other. */}
        <div hidden={view !== "embed"}>
          <EmbedView service={service} isShown={view === "embed"} />
        </div>
        <div hidden={view !== "compare"}>
          <CompareView service={service} isShown={view === "compare"} />
        </div>
      </main>
      <footer>
        <p>
          Everything on this page is a request that you can send yourself:{" "}
          <a href="/docs">the API</a>, <a href="/openapi.json">its OpenAPI document</a>,{" "}
          <a href="/problems">what errors mean</a>.
        </p>
        {service.apiKey !== undefined && (
          <p>
            An API key is kept until this tab is closed.{" "}
            <button type="button" className="plain" onClick={() => service.setApiKey(undefined)}>
              Forget it
            </button>
          </p>
        )}
      </footer>
    </>
  );
}

/** The view that the address names. */
function useView(): View {
  const [view, setView] = useState(readView);
  useEffect(() => {
    const follow = () => setView(readView());
    addEventListener("hashchange", follow);
    return () => removeEventListener("hashchange", follow);
  }, []);
  return view;
}

function readView(): View {
  return location.hash === "#compare" ? "compare" : "embed";
}

const stateWords = {
  ready: "ready",
  loading: "loading",
  unavailable: "not available",
} as const satisfies Record<ModelState["state"], string>;

function ModelStates({ service: { local, hosted } }: { readonly service: Service }) {
  return (
    <ul className="models" aria-label="Models">
      {[local, hosted]
        .filter((model) => model !== undefined)
        .map(({ id, state }) => (
          <li key={id} className={state}>
            {id} <span>{stateWords[state]}</span>
          </li>
        ))}
    </ul>
  );
}

/** Says so where vectors come from synthetic weights. */
function StandInBanner({ service: { local } }: { readonly service: Service }) {
  if (local === undefined || !isStandIn(local.id)) return null;
  return (
    <aside className="banner" aria-label="About the weights">
      <strong>These vectors mean nothing.</strong> The service runs on synthetic weights, which are
      there to try everything else: similar pictures do not get similar vectors. Start it without{" "}
      <code>CLIP_WEIGHTS=synthetic</code> for real ones.
    </aside>
  );
}
