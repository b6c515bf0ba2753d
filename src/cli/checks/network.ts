/** Hosts that the service calls, and the clock, which TLS depends on. */

import { inTime } from "../../backends/deadline.ts";
import { messageOf } from "../../errors.ts";
import { bypassesProxy } from "../../net/no-proxy.ts";
import { type Check, fail, ok, warn } from "./check.ts";

/** A host that the service calls. */
export interface Contact {
  /** What people call it. */
  readonly name: string;
  readonly origin: URL;
}

interface NetworkOptions {
  readonly contacts: readonly Contact[];
  /** Empty for none. */
  readonly proxy: string;
  readonly noProxy: string;
  /** @throws Error where the name has no address. */
  readonly lookUp: (hostname: string) => Promise<unknown>;
  /** Asks for nothing but a head; whatever the answer, there was one. */
  readonly askForHead: (
    url: URL,
    proxy: string | undefined,
    signal: AbortSignal,
  ) => Promise<Response>;
  /** The host's clock. */
  readonly now: () => Date;
}

const answerTimeoutMs = 3_000;
/** TLS and signed requests bear no more. */
const maxClockErrorMs = 5 * 60_000;
/** Nobody can run this earlier than it was written. */
const writtenInYear = 2026;

/** Name look-up and an answer for every contact, then the clock, by the date of those answers. */
export function networkChecks(options: NetworkOptions): Check[] {
  const { contacts, proxy, noProxy, lookUp, now } = options;
  const proxyFor = ({ origin }: Contact) =>
    proxy === "" || bypassesProxy(origin, noProxy) ? undefined : proxy;
  const hostnames = contacts.map(
    (contact) => new URL(proxyFor(contact) ?? contact.origin).hostname,
  );
  const answers = contacts.map((contact) => {
    let answer: Promise<Response> | undefined;
    const ask = (signal: AbortSignal) => {
      const timed = AbortSignal.any([signal, AbortSignal.timeout(answerTimeoutMs)]);
      answer ??= options.askForHead(contact.origin, proxyFor(contact), timed);
      return answer;
    };
    return { contact, ask, isProxied: proxyFor(contact) !== undefined };
  });
  return [
    ...[...new Set(hostnames)].map((hostname) => nameCheck(hostname, lookUp)),
    ...answers.map(({ contact, ask, isProxied }) => reachCheck(contact, isProxied, ask)),
    clockCheck(now, async (signal) => {
      const dates = answers.map(async ({ ask }) => (await ask(signal)).headers.get("date"));
      const settled = await Promise.allSettled(dates);
      return settled.map((one) =>
        one.status === "fulfilled" ? Date.parse(one.value ?? "") : Number.NaN,
      );
    }),
  ];
}

function nameCheck(hostname: string, lookUp: NetworkOptions["lookUp"]): Check {
  const mend = "correct the name servers in /etc/resolv.conf, or set HTTPS_PROXY";
  return {
    name: "name look-up",
    run: async (signal) => {
      try {
        const address = lookUp(hostname.replace(/^\[|\]$/g, ""));
        await inTime(Promise.race([address, untilAborted(signal)]), answerTimeoutMs, "late");
        return ok(`${hostname} has an address`);
      } catch {
        return warn(`${hostname} has no address that can be found from here`, mend);
      }
    },
  };
}

/** For work that hears no signal itself. */
function untilAborted(signal: AbortSignal): Promise<never> {
  const { promise, reject } = Promise.withResolvers<never>();
  signal.addEventListener("abort", () => reject(signal.reason), { once: true });
  return promise;
}

function reachCheck(
  { name, origin }: Contact,
  isProxied: boolean,
  ask: (signal: AbortSignal) => Promise<Response>,
): Check {
  return {
    name: `reach ${name}`,
    run: async (signal) => {
      const way = isProxied ? " through the proxy" : "";
      try {
        await ask(signal);
        return ok(`${origin.host} answers${way}`);
      } catch (error) {
        const code =
          error instanceof Error && "code" in error ? String(error.code) : messageOf(error);
        const mend = /CERT/.test(code)
          ? "look at the clock below, and at the certificates of a proxy that reads along"
          : "let this host connect to it, or set HTTPS_PROXY; without it what is on this host still works";
        return warn(`${origin.host} does not answer${way} (${code})`, mend);
      }
    },
  };
}

/** @param askTheTime what others say, in ms since 1970; NaN where they do not. */
function clockCheck(
  now: () => Date,
  askTheTime: (signal: AbortSignal) => Promise<readonly number[]>,
): Check {
  const mend = "set the clock, best by NTP: timedatectl set-ntp true";
  return {
    name: "clock",
    run: async (signal) => {
      const shown = now().toISOString().slice(0, 16);
      if (now().getUTCFullYear() < writtenInYear) return fail(`${shown} is in the past`, mend);
      const others = (await askTheTime(signal)).filter((time) => !Number.isNaN(time));
      const [time] = others;
      if (time === undefined) return ok(`${shown} UTC, compared with nobody's`);
      const errorMs = Math.abs(now().getTime() - time);
      return errorMs > maxClockErrorMs
        ? fail(`${shown} UTC is wrong by ${Math.round(errorMs / 60_000)} minutes`, mend)
        : ok(`${shown} UTC, right within ${Math.ceil((errorMs + 1) / 60_000)} min`);
    },
  };
}
