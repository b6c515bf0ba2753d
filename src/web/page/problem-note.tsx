/** What went wrong, in words that say what to do; where an API key is asked for, the field for it. */
import { type FormEvent, useEffect, useId, useState } from "react";
import { problems } from "../../errors.ts";
import type { ImagesvcProblem } from "../client.ts";
import type { Service } from "./service.ts";

export function ProblemNote({
  problem,
  service,
  onRetry,
  isShort = false,
}: {
  readonly problem: ImagesvcProblem;
  readonly service: Service;
  readonly onRetry?: () => void;
  /** Whether there is little room: what only the operator needs is then left out. */
  readonly isShort?: boolean;
}) {
  if (problem.code === "unauthorized") return <KeyForm problem={problem} service={service} />;
  const { code, title, status, requestId, originStatus, retryAfterS } = problem;
  return (
    <div className="problem" role="alert">
      <p className="title">{title}</p>
      <p>{code === "no-answer" ? noAnswer : problem.detail}</p>
      {originStatus !== undefined && <p>Its host answered {originStatus}.</p>}
      {onRetry && mayPass(problem) && <Retry afterS={retryAfterS ?? 0} onRetry={onRetry} />}
      {isCode(code) && (
        <p className="small">
          <a href={`/problems/${code}`} target="_blank" rel="noreferrer">
            {code}
          </a>
          {!isShort && `, HTTP ${status}`}
          {!isShort && requestId !== undefined && (
            <>
              , request <code>{requestId}</code>
            </>
          )}
        </p>
      )}
    </div>
  );
}

/** The client's own words are for other pages, too, which CORS may keep out. */
const noAnswer = "The service did not answer: check that it still runs, and your connection to it.";

/** The button that tries once more, and in how many seconds it makes sense. */
function Retry({ afterS, onRetry }: { readonly afterS: number; readonly onRetry: () => void }) {
  const [leftS, setLeftS] = useState(Math.ceil(afterS));
  useEffect(() => {
    if (leftS <= 0) return;
    const timer = setTimeout(() => setLeftS(leftS - 1), 1_000);
    return () => clearTimeout(timer);
  }, [leftS]);
  return (
    <p className="retry">
      <button type="button" onClick={onRetry}>
        Try again
      </button>
      {/* Not read out every second. */}
      {leftS > 0 && (
        <span className="retry-after" aria-live="off">
          makes sense in {leftS} s
        </span>
      )}
    </p>
  );
}

function isCode(code: string): code is keyof typeof problems {
  return Object.hasOwn(problems, code);
}

/** Whether the same request may do better later. */
function mayPass({ status }: ImagesvcProblem): boolean {
  return status === 0 || status === 429 || status >= 500;
}

function KeyForm({
  problem,
  service,
}: {
  readonly problem: ImagesvcProblem;
  readonly service: Service;
}) {
  const id = useId();
  const [key, setKey] = useState("");
  const submit = (event: FormEvent) => {
    event.preventDefault();
    if (key.trim() !== "") service.setApiKey(key.trim());
  };
  return (
    <form className="problem key" onSubmit={submit}>
      <p className="title" role="alert">
        {service.apiKey === undefined ? problem.title : problem.detail}
      </p>
      <p>
        The operator gives keys out; <code>imagesvc keys add NAME</code> makes one. It stays in this
        tab, and goes nowhere but to this service.
      </p>
      <div className="field">
        <label htmlFor={id}>API key</label>
        <input
          id={id}
          type="password"
          autoComplete="off"
          spellCheck={false}
          value={key}
          onChange={({ target }) => setKey(target.value)}
        />
        <button type="submit">Use it</button>
      </div>
    </form>
  );
}
