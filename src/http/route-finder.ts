/** Which route a path leads to. */

/** A route as Elysia lists it. */
interface ListedRoute {
  readonly method: string;
  /** Such as `/embeddings/:sha256`. */
  readonly path: string;
}

/** A path of the table, and the methods that it takes. */
interface FoundRoute {
  /** The path with its parameters by name. */
  readonly template: string;
  readonly methods: readonly string[];
}

/** Finds the route of a path, whatever the method; undefined where there is none. */
export type FindRoute = (path: string) => FoundRoute | undefined;

/** Makes the finder of a table of routes. A slash at a path's end makes no difference. */
export function createRouteFinder(routes: readonly ListedRoute[]): FindRoute {
  const plain = new Map<string, string[]>();
  const withParameters = new Map<string, { pattern: RegExp; methods: string[] }>();
  for (const { method, path } of routes) {
    if (method === "OPTIONS") continue;
    const methods = path.includes(":")
      ? withParameters.getOrInsertComputed(path, () => ({ pattern: patternOf(path), methods: [] }))
          .methods
      : plain.getOrInsertComputed(path, () => []);
    methods.push(method);
  }
  return (path) => {
    const template = path.replace(/(.)\/$/, "$1");
    const methods = plain.get(template);
    if (methods !== undefined) return { template, methods };
    for (const [one, { pattern, methods: taken }] of withParameters) {
      if (pattern.test(template)) return { template: one, methods: taken };
    }
    return undefined;
  };
}

function patternOf(path: string): RegExp {
  const parts = path.split("/");
  const pattern = parts.map((part) => (part.startsWith(":") ? "[^/]+" : RegExp.escape(part)));
  return new RegExp(`^${pattern.join("/")}$`);
}
