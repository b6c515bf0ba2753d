import { builtIn } from "../release/built-in.ts";
import { readInventory } from "../release/inventory.ts";
import { writeNotices } from "../release/notices.ts";
import { hostPlatform, sourceRoot } from "../release/platform.ts";
import type { CommandCall } from "./command-call.ts";

/** `imagesvc licenses`: prints the third-party notices, from source those of an executable for this host. */
export async function runLicenses({ print }: CommandCall): Promise<number> {
  const notices =
    builtIn === undefined
      ? await writeNotices(sourceRoot, await readInventory(sourceRoot, hostPlatform()))
      : await Bun.file(builtIn.notices).text();
  await print(notices);
  return 0;
}
