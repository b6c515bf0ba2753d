/** The software bill of materials: CycloneDX 1.6, in JSON. */
import { createHash } from "node:crypto";
import { Contrib, Enums, Models, Serialize, Spec } from "@cyclonedx/cyclonedx-library";
import parseSpdx from "spdx-expression-parse";
import type { BuildFacts } from "./facts.ts";
import type { Component } from "./inventory.ts";
import type { Arch } from "./platform.ts";

/** One executable that is described. */
interface Described {
  readonly facts: BuildFacts;
  readonly arch: Arch;
  readonly components: readonly Component[];
  /** Seconds since 1970: the commit's time, for a clock would make every document another. */
  readonly commitTime: number;
}

const licenses = new Contrib.License.Factories.LicenseFactory(parseSpdx);

/**
 * Writes the bill of one executable: its packages, and the libraries that are linked into them.
 *
 * @returns the same text for the same commit and packages.
 * @see https://cyclonedx.org/docs/1.6/json/
 */
export function writeSbom({ facts, arch, components, commitTime }: Described): string {
  const bom = new Models.Bom();
  bom.serialNumber = serialNumber(facts.commit, arch, components);
  bom.metadata.timestamp = new Date(commitTime * 1000);
  const program = new Models.Component(Enums.ComponentType.Application, "imagesvc", {
    bomRef: "imagesvc",
    version: facts.version,
  });
  program.licenses.add(licenses.makeFromString("MIT"));
  bom.metadata.component = program;
  for (const component of components) {
    const packed = packageComponent(component, arch);
    bom.components.add(packed);
    program.dependencies.add(packed.bomRef);
  }
  const normalizers = new Serialize.JSON.Normalize.Factory(Spec.Spec1dot6);
  const serializer = new Serialize.JsonSerializer(normalizers);
  return `${serializer.serialize(bom, { sortLists: true, space: 2 })}\n`;
}

function packageComponent(component: Component, arch: Arch): Models.Component {
  const { name, version, license, integrity, libraries } = component;
  const slash = name.startsWith("@") ? name.indexOf("/") : -1;
  const purl = packageUrl(component, arch);
  const packed = new Models.Component(Enums.ComponentType.Library, name.slice(slash + 1), {
    bomRef: purl,
    version,
    purl,
    ...(slash !== -1 && { group: name.slice(0, slash) }),
  });
  packed.licenses.add(licenses.makeFromString(license));
  if (integrity !== undefined) {
    const sha512 = Buffer.from(integrity.replace("sha512-", ""), "base64").toString("hex");
    packed.hashes.set(Enums.HashAlgorithm["SHA-512"], sha512);
  }
  for (const library of libraries) {
    const linked = new Models.Component(Enums.ComponentType.Library, library.name, {
      bomRef: `${purl}#${library.name}`,
      ...(library.version !== undefined && { version: library.version }),
    });
    linked.licenses.add(licenses.makeFromString(library.license));
    packed.components.add(linked);
  }
  return packed;
}

/** @see https://github.com/package-url/purl-spec, type `npm`: a scope's `@` is escaped. */
function packageUrl({ name, version }: Component, arch: Arch): string {
  const bun = `@oven/bun-linux-${arch === "x64" ? "x64" : "aarch64"}`;
  return `pkg:npm/${(name === "bun" ? bun : name).replace("@", "%40")}@${version}`;
}

/** A UUID that is made from what is described (version 8 of RFC 9562) in place of chance. */
function serialNumber(commit: string, arch: Arch, components: readonly Component[]): string {
  const described = JSON.stringify([commit, arch, components]);
  const hex = createHash("sha256").update(described).digest("hex");
  const uuid = hex.replace(
    /^(.{8})(.{4}).(.{3}).(.{3})(.{12}).*$/,
    (_, a: string, b: string, c: string, d: string, e: string) => `${a}-${b}-8${c}-8${d}-${e}`,
  );
  return `urn:uuid:${uuid}`;
}
