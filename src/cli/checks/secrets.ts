/** Keys: whether they are there and look right. They are never shown, not even their length. */
import { messageOf } from "../../errors.ts";
import type { ApiKeyNames } from "../../store/api-keys.ts";
import type { Secrets } from "../../store/credentials.ts";
import { type Check, type Finding, fail, ok, warn } from "./check.ts";

/**
 * @param open reads every secret as the service does; throws with one sentence.
 * @param isNvidia whether the calls go to NVIDIA's own hosts, whose keys have a form.
 */
export function secretsChecks(open: () => Secrets, isNvidia: boolean): Check[] {
  let secrets: Secrets;
  try {
    secrets = open();
  } catch (error) {
    const finding = fail(
      messageOf(error),
      "mend the file that is named, let this user read it, or correct its path",
    );
    return [{ name: "secrets", run: () => finding }];
  }
  return [
    { name: "NVIDIA key", run: () => nvidiaKeyFinding(secrets.nvidiaApiKey(), isNvidia) },
    { name: "API keys", run: () => apiKeysFinding(secrets.apiKeys()) },
  ];
}

function nvidiaKeyFinding(key: string | undefined, isNvidia: boolean): Finding {
  if (key === undefined) {
    return warn("none: nv-dinov2 is not available", "set NVIDIA_API_KEY or NVIDIA_API_KEY_FILE");
  }
  const fault = nvidiaKeyFault(key, isNvidia);
  return fault === undefined
    ? ok("well-formed")
    : fail(fault, "copy the key again from build.nvidia.com");
}

function nvidiaKeyFault(key: string, isNvidia: boolean): string | undefined {
  if (/\s/.test(key)) return "it has blanks or line breaks inside";
  if (/["'`]/.test(key)) return "it has quotes, which are taken as part of it";
  if (!/^[\x21-\x7e]+$/.test(key)) return "it has characters that no key has";
  if (!isNvidia) return undefined;
  if (!key.startsWith("nvapi-")) return "it does not begin with nvapi-";
  return /^nvapi-[\w-]{40,}$/.test(key)
    ? undefined
    : "it is not whole: too short, or with odd characters";
}

function apiKeysFinding(keys: ApiKeyNames | undefined): Finding {
  if (keys === undefined) {
    return warn("none: whoever reaches the port may use the service", "imagesvc keys add NAME");
  }
  return keys.size === 0
    ? warn("none in the file: every request for vectors is refused", "imagesvc keys add NAME")
    : ok(keys.size === 1 ? "1 key" : `${keys.size} keys`);
}
