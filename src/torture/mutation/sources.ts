import { existsSync, readFileSync } from "node:fs";
import { extname } from "node:path";
import type { AnyNode } from "acorn";
import { Code, type SourceFile } from "./code.ts";

const MODULE = /\.m?[jt]s$/;
/** Skink's own rooms. What a driver stands on is not the driver. */
const SKINK = new URL("../../", import.meta.url).href;
const ROOMS_OF_DRIVERS = ["drivers/", "layers/"].map((room) => SKINK + room);

/**
 * The driver's own source: the entry, and the modules that it imports by relative path, at once or later or as threads, and what those
 * import, in that order. Not packages, and not what Skink lends its drivers. `module`: a file URL. Throws `bad-source` where one of them
 * can't be parsed, and the system's error if the entry can't be read.
 */
export function sourcesOf(module: string): readonly SourceFile[] {
  const sources = new Map<string, SourceFile>();
  const urls = [new URL(module).href];
  for (const url of urls) {
    if (sources.has(url)) continue;
    const source = { url, text: readFileSync(new URL(url), "utf8") };
    sources.set(url, source);
    urls.push(...importsOf(source).filter(isOwn));
  }
  return [...sources.values()];
}

function isOwn(url: string): boolean {
  const isLent = url.startsWith(SKINK) && !ROOMS_OF_DRIVERS.some((room) => url.startsWith(room));
  return !isLent && MODULE.test(url) && existsSync(new URL(url));
}

function importsOf(source: SourceFile): string[] {
  const specifiers = new Code(source).places.flatMap(({ node }) => specifierIn(node, extname(source.url)) ?? []);
  return specifiers.filter(isRelative).map((specifier) => new URL(specifier, source.url).href);
}

function isRelative(specifier: string): boolean {
  return /^\.\.?\//.test(specifier) && !specifier.includes("/node_modules/");
}

function specifierIn(node: AnyNode, extension: string): string | undefined {
  switch (node.type) {
    case "ImportDeclaration":
    case "ExportNamedDeclaration":
    case "ExportAllDeclaration":
    case "ImportExpression":
      return node.source ? textOf(node.source, extension) : undefined;
    case "NewExpression": {
      const [path, base] = node.arguments;
      const isUrl = node.callee.type === "Identifier" && node.callee.name === "URL";
      return isUrl && path !== undefined && base !== undefined && isImportMetaUrl(base)
        ? textOf(path, extension)
        : undefined;
    }
    default:
      return undefined;
  }
}

function isImportMetaUrl(node: AnyNode): boolean {
  return node.type === "MemberExpression" && node.object.type === "MetaProperty";
}

/** A template that ends in something computed is taken to end as the importer does: so is a file named that is also built. */
function textOf(node: AnyNode, extension: string): string | undefined {
  if (node.type === "Literal") return typeof node.value === "string" ? node.value : undefined;
  if (node.type !== "TemplateLiteral") return undefined;
  const [start, end] = node.quasis.map(({ value }) => value.cooked ?? "");
  if (node.expressions.length === 0) return start;
  return node.expressions.length === 1 && end === "" ? `${start}${extension}` : undefined;
}
