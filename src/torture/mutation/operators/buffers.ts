import type { AnyNode } from "acorn";
import type { Code } from "../code.ts";
import { receiverOf } from "../nodes.ts";
import { type Operator, replace } from "../operator.ts";

export const keptBuffer: Operator = {
  name: "kept-buffer",
  class: "JavaScript",
  does: "keeps a borrowed buffer beyond the call: `slice` → `subarray`, `Buffer.from(x)` → `x`, and `to.set(from)` → `void setImmediate(() => to.set(from))`",
  bug: "use after free, as far as there is such a thing: the buffer holds the next request's data by then",
  *changes({ node }, code) {
    if (node.type !== "CallExpression" && node.type !== "NewExpression") return;
    const copied = copiedBy(node, code);
    if (copied !== undefined) yield replace(node, code.of(copied));
    if (node.type !== "CallExpression" || node.callee.type !== "MemberExpression") return;
    if (receiverOf(node, ["slice"]) !== undefined) yield replace(node.callee.property, "subarray");
    // Of two arguments also where it is a Map's: kept, and too late.
    if (receiverOf(node, ["set", "copy"]) !== undefined)
      yield replace(node, `void setImmediate(() => ${code.of(node)})`);
  },
};

/** What a call makes a copy of, where that is all it does. */
function copiedBy(node: AnyNode, code: Code): AnyNode | undefined {
  if (node.type !== "CallExpression" && node.type !== "NewExpression") return undefined;
  const [copied, ...more] = node.arguments;
  if (copied === undefined || more.length > 0 || copied.type === "SpreadElement") return undefined;
  const { callee } = node;
  if (callee.type === "Identifier" && callee.name === "structuredClone") return copied;
  const maker = node.type === "CallExpression" ? receiverOf(node, ["from"]) : callee;
  if (maker?.type !== "Identifier" || !/^(Buffer|Uint8Array)$/.test(maker.name)) return undefined;
  // Given a number, a constructor makes an empty one.
  const isBuffer = copied.type === "Identifier" && code.names.isUsedAs(copied.name, "object");
  return node.type === "CallExpression" || isBuffer ? copied : undefined;
}
