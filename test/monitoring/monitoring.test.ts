/** What `docs/monitoring/` hands to operators: built on the metrics that a real service has, and read by Prometheus. */
import { beforeAll, describe, expect, test } from "bun:test";
import { join } from "node:path";
import dashboard from "../../docs/monitoring/dashboard.json" with { type: "json" };
import { postFile, postJson, send } from "../support/client.ts";
import { promtool, type Scraped, scrape } from "../support/metrics.ts";
import { startNvidiaFake } from "../support/nvidia-fake.ts";
import { makeJpeg } from "../support/pictures.ts";
import { reachingFakes, startService } from "../support/service.ts";
import { repositoryRoot } from "../support/source-files.ts";
import { alertCases, target } from "./alert-cases.ts";

interface Rule {
  readonly alert: string;
  readonly expr: string;
  readonly for?: string;
  readonly labels: { readonly severity: string };
  readonly annotations: { readonly summary: string; readonly description: string };
}

interface Rules {
  readonly groups: readonly { readonly name: string; readonly rules: readonly Rule[] }[];
}

const folder = join(repositoryRoot, "docs/monitoring");
let alerts: string;
let rules: readonly Rule[];
let readme: string;
let scraped: Scraped;

beforeAll(async () => {
  alerts = await Bun.file(join(folder, "alerts.yml")).text();
  rules = parseRules(alerts).groups.flatMap((group) => group.rules);
  readme = await Bun.file(join(folder, "README.md")).text();
  scraped = await scrapeBusyService();
});

function parseRules(yaml: string): Rules {
  return JSON.parse(JSON.stringify(Bun.YAML.parse(yaml)));
}

/** Scrapes a service that has done some of everything, so that every label has been there. */
async function scrapeBusyService(): Promise<Scraped> {
  const nvidia = startNvidiaFake();
  const service = await startService({ ...reachingFakes(nvidia), CACHE_MAX_BYTES: "100000000" });
  try {
    const jpeg = await makeJpeg();
    await postFile(service, jpeg, { query: "?model=clip-ViT-B-32" });
    await postFile(service, jpeg);
    await postJson(service, "/embed-text", { text: "a" });
    await postJson(service, "/upload", "{");
    const some = { model: "clip-ViT-B-32", input: ["a", { image: "!" }], on_error: "include" };
    await postJson(service, "/v1/embeddings", some);
    await send(service, "/readyz");
    return await scrape(service);
  } finally {
    await service.stop();
    await nvidia.stop();
  }
}

/** Every query of the dashboard, as Grafana sends it once its variables are chosen. */
const queries = dashboard.panels.flatMap((panel) => {
  const targets = "targets" in panel ? (panel.targets ?? []) : [];
  return targets.map(({ expr }) => ({
    panel: panel.title,
    expr: expr.replaceAll("$__rate_interval", "5m").replaceAll(/\$(job|instance)/g, ".*"),
  }));
});

/** Metrics with the labels that are asked for. */
function metricsOf(expr: string) {
  const found = [...expr.matchAll(/\b((?:imagesvc|process)_\w+)(?:\{([^}]*)\})?/g)];
  return found.map(([, name = "", selector = ""]) => ({
    name,
    labels: [...selector.matchAll(/(\w+)\s*(?:=~|!~|!=|=)/g)].map(([, label = ""]) => label),
  }));
}

/** What is asked for, but not there. */
function missing(expr: string): readonly string[] {
  const known = [...Object.keys(target), "le"];
  return metricsOf(expr).flatMap(({ name, labels }) => {
    const samples = scraped.samples.filter((sample) => sample.name === name);
    if (samples.length === 0) return [`nothing is called ${name}`];
    return labels
      .filter((label) => !known.includes(label) && !samples.some((one) => label in one.labels))
      .map((label) => `${name} has no label ${label}`);
  });
}

