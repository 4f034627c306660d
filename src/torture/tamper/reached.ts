import { type AnyNode, parse } from "acorn";
import { REACHED } from "./load-changed.ts";

/**
 * A module's JavaScript with a call of `REACHED` before the smallest statement, or in the smallest body of an arrow function,
 * that has all of the code from `start` to `end` in it. What can't be parsed gets the call at its top.
 */
export function withMark(code: string, start: number, end: number): string {
  let program: AnyNode;
  try {
    program = parse(code, { ecmaVersion: "latest", sourceType: "module" });
  } catch {
    return marked(code, 0);
  }
  const place = innermost(program, start, end);
  if (place === undefined) return marked(code, 0);
  if (place.type === "list") return marked(code, place.at);
  const { node } = place;
  const [open, close] = place.type === "statement" ? [`{ ${REACHED}(); `, " }"] : [`(${REACHED}(), `, ")"];
  return `${code.slice(0, node.start)}${open}${code.slice(node.start, node.end)}${close}${code.slice(node.end)}`;
}

/** Where a call can be put: into a list of statements, or around the one statement or expression that is allowed at its place. */
type Place =
  | { readonly type: "list"; readonly at: number }
  | { readonly type: "statement"; readonly node: AnyNode }
  | { readonly type: "expression"; readonly node: AnyNode };

function innermost(node: AnyNode, start: number, end: number): Place | undefined {
  for (const child of childrenOf(node)) {
    if (child.start > start || child.end < end) continue;
    const inner = innermost(child, start, end) ?? placeAt(node, child);
    if (inner !== undefined) return inner;
  }
  if (statementsOf(node) === undefined) return undefined;
  // Between its statements, where there may have been another one; of a block that is itself what was changed, within it.
  return { type: "list", at: node.type === "BlockStatement" && node.start === start ? start + 1 : start };
}

/** What a call before `child` of `node` would be. */
function placeAt(node: AnyNode, child: AnyNode): Place | undefined {
  if (statementsOf(node)?.includes(child) === true) return { type: "list", at: child.start };
  if (child.type === "BlockStatement") return undefined;
  switch (node.type) {
    case "IfStatement":
      return child === node.test ? undefined : { type: "statement", node: child };
    case "ForStatement":
    case "ForInStatement":
    case "ForOfStatement":
    case "WhileStatement":
    case "DoWhileStatement":
      return child === node.body ? { type: "statement", node: child } : undefined;
    case "ArrowFunctionExpression":
      return child === node.body ? { type: "expression", node: child } : undefined;
    default:
      return undefined;
  }
}

function statementsOf(node: AnyNode): readonly AnyNode[] | undefined {
  switch (node.type) {
    case "Program":
    case "BlockStatement":
    case "StaticBlock":
      return node.body;
    case "SwitchCase":
      return node.consequent;
    default:
      return undefined;
  }
}

/** Later ones first: what is deleted leaves a point, and that belongs to what follows rather than to what precedes it. */
function childrenOf(node: AnyNode): AnyNode[] {
  return Object.values(node)
    .flat()
    .filter((value): value is AnyNode => typeof value === "object" && value !== null && "type" in value)
    .sort((one, other) => other.start - one.start);
}

function marked(code: string, at: number): string {
  return `${code.slice(0, at)}${REACHED}(); ${code.slice(at)}`;
}
