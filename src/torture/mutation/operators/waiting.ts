import type { AnyNode } from "acorn";
import type { Change } from "../change.ts";
import type { Code, Place } from "../code.ts";
import { callIn, executorOf, receiverOf } from "../nodes.ts";
import { insertBefore, type Operator, replace } from "../operator.ts";

const AWAIT_LENGTH = "await".length;
const BUFFER_METHODS = ["set", "fill", "copy", "copyWithin"];

export const droppedAwait: Operator = {
  name: "dropped-await",
  class: "JavaScript",
  does: "takes the promise for its value: `const n = await read()` → `const n = read()`",
  bug: "a forgotten `await` where the result is used",
  *changes(place) {
    if (place.node.type === "AwaitExpression" && !isStatement(place)) yield withoutAwait(place.node, "");
  },
};

export const droppedReturn: Operator = {
  name: "dropped-return",
  class: "JavaScript",
  does: "goes on where it should return: `return extents;` → `void (extents);`, `return;` → `;`",
  bug: "a forgotten `return`: the caller gets nothing, and what was meant for the other case is done as well",
  *changes(place, code) {
    const { node } = place;
    if (node.type !== "ReturnStatement") return;
    const isLast = isLastOfFunction(place);
    const { argument } = node;
    if (argument === null || argument === undefined) {
      if (!isLast) yield replace(node, ";");
    } else if (!isLast || callIn(argument) === undefined) {
      yield replace(node, `void (${code.of(argument)});`);
    }
  },
};

export const earlyAcknowledgement: Operator = {
  name: "early-acknowledgement",
  class: "JavaScript",
  does: "begins work and does not wait for it: `await sync()` → `void sync()`, `return sync()` → `void sync(); return`, `() => sync()` → `() => void sync()`; or resolves a promise as soon as it is made",
  bug: "a write or a flush is called done before it is",
  *changes(place, code) {
    const { node } = place;
    if (node.type === "AwaitExpression" && isStatement(place)) yield withoutAwait(node, "void");
    if (node.type === "ReturnStatement" && node.argument && isWork(node.argument)) {
      yield replace(node, `{ void ${code.of(callIn(node.argument) ?? node.argument)}; return; }`);
    }
    if (node.type === "ArrowFunctionExpression" && isMethod(place) && isWork(node.body)) {
      yield insertBefore(node.body, "void ");
    }
    yield* resolvedAtOnce(node, code);
  },
};

export const racedPromises: Operator = {
  name: "raced-promises",
  class: "JavaScript",
  does: "waits for the first where it should wait for all: `Promise.all` → `Promise.race`",
  bug: "a request of many parts is done when one of them is",
  *changes({ node }) {
    const receiver = receiverOf(node, ["all", "allSettled"]);
    if (receiver?.type !== "Identifier" || receiver.name !== "Promise" || node.type !== "CallExpression") return;
    if (node.callee.type === "MemberExpression") yield replace(node.callee.property, "race");
  },
};

function withoutAwait({ start }: AnyNode, instead: string): Change {
  return { start, end: start + AWAIT_LENGTH, replacement: instead };
}

function isStatement(place: Place): boolean {
  return place.parent?.node?.type === "ExpressionStatement";
}

/** There is nothing after it that it could keep from being done. */
function isLastOfFunction(place: Place): boolean {
  const [body, owner] = [place.parent?.node, place.parent?.parent?.node];
  return body?.type === "BlockStatement" && body.body.at(-1) === place.node && owner !== undefined && "params" in owner;
}

/** What an object or a variable holds: a function that is called for what it does. One that is passed on is asked for its value. */
function isMethod(place: Place): boolean {
  return ["Property", "PropertyDefinition", "VariableDeclarator"].includes(place.parent?.node?.type ?? "");
}

/** A call that may have to be waited for. Not those of `Math` and its like, nor copies, nor objects that are made. */
function isWork(node: AnyNode): boolean {
  const call = callIn(node);
  if (call === undefined || receiverOf(call, BUFFER_METHODS) !== undefined) return false;
  if (call.type === "NewExpression") return executorOf(call) !== undefined;
  const { callee } = call;
  return !(
    callee.type === "MemberExpression" &&
    callee.object.type === "Identifier" &&
    /^[A-Z]/.test(callee.object.name)
  );
}

function* resolvedAtOnce(node: AnyNode, code: Code): Generator<Change> {
  const executor = executorOf(node);
  if (executor === undefined) return;
  const { body } = executor.function;
  if (body.type === "BlockStatement") {
    yield { start: body.start + 1, end: body.start + 1, replacement: ` ${executor.resolve}();` };
  } else {
    yield replace(body, `(${executor.resolve}(), ${code.of(body)})`);
  }
}