describe("the dashboard", () => {
  test("asks for metrics and labels that the service has", () => {
    expect(queries.length).toBeGreaterThan(30);
    expect(queries.flatMap(({ expr }) => missing(expr))).toEqual([]);
  });

  test("shows every metric of the service's own", () => {
    const shown = new Set(
      queries.flatMap(({ expr }) => metricsOf(expr)).map(({ name }) => baseOf(name)),
    );
    const own = metricNames().filter((name) => name.startsWith("imagesvc_"));
    expect(own.filter((name) => !shown.has(name))).toEqual([]);
  });

  test("asks in PromQL", async () => {
    const recorded = queries.map(({ expr }, index) => ({ record: `query_${index}`, expr }));
    const file = JSON.stringify({ groups: [{ name: "dashboard", rules: recorded }] });
    const checked = await promtool(["check", "rules", "queries.yml"], { "queries.yml": file });
    expect(checked ?? { code: 0 }).toMatchObject({ code: 0 });
  });

  test("takes its data source, job and instance from variables", () => {
    const names = dashboard.templating.list.map(({ name }) => name);
    expect(names).toEqual(["datasource", "job", "instance"]);
    const chosen = { type: "prometheus", uid: `\${datasource}` };
    for (const panel of dashboard.panels) {
      if (panel.type === "row") continue;
      expect(panel.datasource).toEqual(chosen);
      for (const one of panel.targets ?? []) {
        expect(one.datasource).toEqual(chosen);
        for (const [, selector] of one.expr.matchAll(/\b(?:imagesvc|process)_\w+(\{[^}]*\})?/g)) {
          expect(selector).toContain('job=~"$job", instance=~"$instance"');
        }
      }
    }
  });

  test("has the shape that Grafana imports: panels with their own ids and places", () => {
    expect(dashboard.schemaVersion).toBeGreaterThanOrEqual(36);
    const ids = dashboard.panels.map(({ id }) => id);
    expect(new Set(ids).size).toBe(ids.length);
    const taken = new Set<string>();
    for (const { gridPos, title } of dashboard.panels) {
      expect(gridPos.x + gridPos.w).toBeLessThanOrEqual(24);
      for (let x = gridPos.x; x < gridPos.x + gridPos.w; x++) {
        for (let y = gridPos.y; y < gridPos.y + gridPos.h; y++) {
          expect({ title, place: taken.has(`${x},${y}`) }).toEqual({ title, place: false });
          taken.add(`${x},${y}`);
        }
      }
    }
  });
});

describe("the alerts", () => {
  test("look at metrics and labels that the service has", () => {
    expect(rules.length).toBeGreaterThan(10);
    expect(rules.flatMap(({ expr }) => missing(expr))).toEqual([]);
  });

  test("promtool finds nothing wrong with the rules", async () => {
    const checked = await promtool(["check", "rules", "alerts.yml"], { "alerts.yml": alerts });
    expect(checked ?? { code: 0 }).toMatchObject({ code: 0 });
  });

  test("each says what is wrong and what to do, and has a case that it fires at", () => {
    for (const { annotations } of rules) {
      expect(annotations.summary).toMatch(/\$labels\.\w+/);
      expect(annotations.description).toMatch(/\.$/);
    }
    const names = rules.map(({ alert }) => alert);
    expect(alertCases.map(({ alert }) => alert).sort()).toEqual(names.sort());
  });

  test("each fires where it should, and not where it nearly should", async () => {
    // Its words are no matter here.
    const bare = rules.map(({ annotations, ...rule }) => rule);
    const files = {
      "rules.yml": JSON.stringify({ groups: [{ name: "imagesvc", rules: bare }] }),
      "cases.yml": JSON.stringify({
        rule_files: ["rules.yml"],
        evaluation_interval: "1m",
        tests: alertCases.flatMap(({ alert, at, fires, labels, quiet }) => {
          const severity = rules.find((rule) => rule.alert === alert)?.labels.severity;
          const fired = [{ exp_labels: { ...target, ...labels, severity } }];
          return [[fires, fired] as const, [quiet, []] as const].map(([series, exp_alerts]) => ({
            interval: "1m",
            input_series: Object.entries(series).map(([name, values]) => ({
              series: name,
              values,
            })),
            alert_rule_test: [{ alertname: alert, eval_time: at, exp_alerts }],
          }));
        }),
      }),
    };
    const tested = await promtool(["test", "rules", "cases.yml"], files);
    expect(tested ?? { code: 0, said: "" }).toMatchObject({ code: 0 });
  });
});

describe("the documents", () => {
  test("name every metric, with its kind and what it says", () => {
    const rows = [...scraped.text.matchAll(/^# HELP (\S+) (.*)\n# TYPE \S+ (\w+)$/gm)].map(
      ([, name, help, kind]) => `| \`${name}\` | ${kind} | ${help} |`,
    );
    expect(rows.filter((row) => !readme.includes(row))).toEqual([]);
    const named = [...readme.matchAll(/^\| `((?:imagesvc|process)_\w+)` \|/gm)].map(
      ([, name]) => name,
    );
    expect(named).toEqual(metricNames());
  });

  test("name every alert", () => {
    const named = [...readme.matchAll(/^\| `(Imagesvc\w+)` \|/gm)].map(([, name]) => name);
    expect(named).toEqual(rules.map(({ alert }) => alert));
  });
});

function metricNames(): string[] {
  return [...scraped.text.matchAll(/^# TYPE (\S+) /gm)].map(([, name = ""]) => name);
}

/** A histogram's name, whichever of its three series is named. */
function baseOf(name: string): string {
  const base = name.replace(/_(bucket|sum|count)$/, "");
  return metricNames().includes(base) ? base : name;
}
