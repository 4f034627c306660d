import type { AnyNode } from "acorn";
import { callIn, executorsAround, receiverOf } from "../nodes.ts";
import { type Operator, replace } from "../operator.ts";

export const doubleCompletion: Operator = {
  name: "double-completion",
  class: "JavaScript",
  does: "makes a call twice: `next(start);` → `{ next(start); next(start); }`",
  bug: "a callback that is called from two places, a step that is repeated",
  *changes(place, code) {
    const { node } = place;
    const call = node.type === "ExpressionStatement" ? callIn(node.expression) : undefined;
    if (call === undefined) return;
    const { callee } = call;
    // A promise takes no notice of the second time.
    const settles = executorsAround(place).flatMap(({ resolve, reject }) => [resolve, reject]);
    if (callee.type === "Identifier" && settles.includes(callee.name)) return;
    const statement = code.of(node).replace(/;$/, "");
    yield replace(node, `{ ${statement}; ${statement}; }`);
  },
};

export const swallowedError: Operator = {
  name: "swallowed-error",
  class: "JavaScript",
  does: "forgets an error: empties `catch`, and `.catch(…)`; `reject(error)` → `resolve()`",
  bug: "a request that failed is called done",
  *changes(place) {
    const { node } = place;
    if (node.type === "CatchClause" && node.body.body.length > 0) yield replace(node.body, "{}");
    if (node.type !== "CallExpression") return;
    const [handler] = node.arguments;
    if (handler !== undefined && receiverOf(node, ["catch"]) !== undefined) yield replace(handler, "() => {}");
    const executor = executorsAround(place).find(
      ({ reject }) => reject !== undefined && reject === nameOf(node.callee),
    );
    if (executor !== undefined) yield replace(node, `${executor.resolve}()`);
  },
};

export const missingFinally: Operator = {
  name: "missing-finally",
  class: "JavaScript",
  does: "empties `finally`",
  bug: "what was opened or locked stays so after an error",
  *changes({ node }) {
    if (node.type !== "TryStatement" || !node.finalizer || node.finalizer.body.length === 0) return;
    yield replace(node.finalizer, "{}");
  },
};

function nameOf(node: AnyNode): string | undefined {
  return node.type === "Identifier" ? node.name : undefined;
}
