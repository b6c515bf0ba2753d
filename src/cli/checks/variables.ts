/** Settings, and variables of the environment that change what other people's code does. */
import { type Check, fail, ok, warn } from "./check.ts";

/** @param faults one sentence for each setting that does not parse. */
export function settingsChecks(faults: readonly string[]): Check[] {
  const name = "settings";
  if (faults.length === 0) return [{ name, run: () => ok("all of them parse") }];
  return faults.map((fault) => ({
    name,
    run: () => fail(fault, "change it, or unset it for its default"),
  }));
}

/** Read by Bun, by the loader, or by the native libraries. */
const intrusive =
  /^(BUN_OPTIONS|BUN_BE_BUN|BUN_JSC_.+|NODE_TLS_REJECT_UNAUTHORIZED|LD_PRELOAD|LD_LIBRARY_PATH|ORT_.+|VIPS_.+)$/;

/** Set by ourselves, or harmless. */
const welcome = ["ORT_DISABLE_TELEMETRY"];

export function variablesCheck(environment: Readonly<Record<string, string | undefined>>): Check {
  return {
    name: "variables",
    run: () => {
      const names = Object.keys(environment)
        .filter((name) => environment[name] && intrusive.test(name) && !welcome.includes(name))
        .sort();
      if (names.length === 0) return ok("none that changes the runtime or the libraries");
      const unset = `unset ${names.length === 1 ? "it" : "them"}, in a unit by UnsetEnvironment=`;
      return warn(`${names.join(", ")} set, which Bun or a library obeys`, unset);
    },
  };
}

/** @param umask of this process. */
export function umaskCheck(umask: number): Check {
  const shown = umask.toString(8).padStart(4, "0");
  return {
    name: "umask",
    run: () =>
      (umask & 0o700) === 0
        ? ok(shown)
        : fail(`${shown} keeps the service from its own files`, "set it to 0077 or 0022"),
  };
}
