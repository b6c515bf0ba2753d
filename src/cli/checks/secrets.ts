/** Keys: whether they are there and look right. They are never shown, not even their length. */
import type { ApiKeyNames } from "../../store/api-keys.ts";
import { CredentialsError, type Secrets } from "../../store/credentials.ts";
import { type Check, type Finding, fail, ok, warn } from "./check.ts";

/**
 * @param open reads every secret as the service does; throws CredentialsError.
 * @param isNvidia whether the calls go to NVIDIA's own hosts, whose keys have a form.
 */
export function secretsChecks(open: () => Secrets, isNvidia: boolean): Check[] {
  const { faults, secrets } = openWithFaults(open);
  const orFault = (fault: string | undefined, look: () => Finding) => () =>
    fault === undefined ? look() : fail(fault, "the service does not start until that is mended");
  const nvidia = () => nvidiaKeyFinding(secrets.nvidiaApiKey(), isNvidia);
  const keys = () => apiKeysFinding(secrets.apiKeys());
  return [
    { name: "NVIDIA key", run: orFault(faults.nvidiaApiKey, nvidia) },
    { name: "API keys", run: orFault(faults.apiKeys, keys) },
  ];
}

function openWithFaults(open: () => Secrets): Pick<CredentialsError, "faults" | "secrets"> {
  try {
    return { secrets: open(), faults: {} };
  } catch (error) {
    if (error instanceof CredentialsError) return error;
    throw error;
  }
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
  if (/["'`]/.test(key)) return "it has quotes, which are taken as part of it";
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
