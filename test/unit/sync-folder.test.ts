import { expect, test } from "bun:test";
import { tmpdir } from "node:os";
import { syncFolder } from "../../src/native/sync-folder.ts";

test.each(["/proc/self", tmpdir()])("%s is synced, or has nothing to sync", async (folder) => {
  await expect(syncFolder(folder)).resolves.toBeUndefined();
});

test("a folder that is not there is an error", async () => {
  await expect(syncFolder("/nonexistent/folder")).rejects.toThrow("ENOENT");
});
