import type { AnyNode } from "acorn";
import type { Change } from "../change.ts";
import type { Code, Place } from "../code.ts";
import { isDestination, isString, isSum } from "../nodes.ts";
import { insertAfter, type Operator, replace } from "../operator.ts";

/** A pointer that is wrong is most often wrong by a whole element: here, a sector. */
const SECTOR_BYTES = 512;
const BOUNDARIES: { readonly [operator: string]: string } = { "<": "<=", "<=": "<", ">": ">=", ">=": ">" };
const CONFUSED: { readonly [operator: string]: string } = {
  "+": "-",
  "-": "+",
  "*": "/",
  "/": "*",
  "%": "*",
  "<<": ">>",
  ">>": "<<",
  ">>>": "<<",
  "&": "|",
  "|": "&",
  "^": "&",
};
/** What people call offsets and lengths. */
const OFFSET = /^(at|start|begin|first|pos|position|address|base|index)$|(^o|O)ffset$|Start$|Position$|Index$/;
const LENGTH = /^(len|size|count|bytes|until|end)$|(^l|L)ength$|Size$|Count$|Bytes$|End$/;

export const offByOne: Operator = {
  name: "off-by-one",
  class: "Ng & Chen",
  does: "takes the bound in, or leaves it out: `at < end` → `at <= end`; adds or takes away 1 in a sum or an index that is passed on: `list[at]` → `list[at + 1]`",
  bug: "the last element is done twice, or one too many, or not at all",
  *changes(place, code) {
    const { node } = place;
    if (node.type === "BinaryExpression") {
      const boundary = BOUNDARIES[node.operator];
      if (boundary !== undefined)
        yield { ...code.symbolBetween(node.left, node.operator, node.right), replacement: boundary };
    }
    const parent = place.parent?.node;
    const isIndex = parent?.type === "MemberExpression" && parent.computed && place.key === "property";
    const isNumber = isSum(node) || (isIndex && node.type === "Identifier");
    if (isNumber && (isIndex || place.key === "arguments")) yield* moved(node, 1);
  },
};

export const wrongLength: Operator = {
  name: "wrong-length",
  class: "Ng & Chen",
  does: `makes a length longer by ${SECTOR_BYTES}, or half as long: \`from.byteLength\` → \`from.byteLength / 2\``,
  bug: "a copy that overruns its buffer, or stops before its end",
  *changes(place, code) {
    const { node, key } = place;
    const isArgument = key === "arguments" && isNamed(place, LENGTH, code);
    const isField = node.type === "MemberExpression" && !node.computed && isLengthField(node.property);
    if (!isArgument && !(isField && isDestination(place) === undefined)) return;
    yield replace(node, `(${code.of(node)} + ${SECTOR_BYTES})`);
    yield replace(node, `(${code.of(node)} / 2)`);
  },
};

export const wrongOffset: Operator = {
  name: "wrong-offset",
  class: "Nooks",
  does: `adds or takes away ${SECTOR_BYTES} where an offset is passed on: \`read(fd, offset)\` → \`read(fd, offset + ${SECTOR_BYTES})\``,
  bug: "a corrupted pointer: sound data, read or written a sector from where it belongs",
  *changes(place, code) {
    if (place.key !== "arguments") return;
    if (isSum(place.node) || isNamed(place, OFFSET, code)) yield* moved(place.node, SECTOR_BYTES);
  },
};

export const wrongConstant: Operator = {
  name: "wrong-constant",
  class: "Ng & Chen",
  does: "takes 0, one more, or twice as much for a number, and the opposite for `true` and `false`",
  bug: "a constant that is meant for something else, or that was mistyped",
  *changes({ node, key, parent }) {
    if (node.type !== "Literal" || (key === "key" && parent?.node.type === "Property")) return;
    const { value } = node;
    if (typeof value === "boolean") yield replace(node, String(!value));
    if (typeof value !== "number") return;
    const others = new Set([0, value + 1, value * 2]);
    others.delete(value);
    for (const other of others) yield replace(node, String(other));
  },
};

export const wrongOperator: Operator = {
  name: "wrong-operator",
  class: "Nooks",
  does: "computes otherwise: `+` ↔ `-`, `*` ↔ `/`, `%` → `*`, `<<` ↔ `>>`, `&` ↔ `|`, also where they assign",
  bug: "a sum, a unit or a mask is computed the wrong way round",
  *changes({ node }, code) {
    if (node.type !== "BinaryExpression" && node.type !== "AssignmentExpression") return;
    const suffix = node.type === "AssignmentExpression" ? "=" : "";
    const confused = CONFUSED[suffix === "" ? node.operator : node.operator.slice(0, -1)];
    if (confused === undefined || isString(node) || isString(node.right)) return;
    yield { ...code.symbolBetween(node.left, node.operator, node.right), replacement: confused + suffix };
  },
};

function isNamed(place: Place, pattern: RegExp, code: Code): boolean {
  return place.node.type === "Identifier" && pattern.test(place.node.name) && code.names.isVariable(place);
}

function isLengthField(property: AnyNode): boolean {
  return property.type === "Identifier" && (property.name === "byteLength" || property.name === "length");
}

function* moved(node: AnyNode, by: number): Generator<Change> {
  yield insertAfter(node, ` + ${by}`);
  yield insertAfter(node, ` - ${by}`);
}
