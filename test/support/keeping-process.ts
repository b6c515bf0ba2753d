/** `bun keeping-process.ts FOLDER`: keeps images for ever, small and large, as requests do. To be killed. */
import { createDownloads } from "../../src/store/downloads.ts";

const downloads = createDownloads({ directory: process.argv[2] ?? "", minFreeBytes: 0 });
await downloads.prepare();
process.stdout.write("ready\n");
await Promise.all(Array.from({ length: 4 }, keepForEver));

async function keepForEver(): Promise<never> {
  for (let turn = 0; ; turn += 1) {
    const bytes = crypto.getRandomValues(new Uint8Array(60_000));
    const sha256 = Bun.SHA256.hash(bytes, "hex");
    const facts = { sha256, format: "png", width: 1, height: 1 } as const;
    if (turn % 2 === 0) {
      await downloads.keep({ kind: "memory", bytes }, facts);
    } else {
      const spool = await downloads.openSpool();
      for (let at = 0; at < bytes.length; at += 8192) {
        await spool.write(bytes.subarray(at, at + 8192));
      }
      await downloads.keep({ kind: "file", path: spool.path }, facts);
      await spool.discard();
    }
  }
}
