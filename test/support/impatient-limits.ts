/** Loaded before a service that is to lose patience in seconds, so that a test can wait for it. */
import { limits } from "../../src/limits.ts";

// Only in that process, and before anything has read them.
Object.assign(limits, { idleTimeoutS: 2, bodySilenceMs: 1_500, bodyTimeoutMs: 4_000 });
