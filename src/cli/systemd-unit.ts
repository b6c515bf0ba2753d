/**
 * The text of the systemd unit. It keeps to what systemd 252 knows (Debian 12, Amazon Linux 2023); what each
 * line costs stands in `systemd/README.md`.
 */
import { resolve } from "node:path";
import { flagOf, type SettingName, settingNames } from "../config.ts";
import { limits } from "../limits.ts";

/** Where the executable lies, unless another runs. */
export const installedExecutable = "/usr/local/bin/imagesvc";
/** Where the unit finds its settings and credentials. */
export const settingsFolder = "/etc/imagesvc";
/** Folders that systemd makes for it. */
const stateFolder = "/var/lib/imagesvc";
const cacheFolder = "/var/cache/imagesvc";

/** What differs from host to host. */
export interface UnitOptions {
  /** Absolute path. */
  readonly executable: string;
  /** A user that exists; undefined for one that lives as long as the service runs. */
  readonly user: string | undefined;
  /** Undefined for the user's own. */
  readonly group: string | undefined;
  /** Absolute path of the folder with `models/` and `downloads/`; undefined for `/var/lib/imagesvc`. Empty is a fault. */
  readonly workingDirectory: string | undefined;
  /** Texts of the settings that become flags of `serve`. */
  readonly flags: Readonly<Partial<Record<SettingName, string>>>;
}

/** Settings whose folders the service writes to. */
const folderSettings = ["MODELS_DIR", "DOWNLOADS_DIR", "CACHE_DIR"] as const;

/** Settings of what the service reads, and what to do where the sandbox hides that. */
const readSettings = [
  ["NVIDIA_API_KEY_FILE", credentialMend("nvidia_api_key")],
  ["API_KEYS_FILE", credentialMend("api_keys")],
  ["NATIVE_DIR", "copy it to /usr/local/lib/imagesvc, and name that"],
] as const;

/** Where home folders lie: all of it is hidden from the service but what it needs. */
const homes = /^\/(?:home|root|run\/user)(?:\/|$)/;
/** Folders that every service has for itself. */
const privateFolders = /^\/(?:tmp|var\/tmp)(?:\/|$)/;

/** One sentence with the mend for options that make no unit; undefined where they make one. */
export function unitFault(options: UnitOptions): string | undefined {
  const { user, group, workingDirectory, flags } = options;
  for (const [flag, name] of Object.entries({ "--user": user, "--group": group })) {
    if (name !== undefined && !/^[A-Za-z_][\w.-]{0,30}$/.test(name)) {
      return `${flag} must be a name of letters, digits, dots, dashes and underscores`;
    }
  }
  if (user === undefined && group !== undefined) return "--group needs --user: say whose it is";
  if (workingDirectory === "") return "--working-directory is empty: name the service's folder";
  const texts = [workingDirectory, ...Object.values(flags)];
  if (texts.some((text) => /\p{Cc}/u.test(text ?? ""))) {
    return "a flag's value must be one line without control characters";
  }
  for (const folder of boundFolders(options)) {
    const fault = boundFault(folder, user);
    if (fault !== undefined) return fault;
  }
  return hiddenFault(options);
}

/** A folder that is bound into the sandbox, where the service may write to it. */
interface BoundFolder {
  readonly flag: string;
  /** Absolute and without `..`. */
  readonly path: string;
}

/** The folders that must be there before the service starts: those of the options that systemd does not make. */
export function boundFolders({ workingDirectory, flags }: UnitOptions): readonly BoundFolder[] {
  const working = workingDirectory ?? stateFolder;
  const given = folderSettings.map((name) => ({
    flag: flagOf(name),
    path: resolve(working, flags[name] ?? ""),
  }));
  const elsewhere = given.filter(
    ({ path }) => !isWithin(path, working) && !isWithin(path, cacheFolder),
  );
  return workingDirectory === undefined
    ? elsewhere
    : [{ flag: "--working-directory", path: workingDirectory }, ...elsewhere];
}

function boundFault({ flag, path }: BoundFolder, user: string | undefined): string | undefined {
  if (user === undefined) {
    return `${flag} needs --user: say who owns the folder and may write to it`;
  }
  if (path === "/")
    return `${flag} must not be the whole host: name a folder such as ${stateFolder}`;
  if (privateFolders.test(path)) {
    return `${flag} must not lie in /tmp or /var/tmp, of which the service has its own: name a folder such as ${stateFolder}`;
  }
  return path.includes(":") ? `${flag} must be a path without a colon` : undefined;
}

/** The sandbox shows no part of a home but the folders that are bound. */
function hiddenFault(options: UnitOptions): string | undefined {
  const { workingDirectory = stateFolder, flags } = options;
  const bound = boundFolders(options);
  for (const [name, mend] of readSettings) {
    const path = resolve(workingDirectory, flags[name] ?? "");
    if (isHidden(path) && !bound.some((folder) => isWithin(path, folder.path))) {
      return `${flagOf(name)} lies in a home or temporary folder, which the service does not see: ${mend}`;
    }
  }
  return undefined;
}

function credentialMend(name: string): string {
  return `put it at ${settingsFolder}/${name}, from where it comes as a credential, and leave the flag away`;
}

function isHidden(path: string): boolean {
  return homes.test(path) || privateFolders.test(path);
}

function isWithin(path: string, folder: string): boolean {
  return path === folder || path.startsWith(`${folder}/`);
}

/** Why a service could not run an executable that lies there, in one sentence; undefined where it can. */
export function executableFault(path: string): string | undefined {
  if (!isHidden(path)) return undefined;
  return `the service sees no home or temporary folders, so it could not run ${path}: sudo install -m 0755 ${path} ${installedExecutable}, and call that`;
}

