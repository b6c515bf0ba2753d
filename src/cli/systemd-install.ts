/** `imagesvc systemd --install`: puts the unit in its place and the service to work. */
import { mkdir, open, readFile, rename, rm, stat } from "node:fs/promises";
import { join } from "node:path";
import { diffLines } from "./line-diff.ts";
import { environmentOf, lastValue, maskSecrets, unitLines } from "./old-unit.ts";
import { boundFolders, executableFault, type UnitOptions, unitText } from "./systemd-unit.ts";

/** A program that has ended. */
export interface Finished {
  readonly code: number;
  readonly output: string;
  readonly errors: string;
}

/** What an installation needs of its host. */
export interface Host {
  /** Folder of the units that an administrator writes. */
  readonly unitFolder: string;
  /** Folder of the settings and credentials. */
  readonly settingsFolder: string;
  readonly isRoot: boolean;
  /** Whether systemd is this host's first process. */
  readonly runsSystemd: boolean;
  readonly now: () => Date;
  /** Runs a program, such as `["systemctl", "daemon-reload"]`, to its end. */
  readonly run: (command: readonly string[]) => Promise<Finished>;
  /** Tells a person one line. */
  readonly tell: (line: string) => void;
}

const unitName = "imagesvc.service";
const keyName = "nvidia_api_key";

/**
 * Writes the unit, has systemd read it, and enables and starts the service. A unit of that name that says
 * something else is shown as a diff, and replaced only if `isForced`: then it is kept as a backup, and its
 * NVIDIA key goes into a file that only root can read.
 *
 * @returns whether the service runs now.
 * @throws Error with one sentence for what keeps it from being installed.
 */
export async function installUnit(
  options: UnitOptions,
  isForced: boolean,
  host: Host,
): Promise<boolean> {
  await assertInstallable(options, host);
  const path = join(host.unitFolder, unitName);
  const unit = unitText(options);
  const old = await readIfThere(path);
  if (old === unit) {
    host.tell(`${path} is there already, and the same.`);
  } else {
    if (old !== undefined) {
      showDiff(old, unit, path, host);
      if (!isForced) return refuse(old, options, host);
      await carryKeyOver(old, host);
      await backUp(path, old, host);
    }
    await writeWhole(path, unit, 0o644);
    host.tell(`Written: ${path}`);
  }
  return await startService(old !== unit, host);
}

async function assertInstallable(options: UnitOptions, host: Host): Promise<void> {
  const { executable, user, group } = options;
  if (!host.isRoot)
    throw new Error("only root may install a unit: put sudo in front of the same command");
  if (!host.runsSystemd) {
    throw new Error(
      "systemd does not run this host: imagesvc systemd prints the unit for one where it does",
    );
  }
  const fault = executableFault(executable);
  if (fault !== undefined) throw new Error(fault);
  if (((await stat(executable)).mode & 0o005) !== 0o005) {
    throw new Error(`the service's user may not run ${executable}: sudo chmod 0755 ${executable}`);
  }
  if (user !== undefined && !(await isKnown("passwd", user, host))) {
    throw new Error(
      `there is no user ${user}: sudo useradd --system ${user}, or name another with --user`,
    );
  }
  if (group !== undefined && !(await isKnown("group", group, host))) {
    throw new Error(
      `there is no group ${group}: sudo groupadd --system ${group}, or leave --group away`,
    );
  }
  for (const { flag, path } of boundFolders(options)) {
    if (await isFolder(path)) continue;
    throw new Error(`${flag}: there is no folder ${path}: sudo install -d -o ${user} ${path}`);
  }
}

async function isKnown(database: "passwd" | "group", name: string, host: Host): Promise<boolean> {
  return (await host.run(["getent", database, name])).code === 0;
}

async function isFolder(path: string): Promise<boolean> {
  return await stat(path).then(
    (found) => found.isDirectory(),
    () => false,
  );
}

async function readIfThere(path: string): Promise<string | undefined> {
  try {
    return await readFile(path, "utf8");
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "ENOENT") return undefined;
    throw error;
  }
}

