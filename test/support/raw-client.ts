/** A client that speaks HTTP by hand, so that it can misbehave. */
import { connect, type Socket } from "node:net";
import type { TestService } from "./service.ts";

export interface RawClient {
  readonly socket: Socket;
  /** What has come so far. */
  text(): string;
  write(data: string | Uint8Array): void;
  /** Resolves with all that has come, once it matches. */
  received(pattern: RegExp): Promise<string>;
  /** Resolves with all that has come, once the server has closed. */
  closed(): Promise<string>;
  /** Goes away in the middle of things. */
  hangUp(): void;
}

/**
 * Connects to a service.
 *
 * @param localAddress address to come from, such as `127.0.0.2`; the system chooses unless told.
 */
export function connectRaw(
  { url }: Pick<TestService, "url">,
  localAddress?: string,
): Promise<RawClient> {
  return new Promise((resolve, reject) => {
    const socket = connect({
      port: Number(url.port),
      host: url.hostname,
      ...(localAddress && { localAddress }),
    });
    const closed = Promise.withResolvers<string>();
    let got = "";
    socket.on("data", (chunk) => {
      got += chunk.toString("latin1");
    });
    socket.on("error", reject);
    socket.on("close", () => closed.resolve(got));
    socket.on("connect", () =>
      resolve({
        socket,
        text: () => got,
        write: (data) => void socket.write(data),
        received: async (pattern) => {
          while (!pattern.test(got)) await Bun.sleep(2);
          return got;
        },
        closed: () => closed.promise,
        hangUp: () => socket.resetAndDestroy(),
      }),
    );
  });
}

/** The head of a POST. */
export function headOf(path: string, headers: Readonly<Record<string, string | number>>): string {
  const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`);
  return `POST ${path} HTTP/1.1\r\nHost: localhost\r\n${lines.join("")}\r\n`;
}
