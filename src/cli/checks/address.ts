/** The address that the service listens on. */
import { createServer } from "node:net";
import { type Check, fail, ok, warn } from "./check.ts";

interface AddressOptions {
  readonly host: string;
  readonly port: number;
  /** Name and number of the process that listens on a port, where this user may know. */
  readonly findListener: (
    port: number,
  ) => { readonly name: string; readonly pid: number } | undefined;
}

export function hostCheck({ host }: Pick<AddressOptions, "host">): Check {
  return {
    name: "host",
    run: async () =>
      (await bind(host, 0)) === undefined
        ? ok(host)
        : fail(
            `${host} is no address of this machine`,
            "set HOST to 127.0.0.1, or 0.0.0.0 for all",
          ),
  };
}

export function portCheck({ host, port, findListener }: AddressOptions): Check {
  return {
    name: "port",
    run: async () => {
      if (port === 0) return ok("a free one is taken");
      const code = await bind(host, port);
      if (code === undefined) return ok(`${port} is free`);
      if (code === "EACCES") {
        return fail(`this user may not listen on ${port}`, "set PORT to 1024 or higher");
      }
      if (code !== "EADDRINUSE")
        return fail(`${port} cannot be listened on (${code})`, "look at HOST");
      const listener = findListener(port);
      if (listener?.name === "imagesvc") {
        const mend = "nothing to do if that is the service; another one needs another PORT";
        return warn(`${port} is served by imagesvc already (process ${listener.pid})`, mend);
      }
      const by =
        listener === undefined ? "another program" : `${listener.name} (process ${listener.pid})`;
      return fail(`${port} is taken by ${by}`, "stop it, or set another PORT");
    },
  };
}

/** Listens for a moment. @returns the system's code where that is refused. */
function bind(host: string, port: number): Promise<string | undefined> {
  const { promise, resolve } = Promise.withResolvers<string | undefined>();
  const server = createServer();
  server.on("error", (error) => resolve("code" in error ? String(error.code) : "no code"));
  server.listen({ host, port, exclusive: true }, () => server.close(() => resolve(undefined)));
  return promise;
}
