/** `imagesvc systemd` from source. Installing is tried in `test/unit/systemd-install.test.ts` and `test/systemd/`. */
import { expect, test } from "bun:test";
import { join } from "node:path";
import { runMain } from "../support/process.ts";
import { repositoryRoot } from "../support/source-files.ts";

test("the unit goes to stdout, and nothing of the caller's environment into it", async () => {
  const { code, output, errors } = await runMain(["systemd"], {
    PORT: "9999",
    NVIDIA_API_KEY: "nvapi-hunter2",
  });
  expect(code).toBe(0);
  expect(errors).toBe("");
  expect(output).toBe(await Bun.file(join(repositoryRoot, "systemd/imagesvc.service")).text());
});

test("options and flags are fitted in", async () => {
  const folder = "/home/ec2-user/demo/vector-embedding";
  const { code, output } = await runMain([
    ...["systemd", "--user", "ec2-user", "--working-directory", `${folder}/`, "--port", "9000"],
  ]);
  expect(code).toBe(0);
  expect(output).toContain("\nExecStart=/usr/local/bin/imagesvc serve --port=9000\n");
  expect(output).toContain(`\nUser=ec2-user\nWorkingDirectory=${folder}\n`);
});

test.each([
  [["--force"], /--force needs --install/],
  [["--working-directory", "/srv"], /needs --user/],
  [["--user", "nobody", "--working-directory", ""], /--working-directory is empty/],
  [
    ["--user", "nobody", "--working-directory", "/"],
    /--working-directory must not be the whole host/,
  ],
  [["--user", "nobody", "--working-directory", "/tmp/x"], /--working-directory must not lie in/],
  [["--models-dir", "/srv/m"], /--models-dir needs --user/],
  [["--api-keys-file", "/home/ec2-user/keys"], /--api-keys-file lies in a home/],
  [["--port", "eighty"], /PORT is "eighty"/],
])("systemd %p is wrong usage", async (words, sentence) => {
  const { code, output, errors } = await runMain(["systemd", ...words]);
  expect(code).toBe(2);
  expect(output).toBe("");
  expect(errors).toMatch(sentence);
});

test("from source nothing is installed, and it says how", async () => {
  const { code, output, errors } = await runMain(["systemd", "--install"]);
  expect(code).toBe(1);
  expect(output).toBe("");
  expect(errors).toMatch(/^imagesvc: .*bun run build.*systemd --install\n$/);
});
