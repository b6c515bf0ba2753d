/** `imagesvc systemd`: the systemd unit for this host. */
import { existsSync } from "node:fs";
import { resolve } from "node:path";
import { messageOf } from "../errors.ts";
import { embedded } from "../native/embedded.ts";
import type { CommandCall, Environment } from "./command-call.ts";
import { type Finished, type Host, installUnit } from "./systemd-install.ts";
import {
  executableFault,
  installedExecutable,
  settingsFolder,
  type UnitOptions,
  unitFault,
  unitText,
} from "./systemd-unit.ts";

/** Prints the unit, or installs it. */
export async function runSystemd(call: CommandCall): Promise<number> {
  const isInstallation = call.options.has("install");
  const isForced = call.options.has("force");
  const options = unitOptions(call);
  const fault = isForced && !isInstallation ? "--force needs --install" : unitFault(options);
  if (fault !== undefined) {
    call.tell(`imagesvc: ${fault}`);
    return 2;
  }
  if (isInstallation) return await install(options, isForced, call);
  await call.print(unitText(options));
  const warning = executableFault(options.executable);
  if (warning !== undefined) call.tell(`imagesvc: ${warning}`);
  return 0;
}

function unitOptions({ options, flags }: CommandCall): UnitOptions {
  const text = (name: string) => {
    const given = options.get(name);
    return typeof given === "string" ? given : undefined;
  };
  const folder = text("working-directory");
  return {
    executable: embedded === undefined ? installedExecutable : process.execPath,
    user: text("user"),
    group: text("group"),
    workingDirectory: folder ? resolve(folder) : folder,
    flags,
  };
}

async function install(
  options: UnitOptions,
  isForced: boolean,
  call: CommandCall,
): Promise<number> {
  if (embedded === undefined) {
    call.tell(
      `imagesvc: a unit runs the executable: bun run build, sudo install -m 0755 dist/imagesvc ${installedExecutable}, and sudo ${installedExecutable} systemd --install`,
    );
    return 1;
  }
  try {
    if (await installUnit(options, isForced, thisHost(call))) return 0;
  } catch (error) {
    call.tell(`imagesvc: ${messageOf(error)}`);
  }
  return call.interrupted.aborted ? 130 : 1;
}

function thisHost({ environment, tell }: CommandCall): Host {
  return {
    unitFolder: "/etc/systemd/system",
    settingsFolder,
    isRoot: process.getuid?.() === 0,
    // sd_booted(3)
    runsSystemd: existsSync("/run/systemd/system"),
    now: () => new Date(),
    run: (command) => runProgram(command, environment),
    tell,
  };
}

/**
 * Runs a program to its end.
 *
 * @param environment has the `PATH` where it is looked for.
 * @throws Error that names it, if there is none.
 */
export async function runProgram(
  command: readonly string[],
  environment: Environment,
): Promise<Finished> {
  const child = Bun.spawn([...command], {
    env: environment,
    stdin: "ignore",
    stdout: "pipe",
    stderr: "pipe",
  });
  const [output, errors, code] = await Promise.all([
    new Response(child.stdout).text(),
    new Response(child.stderr).text(),
    child.exited,
  ]);
  return { code, output, errors };
}
