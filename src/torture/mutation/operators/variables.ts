import type { Change } from "../change.ts";
import type { Code, Place } from "../code.ts";
import { isDestination, receiverOf } from "../nodes.ts";
import { type Operator, replace } from "../operator.ts";

/** Fields in which a variable's value is asked for. Arguments of calls have an operator of their own. */
const READING: { readonly [type: string]: readonly string[] } = {
  ArrayExpression: ["elements"],
  ArrowFunctionExpression: ["body"],
  AssignmentExpression: ["right"],
  AwaitExpression: ["argument"],
  BinaryExpression: ["left", "right"],
  ConditionalExpression: ["test", "consequent", "alternate"],
  ForOfStatement: ["right"],
  IfStatement: ["test"],
  LogicalExpression: ["left", "right"],
  MemberExpression: ["object"],
  Property: ["value"],
  ReturnStatement: ["argument"],
  SpreadElement: ["argument"],
  VariableDeclarator: ["init"],
};

export const wrongSource: Operator = {
  name: "wrong-source",
  class: "Nooks",
  does: "reads another variable of the scope: `end - at` → `start - at`",
  bug: "a copy, a sum or a comparison takes its data from the wrong variable",
  *changes(place, code) {
    if (isRead(place) && isDestination(place) === undefined) yield* mistaken(place, code, "read");
  },
};

export const wrongDestination: Operator = {
  name: "wrong-destination",
  class: "Nooks",
  does: "writes to another variable of the scope, or to what that holds: `into.set(part)` → `page.set(part)`",
  bug: "the result lands where something else is kept",
  *changes(place, code) {
    const destination = isDestination(place);
    if (destination !== undefined) yield* mistaken(place, code, destination === "itself" ? "assigned" : "read");
  },
};

export const wrongArgument: Operator = {
  name: "wrong-argument",
  class: "Nooks",
  does: "passes another variable of the scope: `read(fd, into)` → `read(size, into)`",
  bug: "a call is given what happened to be at hand instead of its argument",
  *changes(place, code) {
    if (place.key === "arguments") yield* mistaken(place, code, "read");
  },
};

export const swappedCopy: Operator = {
  name: "swapped-copy",
  class: "Nooks",
  does: "swaps the two ends of a copy: `to.set(from)` → `from.set(to)`",
  bug: "data moves the wrong way, over what it should have been taken from",
  *changes({ node }, code) {
    const receiver = receiverOf(node, ["set", "copy"]);
    const argument = node.type === "CallExpression" ? node.arguments[0] : undefined;
    if (receiver === undefined || argument === undefined) return;
    if (!["Identifier", "MemberExpression", "CallExpression"].includes(argument.type)) return;
    const between = code.text.slice(receiver.end, argument.start);
    const replacement = code.of(argument) + between + code.of(receiver);
    yield { start: receiver.start, end: argument.end, replacement };
  },
};

function isRead(place: Place): boolean {
  const parent = place.parent?.node;
  if (parent === undefined) return false;
  if (parent.type === "MemberExpression" && parent.computed && place.key === "property") return true;
  // The same node stands in a pattern for what is declared.
  if (parent.type === "Property" && place.parent?.parent?.node?.type !== "ObjectExpression") return false;
  return READING[parent.type]?.includes(place.key) ?? false;
}

function* mistaken(place: Place, code: Code, wanted: "read" | "assigned"): Generator<Change> {
  const { node } = place;
  const parent = place.parent?.node;
  const isShort = parent?.type === "Property" && parent.shorthand;
  for (const other of code.names.othersAt(place, wanted)) {
    yield replace(node, isShort ? `${code.of(node)}: ${other}` : other);
  }
}
