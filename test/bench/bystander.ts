/**
 * A server that does nothing but answer: beside the service it shows what the same load on the same
 * cores does to any process, so that the rest is the service's own.
 */
Bun.serve({
  hostname: "127.0.0.1",
  port: Number(process.argv[2]),
  fetch: () => Response.json({ status: "alive" }),
});
