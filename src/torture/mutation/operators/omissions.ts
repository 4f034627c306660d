import type { AnyNode } from "acorn";
import { type Operator, replace } from "../operator.ts";

export const missingInitialisation: Operator = {
  name: "missing-initialisation",
  class: "Ng & Chen",
  does: "leaves a variable, a field or a default without its first value: `let at = 0` → `let at = undefined`",
  bug: "a value is used before it was ever set",
  *changes({ node }) {
    if (node.type === "VariableDeclarator" && node.id.type === "Identifier" && isValue(node.init)) {
      yield replace(node.init, "undefined");
    }
    if (node.type === "PropertyDefinition" && isValue(node.value)) yield replace(node.value, "undefined");
    if (node.type === "AssignmentPattern" && isValue(node.right)) yield replace(node.right, "undefined");
  },
};

export const deletedAssignment: Operator = {
  name: "deleted-assignment",
  class: "Ng & Chen",
  does: "leaves out an assignment: `page.dirty = 0` → `page.dirty`, `at += count` → `at`",
  bug: "state that is not kept up to date",
  *changes({ node }, code) {
    const target =
      node.type === "AssignmentExpression" ? node.left : node.type === "UpdateExpression" ? node.argument : undefined;
    if (target?.type === "Identifier" || target?.type === "MemberExpression") yield replace(node, code.of(target));
  },
};

export const deletedStatement: Operator = {
  name: "deleted-statement",
  class: "Nooks",
  does: "leaves out a call, `throw`, `break` or `continue`",
  bug: "a step that was forgotten, or lost in a merge",
  *changes({ node }) {
    if (isStep(node)) yield replace(node, ";");
  },
};

/** Functions without a body are not forgotten; they are the program. */
function isValue(node: AnyNode | null | undefined): node is AnyNode {
  if (node === null || node === undefined) return false;
  const isFunction = node.type === "ArrowFunctionExpression" || node.type.startsWith("Function");
  return !isFunction && !node.type.startsWith("Class") && !(node.type === "Identifier" && node.name === "undefined");
}

function isStep(node: AnyNode): boolean {
  switch (node.type) {
    case "ThrowStatement":
    case "BreakStatement":
    case "ContinueStatement":
      return true;
    case "ExpressionStatement":
      // Assignments have an operator of their own; a directive is no step.
      return !["AssignmentExpression", "UpdateExpression"].includes(node.expression.type) && !("directive" in node);
    default:
      return false;
  }
}
