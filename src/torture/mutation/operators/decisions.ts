import type { Place } from "../code.ts";
import { isLoop, testOf } from "../nodes.ts";
import { type Operator, replace } from "../operator.ts";

const OPPOSITES: { readonly [operator: string]: string } = { "===": "!==", "!==": "===", "==": "!=", "!=": "==" };

export const deletedBranch: Operator = {
  name: "deleted-branch",
  class: "Nooks",
  does: "decides always, or never, for a branch: `if (full)` → `if (true)`, `if (false)`",
  bug: "a case that nobody thought of, or a check that was taken out",
  *changes({ node }) {
    const test = isLoop(node) ? undefined : testOf(node);
    if (test === undefined) return;
    yield replace(test, "true");
    yield replace(test, "false");
  },
};

export const invertedCondition: Operator = {
  name: "inverted-condition",
  class: "Nooks",
  does: "turns a condition round, of a branch, a loop or in a value: `if (full)` → `if (!(full))`, `===` ↔ `!==`",
  bug: "the right question, and the answers exchanged",
  *changes(place, code) {
    const { node } = place;
    const test = testOf(node);
    if (test !== undefined) yield replace(test, `!(${code.of(test)})`);
    const opposite = node.type === "BinaryExpression" ? OPPOSITES[node.operator] : undefined;
    if (node.type !== "BinaryExpression" || opposite === undefined || isTest(place)) return;
    yield { ...code.symbolBetween(node.left, node.operator, node.right), replacement: opposite };
  },
};

export const confusedConnective: Operator = {
  name: "confused-connective",
  class: "Nooks",
  does: "takes `&&` for `||`, and the other way round",
  bug: "one of two conditions is enough where both were meant",
  *changes({ node }, code) {
    if (node.type !== "LogicalExpression" || node.operator === "??") return;
    const replacement = node.operator === "&&" ? "||" : "&&";
    yield { ...code.symbolBetween(node.left, node.operator, node.right), replacement };
  },
};

export const endlessLoop: Operator = {
  name: "endless-loop",
  class: "Nooks",
  does: "never ends a loop by its condition: `while (at < end)` → `while (true)`",
  bug: "a loop that waits for what never comes",
  *changes({ node }) {
    const test = isLoop(node) ? testOf(node) : undefined;
    if (test !== undefined) yield replace(test, "true");
  },
};

/** The whole of a condition has been turned round already. */
function isTest(place: Place): boolean {
  const parent = place.parent?.node;
  return parent !== undefined && testOf(parent) === place.node;
}
