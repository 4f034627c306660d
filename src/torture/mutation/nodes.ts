/** Questions that several operators ask about a node. */
import type { AnyNode, ArrowFunctionExpression, CallExpression, FunctionExpression, NewExpression } from "acorn";
import { ancestorsOf, type Place } from "./code.ts";

/** Methods that write to what they are called on, and return nothing that anybody needs. */
const WRITING_METHODS = new Set(["set", "fill", "push", "unshift", "add", "delete", "copyWithin"]);

export function isLoop(node: AnyNode): boolean {
  return ["ForStatement", "WhileStatement", "DoWhileStatement"].includes(node.type);
}

/** What a statement, a loop or `?:` decides by. */
export function testOf(node: AnyNode): AnyNode | undefined {
  switch (node.type) {
    case "IfStatement":
    case "ConditionalExpression":
    case "ForStatement":
    case "WhileStatement":
    case "DoWhileStatement":
      return node.test ?? undefined;
    default:
      return undefined;
  }
}

export function isString(node: AnyNode): boolean {
  if (node.type === "TemplateLiteral") return true;
  if (node.type === "Literal") return typeof node.value === "string";
  return node.type === "BinaryExpression" && node.operator === "+" && (isString(node.left) || isString(node.right));
}

/** `a + b` or `a - b`, of numbers. */
export function isSum(node: AnyNode): boolean {
  return node.type === "BinaryExpression" && (node.operator === "+" || node.operator === "-") && !isString(node);
}

/** The call, whatever is around it that doesn't matter: `await`, `?.`. */
export function callIn(node: AnyNode | null | undefined): CallExpression | NewExpression | undefined {
  if (node?.type === "AwaitExpression") return callIn(node.argument);
  if (node?.type === "ChainExpression") return callIn(node.expression);
  return node?.type === "CallExpression" || node?.type === "NewExpression" ? node : undefined;
}

/** `x` of `x.method(…)`, if the method is one of these. */
export function receiverOf(node: AnyNode, methods: readonly string[]): AnyNode | undefined {
  const callee = node.type === "CallExpression" ? node.callee : undefined;
  if (callee?.type !== "MemberExpression" || callee.computed || callee.property.type !== "Identifier") return undefined;
  return methods.includes(callee.property.name) ? callee.object : undefined;
}

/** Whether the variable is, or holds, what is written to: `x = …`; `x[i] += …`, `x.y++`, `x.set(…)`. */
export function isDestination(place: Place): "itself" | "part" | undefined {
  let [top, { parent }] = [place, place];
  while (parent?.node.type === "MemberExpression" && top.key === "object") [top, parent] = [parent, parent.parent];
  if (parent?.node.type === "CallExpression" && top.key === "callee") return isWriting(top.node) ? "part" : undefined;
  const isAssigned = parent?.node.type === "AssignmentExpression" && top.key === "left";
  if (!isAssigned && parent?.node.type !== "UpdateExpression") return undefined;
  return top === place ? "itself" : "part";
}

function isWriting(callee: AnyNode): boolean {
  if (callee.type !== "MemberExpression" || callee.property.type !== "Identifier") return false;
  return !callee.computed && WRITING_METHODS.has(callee.property.name);
}

/** The names of `resolve` and `reject` in `new Promise((resolve, reject) => …)`. */
export interface Executor {
  readonly function: ArrowFunctionExpression | FunctionExpression;
  readonly resolve: string;
  readonly reject: string | undefined;
}

export function executorOf(node: AnyNode | undefined): Executor | undefined {
  if (node?.type !== "NewExpression" || node.callee.type !== "Identifier" || node.callee.name !== "Promise") return;
  const [act] = node.arguments;
  if (act?.type !== "ArrowFunctionExpression" && act?.type !== "FunctionExpression") return;
  const [resolve, reject] = act.params;
  if (resolve?.type !== "Identifier") return;
  return { function: act, resolve: resolve.name, reject: reject?.type === "Identifier" ? reject.name : undefined };
}

/** The promises under construction around a place, the nearest first. */
export function executorsAround(place: Place): Executor[] {
  return [...ancestorsOf(place)].flatMap((node) => executorOf(node) ?? []);
}
