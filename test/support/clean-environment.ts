/**
 * Runs before the tests: takes away what would let them spend money or leave this machine. Bun.spawn
 * without `env` still hands on what the process was started with, so the `test` script takes the same
 * names away before Bun starts.
 */
for (const name of ["NVIDIA_API_KEY", "HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"]) {
  delete Bun.env[name];
}
