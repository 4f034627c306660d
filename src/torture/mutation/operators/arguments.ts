import type { AnyNode } from "acorn";
import { receiverOf } from "../nodes.ts";
import type { Operator } from "../operator.ts";

export const swappedArguments: Operator = {
  name: "swapped-arguments",
  class: "Nooks",
  does: "swaps two neighbouring arguments: `fill(0, start, end)` → `fill(0, end, start)`",
  bug: "two arguments of one type in the wrong order, which no compiler notices",
  *changes({ node }, code) {
    // The order of these makes no difference.
    if (receiverOf(node, ["min", "max"]) !== undefined) return;
    const passed = argumentsOf(node);
    for (const [index, left] of passed.entries()) {
      const right = passed[index + 1];
      if (right === undefined || code.of(left) === code.of(right)) continue;
      const between = code.text.slice(left.end, right.start);
      yield { start: left.start, end: right.end, replacement: code.of(right) + between + code.of(left) };
    }
  },
};

export const missingArgument: Operator = {
  name: "missing-argument",
  class: "Nooks",
  does: "leaves out the last argument: `set(from, offset)` → `set(from)`",
  bug: "a call that relies on a default which is not meant: all of a buffer, or its start",
  *changes({ node }, code) {
    const passed = argumentsOf(node);
    const [last, before] = [passed.at(-1), passed.at(-2)];
    if (last === undefined || before === undefined) return;
    // To the closing parenthesis, with what belongs to the argument and isn't part of its node.
    yield { start: code.symbolBetween(before, ",", last).start, end: node.end - 1, replacement: "" };
  },
};

function argumentsOf(node: AnyNode): AnyNode[] {
  const passed = node.type === "CallExpression" || node.type === "NewExpression" ? node.arguments : [];
  return passed.some(({ type }) => type === "SpreadElement") ? [] : passed;
}
