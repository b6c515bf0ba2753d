/** A process that packs the tiny image tower, `pack-tower.ts <from> <to>`, and says how it went. */
import { messageOf } from "../../src/errors.ts";
import { packImageTower } from "../../workers/pack-tower.ts";
import { tinyClip } from "./tiny-clip.ts";

const [from = "", to = ""] = process.argv.slice(2);
const outcome = await packImageTower(from, to, tinyClip, () => {}).then(
  () => "it is packed",
  (error: unknown) => `it failed: ${messageOf(error)}`,
);
process.stdout.write(outcome);
