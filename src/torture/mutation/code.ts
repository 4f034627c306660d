import { type AnyNode, type Comment, type Program, parse } from "acorn";
import { SkinkError } from "../../block/errors.ts";
import { Names } from "./names.ts";
import { stripTypes } from "./strip.ts";

/** A module as it is on disk. */
export interface SourceFile {
  /** A file URL. */
  readonly url: string;
  readonly text: string;
}

/** A node of the syntax tree (ESTree), and where it hangs. */
export interface Place {
  readonly node: AnyNode;
  /** The field of its parent that it is in; of the module itself, the empty string. */
  readonly key: string;
  readonly parent: Place | undefined;
}

/** A parsed module. Positions are UTF-16 code units of the text as it is on disk, types and comments included. */
export class Code {
  readonly text: string;
  /** Every node, each before what is in it, in the order of the text. */
  readonly places: readonly Place[];
  readonly names: Names;
  /** Without types and comments. */
  readonly #bare: string;

  /** Throws `bad-source` if it is no module that Node would load. */
  constructor({ url, text }: SourceFile) {
    const comments: Comment[] = [];
    const { program, stripped } = parseModule(url, text, comments);
    this.text = text;
    this.#bare = comments.reduce(blank, stripped);
    this.places = [...placesIn(program, "")];
    this.names = new Names(this.places);
  }

  /** As it is written; parentheses around it are not part of it. */
  of(node: AnyNode): string {
    return this.text.slice(node.start, node.end);
  }

  /** Where a symbol of the syntax is that stands between two nodes. */
  symbolBetween(left: AnyNode, symbol: string, right: AnyNode): { readonly start: number; readonly end: number } {
    const start = this.#bare.indexOf(symbol, left.end);
    if (start < 0 || start >= right.start)
      throw new Error(`There is no ${symbol} between ${left.end} and ${right.start}`);
    return { start, end: start + symbol.length };
  }
}

/** Whether Node would load it. */
export function isModule(url: string, text: string): boolean {
  try {
    parseModule(url, text);
    return true;
  } catch {
    return false;
  }
}

function parseModule(url: string, text: string, onComment: Comment[] = []): { program: Program; stripped: string } {
  try {
    const stripped = stripTypes(url, text);
    return { program: parse(stripped, { ecmaVersion: "latest", sourceType: "module", onComment }), stripped };
  } catch (error) {
    const [what] = error instanceof Error ? error.message.split("\n") : [String(error)];
    throw new SkinkError("bad-source", `Cannot parse ${url}: ${what}, a module that Node can load was wanted`);
  }
}

function blank(text: string, { start, end }: Comment): string {
  return text.slice(0, start) + " ".repeat(end - start) + text.slice(end);
}

function* placesIn(node: AnyNode, key: string, parent?: Place): Generator<Place> {
  const place = { node, key, parent };
  yield place;
  for (const [field, value] of Object.entries(node)) {
    for (const child of Array.isArray(value) ? value : [value]) if (isNode(child)) yield* placesIn(child, field, place);
  }
}

/** The nearest first. */
export function* ancestorsOf({ parent }: Place): Generator<AnyNode> {
  for (let place = parent; place !== undefined; place = place.parent) yield place.node;
}

function isNode(value: unknown): value is AnyNode {
  return typeof value === "object" && value !== null && "type" in value && "start" in value;
}
