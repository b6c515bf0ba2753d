/** Self-signed certificates, made when a test needs one. */
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

/** PEM texts. The certificate is its own authority. */
export interface Certificate {
  readonly key: string;
  readonly cert: string;
}

/**
 * Makes a certificate that is good for two days.
 *
 * @param subjectAltName such as `DNS:images.example` or `IP:127.0.0.1`.
 * @returns undefined where there is no `openssl`.
 */
export function makeCertificate(subjectAltName: string): Certificate | undefined {
  if (Bun.which("openssl") === null) return undefined;
  const folder = mkdtempSync(join(tmpdir(), "imagesvc-certificate-"));
  try {
    const [key, cert] = [join(folder, "key.pem"), join(folder, "cert.pem")];
    const args =
      "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=test";
    const { success, stderr } = Bun.spawnSync(
      [
        ...["openssl", ...args.split(" ")],
        ...["-addext", `subjectAltName=${subjectAltName}`, "-keyout", key, "-out", cert],
      ],
      { stderr: "pipe" },
    );
    if (!success) throw new Error(`openssl failed: ${stderr}`);
    return { key: readFileSync(key, "utf8"), cert: readFileSync(cert, "utf8") };
  } finally {
    rmSync(folder, { recursive: true });
  }
}
