/** The command line, and what a start says about itself. */
import { expect, test } from "bun:test";
import { commandOf } from "../../src/cli/commands.ts";
import { flagOf, settings } from "../../src/config.ts";
import { runMain, startProcess } from "../support/process.ts";

for (const argv of [["sing"], ["serve", "twice"], ["--no-such-flag"], ["--port"]]) {
  test(`"${argv.join(" ")}" is wrong usage`, async () => {
    const { code, output, errors } = await runMain(argv);
    expect(code).toBe(2);
    expect(output).toBe("");
    expect(errors).toMatch(/^imagesvc: .*--help/s);
  });
}

test("the key is no flag, and its value is not repeated", async () => {
  const { code, errors } = await runMain(["--nvidia-api-key=nvapi-hunter2"]);
  expect(code).toBe(2);
  expect(errors).not.toContain("hunter2");
});

test("--help names every setting of the service that is a flag", async () => {
  for (const argv of [["--help"], ["serve", "--help"], ["-h"]]) {
    const { code, output } = await runMain(argv);
    expect(code).toBe(0);
    for (const name of commandOf("serve").settings) {
      const { secret } = settings[name];
      expect(output.includes(`${flagOf(name)} `)).toBe(!secret);
    }
  }
});

test("--version names the version and Bun's", async () => {
  const { code, output } = await runMain(["--version"]);
  expect(code).toBe(0);
  expect(output).toMatch(/^imagesvc \d+\.\d+\.\d+.*bun 1\./s);
});

test("a start that everybody can reach is warned of, one on loopback is not", async () => {
  await using open = await startProcess({ HOST: "0.0.0.0" });
  await open.logged(/everyone who reaches this address/);
  await open.logged(/"listening"/);
  open.signal("SIGTERM");
  await using own = await startProcess();
  await own.url();
  own.signal("SIGTERM");
  expect(await open.exited).toBe(0);
  expect(await own.exited).toBe(0);
  expect(own.log()).not.toContain("everyone who reaches");
});
