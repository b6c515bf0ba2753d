/** What went wrong, in words that say what to do; where an API key is asked for, the field for it. */
import { type FormEvent, useId, useState } from "react";
import { problems } from "../../errors.ts";
import type { ImagesvcProblem } from "../client.ts";
import type { Service } from "./service.ts";

export function ProblemNote({
  problem,
  service,
  onRetry,
}: {
  readonly problem: ImagesvcProblem;
  readonly service: Service;
  readonly onRetry?: () => void;
}) {
  if (problem.code === "unauthorized") return <KeyForm problem={problem} service={service} />;
  const isOurs = isCode(problem.code);
  return (
    <div className="problem" role="alert">
      <p className="title">{problem.title}</p>
      <p>{problem.detail}</p>
      {isCode(problem.code) && <p>{problems[problem.code].explanation}</p>}
      {problem.originStatus !== undefined && <p>Its host answered {problem.originStatus}.</p>}
      {problem.retryAfterS !== undefined && (
        <p>Try again in {Math.ceil(problem.retryAfterS)} seconds.</p>
      )}
      <p className="small">
        {isOurs && (
          <>
            HTTP {problem.status}, <a href={`/problems/${problem.code}`}>{problem.code}</a>
          </>
        )}
        {problem.requestId !== undefined && (
          <>
            , request <code>{problem.requestId}</code>
          </>
        )}
      </p>
      {onRetry && mayPass(problem) && (
        <button type="button" onClick={onRetry}>
          Try again
        </button>
      )}
    </div>
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