/**
 * Writes the unit.
 *
 * @param options without a fault; see `unitFault`.
 * @see systemd.service(5), systemd.exec(5), systemd.resource-control(5)
 */
export function unitText(options: UnitOptions): string {
  return `[Unit]
Description=imagesvc: image embeddings over HTTP
Wants=network-online.target
After=network-online.target
# Never given up, however often it fails.
StartLimitIntervalSec=0

[Service]
Type=notify
# At an upgrade the new process says that it is the main one now.
NotifyAccess=all
ExecStart=${commandLine(options)}
ExecReload=/bin/kill -HUP $MAINPID
Restart=always
RestartSec=5
# A service that hangs tells no watchdog that it lives, and is started anew.
WatchdogSec=60
# What is under way may finish, in at most ${Math.ceil(limits.shutdownTimeoutMs / 1000)} s.
TimeoutStopSec=35

# Settings, one NAME=value a line.
EnvironmentFile=-${settingsFolder}/environment
# Bun obeys these two, which are no settings of ours.
UnsetEnvironment=BUN_BE_BUN BUN_OPTIONS
# Secrets, in files that only root can read. The blank defaults count as none.
LoadCredential=nvidia_api_key:${settingsFolder}/nvidia_api_key
SetCredential=nvidia_api_key:\\n
LoadCredential=api_keys:${settingsFolder}/api_keys
SetCredential=api_keys:\\n

${section([...ownerLines(options), ...folderLines(options), "UMask=0077"])}

# Bounds. A worker takes 350 MB, and 300 MB more while it reads the largest picture; a fifth is the host's.
MemoryMax=80%
OOMPolicy=kill
TasksMax=512
LimitNOFILE=65536
# Pictures and keys are in memory.
LimitCORE=0

# Sandbox: imagesvc reads the host, writes its own folders, and talks over the network.
# MemoryDenyWriteExecute= must stay off: JavaScript is compiled as it runs.
${section([...privilegeLines(options), ...sandboxLines])}

[Install]
WantedBy=multi-user.target
`;
}

function section(lines: readonly string[]): string {
  return lines.join("\n");
}

function commandLine({ executable, flags }: UnitOptions): string {
  const given = settingNames.flatMap((name) => {
    const text = flags[name];
    return text === undefined ? [] : [`${flagOf(name)}=${text}`];
  });
  return [executable, "serve", ...given].map(argument).join(" ");
}

function ownerLines({ user, group }: UnitOptions): string[] {
  if (user === undefined)
    return ["# A user who exists as long as the service runs.", "DynamicUser=yes", "User=imagesvc"];
  return [`User=${user}`, ...(group === undefined ? [] : [`Group=${group}`])];
}

/** `$STATE_DIRECTORY` would win over the working folder: there is one or the other. */
function folderLines(options: UnitOptions): string[] {
  const { workingDirectory } = options;
  const state =
    workingDirectory === undefined
      ? ["StateDirectory=imagesvc", "StateDirectoryMode=0700", "WorkingDirectory=%S/imagesvc"]
      : [`WorkingDirectory=${withoutSpecifiers(workingDirectory)}`];
  return [
    ...state,
    "CacheDirectory=imagesvc",
    "CacheDirectoryMode=0700",
    ...boundFolders(options).map(({ path }) => `BindPaths=${word(path)}`),
  ];
}

/** A port below 1024 is a privilege of the host's own users, which a user namespace has not. */
function privilegeLines(options: UnitOptions): string[] {
  const port = Number(options.flags.PORT ?? 8000);
  const capability = port > 0 && port < 1024 ? "CAP_NET_BIND_SERVICE" : "";
  const seesHomes = boundFolders(options).some(({ path }) => homes.test(path));
  return [
    `CapabilityBoundingSet=${capability}`,
    `AmbientCapabilities=${capability}`,
    `PrivateUsers=${capability === "" ? "yes" : "no"}`,
    // An empty /home of its own, in which BindPaths= shows the folder.
    `ProtectHome=${seesHomes ? "tmpfs" : "yes"}`,
  ];
}

/** The same on every host. */
const sandboxLines = [
  "NoNewPrivileges=yes",
  "ProtectSystem=strict",
  "PrivateTmp=yes",
  "PrivateDevices=yes",
  "PrivateMounts=yes",
  "ProtectClock=yes",
  "ProtectControlGroups=yes",
  "ProtectHostname=yes",
  "ProtectKernelLogs=yes",
  "ProtectKernelModules=yes",
  "ProtectKernelTunables=yes",
  "ProtectProc=invisible",
  "KeyringMode=private",
  "LockPersonality=yes",
  "RemoveIPC=yes",
  "RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6 AF_NETLINK",
  "RestrictNamespaces=yes",
  "RestrictRealtime=yes",
  "RestrictSUIDSGID=yes",
  "SystemCallArchitectures=native",
  "SystemCallFilter=@system-service",
  "SystemCallFilter=~@privileged @resources",
  // Worker threads give way to the main thread.
  "SystemCallFilter=setpriority",
  "SystemCallErrorNumber=EPERM",
];

/** One word of `ExecStart=`, which also expands variables. */
function argument(text: string): string {
  return word(text).replaceAll("$", "$$$$");
}

/** One word of a line that is split at spaces; systemd.syntax(7), "Quoting". */
function word(text: string): string {
  const escaped = withoutSpecifiers(text);
  return /^[\w@%+=:,./$-]+$/.test(text) ? escaped : `"${escaped.replaceAll(/["\\]/g, "\\$&")}"`;
}

/** `%` begins a specifier. */
function withoutSpecifiers(text: string): string {
  return text.replaceAll("%", "%%");
}