function showDiff(old: string, unit: string, path: string, { tell }: Host): void {
  tell(`${path} is there already. What would change:`);
  for (const { sign, line } of diffLines(unitLines(old), unitLines(unit))) {
    tell(`${sign} ${sign === "-" ? maskSecrets(line) : line}`.trimEnd());
  }
}

function refuse(old: string, options: UnitOptions, { tell }: Host): false {
  const kept = [
    ["--user", lastValue(old, "User"), options.user],
    ["--working-directory", lastValue(old, "WorkingDirectory"), options.workingDirectory],
  ].flatMap(([flag, there, wanted]) =>
    there === undefined || there === wanted ? [] : [`${flag} ${there}`],
  );
  if (kept.length > 0) tell(`To keep its user and folder, add: ${kept.join(" ")}`);
  tell(
    "Nothing was changed. With --force it is replaced: a backup stays beside it, and its NVIDIA_API_KEY is carried over.",
  );
  return false;
}

/** What the old unit's `Environment=` gave, the new one takes from files. */
async function carryKeyOver(old: string, { settingsFolder, tell }: Host): Promise<void> {
  const { NVIDIA_API_KEY: key = "", ...others } = Object.fromEntries(environmentOf(old));
  const names = Object.keys(others);
  if (names.length > 0) {
    tell(
      `Not carried over: ${names.join(", ")}. Settings belong into ${join(settingsFolder, "environment")}.`,
    );
  }
  if (key === "") return;
  const path = join(settingsFolder, keyName);
  if ((await readIfThere(path))?.trim()) {
    tell(`Kept: ${path} holds a key already; the old unit's is only in its backup.`);
    return;
  }
  await mkdir(settingsFolder, { recursive: true, mode: 0o755 });
  await writeWhole(path, `${key}\n`, 0o600);
  tell(`Written: ${path}, with the key of the old unit; only root can read it.`);
}

async function backUp(path: string, old: string, { now, tell }: Host): Promise<void> {
  const stamp = now()
    .toISOString()
    .replaceAll(/[-:]|\.\d+/g, "");
  const backup = `${path}.bak-${stamp}`;
  await writeWhole(backup, old, 0o600);
  tell(`Backup: ${backup}`);
}

/** Nobody sees half a file, not even after a power cut. */
async function writeWhole(path: string, text: string, mode: number): Promise<void> {
  const temporary = `${path}.new-${process.pid}`;
  const file = await open(temporary, "wx", mode);
  try {
    await file.writeFile(text);
    await file.chmod(mode);
    await file.sync();
    await rename(temporary, path);
  } catch (error) {
    await rm(temporary, { force: true });
    throw error;
  } finally {
    await file.close();
  }
}

async function startService(isChanged: boolean, host: Host): Promise<boolean> {
  await systemctl(host, "daemon-reload");
  await systemctl(host, "enable", unitName);
  const isActive = (await host.run(["systemctl", "is-active", "--quiet", unitName])).code === 0;
  if (isActive && !isChanged) {
    host.tell(`It runs. After an upgrade: sudo systemctl restart ${unitName}`);
    return true;
  }
  const verb = isActive ? "restart" : "start";
  host.tell(`systemctl ${verb} ${unitName}`);
  const started = await host.run(["systemctl", verb, unitName]);
  const { output: state } = await host.run(["systemctl", "is-active", unitName]);
  if (started.code === 0 && state.trim() === "active") {
    host.tell(`It runs, and starts with the host. Its log: journalctl -u ${unitName} -f`);
    return true;
  }
  const log = await host.run(["journalctl", "-u", unitName, "-n", "20", "--no-pager", "-o", "cat"]);
  host.tell(`It did not start (${state.trim() || "unknown"}). The end of its log:`);
  for (const line of log.output.trimEnd().split("\n")) host.tell(`  ${line}`);
  return false;
}

async function systemctl(host: Host, ...words: readonly string[]): Promise<void> {
  host.tell(`systemctl ${words.join(" ")}`);
  const { code, errors } = await host.run(["systemctl", ...words]);
  if (code !== 0) throw new Error(`systemctl ${words.join(" ")} failed: ${errors.trim()}`);
}
